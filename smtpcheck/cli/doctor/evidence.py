"""What an examination has measured so far, for the stages to assess.

Rule of this file: plain values; the measurements fill them in, and the stages read them and ask nobody else.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from smtpcheck.cli.doctor.discovery import Discovery
from smtpcheck.model.check import Check, Phase
from smtpcheck.model.credential import CredentialState
from smtpcheck.model.report import Outcome, Reply, Report, Step, TokenError, TokenFacts
from smtpcheck.oauth.credential import Credential


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of one check."""

    check: Check
    """At the depth to which it is examined."""
    credential: Credential | None
    fresh_every: float
    """Seconds after which the agent renews a token at the latest."""
    now: float
    """Unix seconds."""
    issuer: str = ""
    """The host of the issuer, empty where none is asked."""
    discovery: Discovery | None = None
    asked: Report | None = None
    """The run that asked the issuer for a fresh token; None where the check needs none."""
    report: Report | None = None
    """The run that opened the connection; None where the check opens none."""
    state: CredentialState | None = None
    finder_names: tuple[str, ...] = ()
    """What the mailboxes that a loopback looks into, and their folders, are called."""

    @property
    def token(self) -> TokenFacts | None:
        """Return what is known of the token, None where there is none."""
        return self.asked.token if self.asked else None

    @property
    def can_go_on(self) -> bool:
        """Return whether the connection goes past EHLO: there is a token or password, or there is no login."""
        if not self.check.uses_credential:
            return True
        return self.asked is not None and self.asked.outcome in (Outcome.OK, Outcome.WARNING)

    @property
    def token_error(self) -> TokenError | None:
        """Return why there is no token."""
        return self.asked.token_error if self.asked else None

    @property
    def claims(self) -> Mapping[str, object]:
        """Return the token's claims; empty if it is opaque or missing."""
        return self.token.claims if self.token else {}

    def step(self, phase: Phase) -> Step | None:
        """Return the connection's step of a phase, None where it did not come so far."""
        return next((step for step in self.report.steps if step.phase is phase), None) if self.report else None

    def last_reply(self, phase: Phase) -> Reply | None:
        """Return the last answer in a phase."""
        step = self.step(phase)
        return step.exchanges[-1].reply if step and step.exchanges else None

    @property
    def ehlo(self) -> tuple[str, ...]:
        """Return the keyword lines of the last EHLO (RFC 5321 4.1.1.1)."""
        for phase in (Phase.EHLO_TLS, Phase.EHLO):
            reply = self.last_reply(phase)
            if reply is not None and reply.code == 250:
                return reply.lines[1:]
        return ()

    @property
    def mechanisms(self) -> tuple[str, ...]:
        """Return the SASL mechanisms that EHLO offers, in upper case."""
        lines = (line.upper().replace("=", " ").split() for line in self.ehlo)
        return tuple(dict.fromkeys(name for words in lines if words[:1] == ["AUTH"] for name in words[1:]))


def claim(claims: Mapping[str, object], *names: str) -> str:
    """Return the first of the named claims that is a text, else nothing."""
    return next((value for name in names if isinstance(value := claims.get(name), str) and value), "")


def words(value: object) -> tuple[str, ...]:
    """Return what a claim lists, whether as a list or as words of a text (RFC 6749 3.3)."""
    if isinstance(value, str):
        return tuple(value.split())
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()
