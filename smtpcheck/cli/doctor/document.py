"""An examination as JSON: what `doctor --format json` prints.

Rules of this file:
- Names are never renamed and keep their meaning; new ones may come. Times are Unix seconds, what is not known is null.
- No token and no secret: what it is made of holds none.

    {"smtpcheck": VERSION, "check": NAME, "examined_at": TIME, "depth": DEPTH, "outcome": ok|warning|critical|unknown,
     "steps": [{"number": 1..12, "title": TEXT, "verdict": ok|warning|failed|skipped,
                "notes": [{"verdict": ok|hint|warning|failed|skipped, "text": TEXT}],
                "findings": [FINDING], "excluded": [CAUSE]}],
     "token_run": REPORT or null, "connection_run": REPORT or null}

FINDING and REPORT are those of the API (`report_json`).
"""

from collections.abc import Sequence

from smtpcheck import __version__
from smtpcheck.cli.doctor.evidence import Evidence
from smtpcheck.cli.doctor.result import Examined, outcome_of
from smtpcheck.diagnosis.catalogue import Catalogue
from smtpcheck.model.check import Check
from smtpcheck.output.report_json import Json, findings_as_json, report_as_json


def as_json(evidence: Evidence, stages: Sequence[Examined], catalogue: Catalogue) -> Json:
    """Return the examination as values that `json` can write."""
    return {
        "smtpcheck": __version__,
        "check": evidence.check.name,
        "examined_at": evidence.now,
        "depth": str(evidence.check.depth),
        "outcome": outcome_of(stages),
        "steps": [_stage(examined, evidence.check, catalogue) for examined in stages],
        "token_run": report_as_json(evidence.asked, catalogue) if evidence.asked else None,
        "connection_run": report_as_json(evidence.report, catalogue) if evidence.report else None,
    }


def _stage(examined: Examined, check: Check, catalogue: Catalogue) -> Json:
    return {
        "number": int(examined.stage),
        "title": examined.stage.title_of(check),
        "verdict": examined.result,
        "notes": [{"verdict": note.result, "text": note.text} for note in examined.notes],
        "findings": findings_as_json(examined.findings, catalogue),
        "excluded": list(examined.excluded),
    }
