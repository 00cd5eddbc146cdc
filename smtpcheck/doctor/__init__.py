"""The doctor: examines one check in twelve stages, says what is wrong in which, and what would repair it.

- `Examination(check, settings, kit, ...).run()` measures and yields the stages, each an `Examined`.
- `as_json` is the whole as values for JSON; `redacted` makes of that what can be posted in public.
"""

from smtpcheck.doctor.bundle import redacted
from smtpcheck.doctor.document import as_json
from smtpcheck.doctor.examination import Examination
from smtpcheck.doctor.verdict import Examined, Note, Stage, Verdict, outcome_of

__all__ = ["Examination", "Examined", "Note", "Stage", "Verdict", "as_json", "outcome_of", "redacted"]
