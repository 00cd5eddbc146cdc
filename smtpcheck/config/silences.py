"""`silences:` of the configuration: their form, their meaning, and what about them cannot work.

Rules of this file:
- As everywhere: each problem is reported with its place and a hint, and none hides another.
- A silence that is over is no problem: nobody should have to edit a file at its last minute.
"""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from pydantic import Field

from smtpcheck.alerts.silence import Silence, silence_id
from smtpcheck.config.fields import Instant, Labels
from smtpcheck.config.problems import Place, Problems, nearest
from smtpcheck.config.validation import ConfigSection
from smtpcheck.model.check import Check
from smtpcheck.model.timestamp import rfc3339


class SilenceSection(ConfigSection):
    """A dated window in which nobody is notified of some checks."""

    begin: Instant = Field(alias="from", description="Start, such as 2026-12-05T22:00Z.")
    end: Instant = Field(alias="to", description="End, in the same form.")
    checks: list[str] = Field(default=[], description='Names of checks; * stands for anything: "fabrikam-*".')
    credentials: list[str] = Field(default=[], description="All checks with one of these credentials.")
    labels: Labels = Field(default={}, description="All checks that have all of these labels.")
    comment: str = Field(default="", max_length=500, description="Why.")


def silence_of(section: SilenceSection, at: Place, checks: Sequence[Check], problems: Problems) -> Silence:
    """Return what a section says, or report every problem in it. `checks` are those of the configuration."""
    if section.end <= section.begin:
        problems.error(at / "to", "is not after from", value=rfc3339(section.end))
    if not (section.checks or section.credentials or section.labels):
        problems.error(at, "names no check", hint='add checks: ["*"] to silence all of them')
    if checks:
        _check_names(section, at, checks, problems)
    labels = tuple(sorted(section.labels.items()))
    identity = silence_id(section.begin, section.end, section.checks, section.credentials, labels, section.comment)
    return Silence(
        id=identity,
        starts_at=section.begin,
        ends_at=section.end,
        checks=tuple(section.checks),
        credentials=tuple(section.credentials),
        labels=labels,
        comment=section.comment,
    )


def _check_names(section: SilenceSection, at: Place, checks: Sequence[Check], problems: Problems) -> None:
    names = {check.name for check in checks}
    for index, pattern in enumerate(section.checks):
        if not any(fnmatchcase(name, pattern) for name in names):
            problems.warning(at / "checks" / index, "matches no check", value=pattern, hint=nearest(pattern, names))
    used = {check.credential for check in checks if check.credential}
    for index, credential in enumerate(section.credentials):
        if credential not in used:
            problems.warning(
                at / "credentials" / index,
                "no check uses this credential",
                value=credential,
                hint=nearest(credential, used),
            )
    known = {name for check in checks for name, _ in check.labels}
    for name in section.labels:
        if name not in known:
            problems.error(at / "labels" / name, "no check has this label", hint=nearest(name, known))
