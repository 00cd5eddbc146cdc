"""What a bounce or a notice of delay says of one of our messages, as it is kept with the message.

Rules of this file:
- Pure, a value: it outlives a restart, so its fields keep their names.
- A bounce is untrusted input: what is kept of it is printable and bounded.
"""

import re
from dataclasses import dataclass

from smtpcheck.loopback.finder import BounceMatch
from smtpcheck.mail.bounce import Action
from smtpcheck.model.printable import printable
from smtpcheck.model.report import Finding, Reply

_MAX_REPLY = 1000
_MAX_NAME = 255
_CODES = re.compile(r"\A[245][0-5]\d(?:[ -]#?[245]\.\d{1,3}\.\d{1,3})?[ -]?")


@dataclass(frozen=True, slots=True)
class Returned:
    """A bounce, or a notice of delay. Times are Unix seconds; what it does not say is empty."""

    seen_at: float
    """When the search ended that saw it."""
    arrived_at: float | None = None
    """When the mailbox took it, by that server's clock."""
    recipient: str = ""
    code: int | None = None
    """The reply code, for instance 550."""
    enhanced: str = ""
    """The enhanced code (RFC 3463), for instance 5.1.10."""
    reply: str = ""
    """The reply, or the reason in words; on one line."""
    wrapped: str = ""
    """The reply of another server that `reply` quotes."""
    remote_mta: str = ""
    """The server that refused, or that could not be reached."""
    reporting_mta: str = ""
    """The server that wrote it."""
    folder: str = ""
    findings: tuple[Finding, ...] = ()
    """What its reply means, best first."""
    deleted: bool = False

    @property
    def by(self) -> str:
        """Return who refused or reports, in words."""
        return self.remote_mta or self.reporting_mta or "a mail server"

    @property
    def as_reply(self) -> Reply | None:
        """Return the refusal as an SMTP reply; None where there is no code."""
        return None if self.code is None else Reply(self.code, self.enhanced, (_CODES.sub("", self.reply, count=1),))


def returned(match: BounceMatch, findings: tuple[Finding, ...], seen_at: float) -> Returned:
    """Return what is kept of a bounce that was seen at Unix time `seen_at`, and means these findings."""
    bounce = match.bounce
    return Returned(
        seen_at=seen_at,
        arrived_at=match.arrived_at,
        recipient=printable(bounce.recipient, limit=_MAX_NAME),
        code=bounce.code,
        enhanced=bounce.enhanced,
        reply=printable(bounce.diagnostic, limit=_MAX_REPLY),
        wrapped=printable(bounce.wrapped, limit=_MAX_REPLY),
        remote_mta=printable(bounce.remote_mta, limit=_MAX_NAME),
        reporting_mta=printable(bounce.reporting_mta, limit=_MAX_NAME),
        folder=printable(match.folder, limit=_MAX_NAME),
        findings=findings,
    )


def is_delay(match: BounceMatch) -> bool:
    """Return whether a server says that it still tries."""
    return match.bounce.action is Action.DELAYED


def is_failure(match: BounceMatch) -> bool:
    """Return whether a server says that it has returned the message."""
    return match.bounce.action is Action.FAILED
