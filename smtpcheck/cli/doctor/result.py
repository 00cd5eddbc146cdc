"""What the doctor says: twelve stages, each with its result, as frozen values.

Rules of this file:
- Pure. A stage's result is that of its worst note; a hint never makes a stage worse than ok.
- A note is one sentence about one thing that was looked at, without any token or secret.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from smtpcheck.model.cause import Cause
from smtpcheck.model.check import Check
from smtpcheck.model.report import Finding, Outcome


class Result(StrEnum):
    """How something is. Only notes can be hints."""

    OK = "ok"
    HINT = "hint"
    """Good to know, and no fault."""
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


class Stage(IntEnum):
    """The twelve steps of a set-up that sends mail by SMTP with OAuth2."""

    FLOW = 1
    APPLICATION = 2
    PERMISSIONS = 3
    SCOPES = 4
    TOKEN = 5
    CONNECTION = 6
    TEST = 7
    RENEWAL = 8
    ERRORS = 9
    MONITORING = 10
    SECRETS = 11
    MAINTENANCE = 12

    @property
    def title(self) -> str:
        """Return what the stage is about."""
        return _TITLES[self]

    def title_of(self, check: Check) -> str:
        """Return what the stage is about for a check, which may go by a mail API."""
        return "connection to the API" if check.via is not None and self is Stage.CONNECTION else self.title


_TITLES = {
    Stage.FLOW: "flow and authority",
    Stage.APPLICATION: "app registration",
    Stage.PERMISSIONS: "permissions",
    Stage.SCOPES: "scopes",
    Stage.TOKEN: "access token",
    Stage.CONNECTION: "SMTP connection",
    Stage.TEST: "test of the connection",
    Stage.RENEWAL: "token expiry and renewal",
    Stage.ERRORS: "behaviour on errors",
    Stage.MONITORING: "monitoring and logging",
    Stage.SECRETS: "secrets and least privilege",
    Stage.MAINTENANCE: "maintenance",
}


@dataclass(frozen=True, slots=True)
class Note:
    """One thing that was looked at."""

    result: Result
    text: str


def ok(text: str) -> Note:
    """Return a note on what is right."""
    return Note(Result.OK, text)


def hint(text: str) -> Note:
    """Return a note on what is good to know."""
    return Note(Result.HINT, text)


def warning(text: str) -> Note:
    """Return a note on what will or may do harm."""
    return Note(Result.WARNING, text)


def failed(text: str) -> Note:
    """Return a note on what does not work."""
    return Note(Result.FAILED, text)


def skipped(text: str) -> Note:
    """Return a note on what was not looked at; the text gives the reason."""
    return Note(Result.SKIPPED, text)


_BADNESS = (Result.FAILED, Result.WARNING, Result.OK, Result.SKIPPED)


@dataclass(frozen=True, slots=True)
class Examined:
    """One stage as it was found."""

    stage: Stage
    notes: tuple[Note, ...]
    """Never empty."""
    findings: tuple[Finding, ...] = ()
    """Why the stage failed or will fail, best first."""
    excluded: tuple[Cause, ...] = ()
    """Causes that give the same reply, and that a further test has ruled out."""

    @property
    def result(self) -> Result:
        """Return ok, warning, failed or skipped."""
        seen = {Result.OK if note.result is Result.HINT else note.result for note in self.notes}
        return next(result for result in _BADNESS if result in seen)

    @property
    def is_our_own_fault(self) -> bool:
        """Return whether the stage failed because smtpcheck itself did."""
        return bool(self.findings) and self.findings[0].cause is Cause.INTERNAL


def outcome_of(stages: Sequence[Examined]) -> Outcome:
    """Return the outcome of an examination: critical if a stage failed, unknown if that was a fault of our own."""
    return Outcome.worst([_outcome(examined) for examined in stages])


def _outcome(examined: Examined) -> Outcome:
    match examined.result:
        case Result.FAILED:
            return Outcome.UNKNOWN if examined.is_our_own_fault else Outcome.CRITICAL
        case Result.WARNING:
            return Outcome.WARNING
        case _:
            return Outcome.OK


def examined(stage: Stage, notes: Iterable[Note], findings: tuple[Finding, ...] = ()) -> Examined:
    """Return a stage with its notes; a stage without any was not applicable."""
    return Examined(stage, tuple(notes) or (skipped("nothing here applies to this set-up"),), findings)
