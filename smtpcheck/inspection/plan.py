"""The plan of an inspection: who reads about which credential, how often, and what besides the directory."""

from dataclasses import dataclass, field
from enum import StrEnum

from smtpcheck.oauth.google_key_file import AccountIdentity


class Option(StrEnum):
    """The key of `inspect:` without which a question is not asked."""

    ALWAYS = "always"
    EXCHANGE = "exchange"
    SIGN_INS = "sign_ins"


@dataclass(frozen=True, slots=True)
class InspectionPlan:
    """`inspect:` of one credential."""

    credential: str
    """The name of the credential that is inspected."""
    by: str
    """The name of the credential that the questions are asked with."""
    every: float
    """Seconds from one reading to the next."""
    exchange: bool = False
    """Whether Exchange Online is asked too, by an interface that Microsoft does not document."""
    sign_ins: bool = False
    """Whether the log of sign-ins is read."""
    mailboxes: tuple[str, ...] = ()
    """The mailboxes of the credential's checks."""
    credential_type: str = "microsoft"
    """The type of the credential that is inspected, which decides what can be asked about it."""
    asker: AccountIdentity = field(default_factory=AccountIdentity)
    """The service account of Google that asks, as its key's file said when the configuration was loaded."""

    def asks(self, option: Option) -> bool:
        """Return whether questions of this option are asked."""
        return {Option.ALWAYS: True, Option.EXCHANGE: self.exchange, Option.SIGN_INS: self.sign_ins}[option]
