"""What to do for one mailbox: the check and the words of its configuration, as frozen values.

Rules of this file:
- It imports nothing of ours; every other file may import it.
- No token and no secret is held here; those travel as `secrets.secret.Secret`.
"""

from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum

# ---------------------------------------------------------------------------------------------------------------------
# What to do


class Depth(IntEnum):
    """How far a check goes. `TOKEN` asks the issuer only; from `AUTH` on a check does both halves."""

    CONNECT = 0
    TOKEN = 1
    AUTH = 2
    SENDER = 3
    RECIPIENT = 4
    SEND = 5

    def __str__(self) -> str:
        return self.name.lower()

    @property
    def needs_token(self) -> bool:
        """Return whether the run needs a credential, where the check is to log in."""
        return self is not Depth.CONNECT

    @property
    def needs_connection(self) -> bool:
        """Return whether the run opens an SMTP connection."""
        return self is not Depth.TOKEN


class Security(StrEnum):
    """How the connection becomes TLS: RFC 3207 STARTTLS, RFC 8314 implicit TLS, or not at all."""

    STARTTLS = "starttls"
    IMPLICIT = "implicit"
    NONE = "none"


class Mechanism(StrEnum):
    """SASL mechanisms, as written in the configuration."""

    XOAUTH2 = "xoauth2"
    OAUTHBEARER = "oauthbearer"
    PLAIN = "plain"
    LOGIN = "login"

    @property
    def carries_password(self) -> bool:
        """Return whether it carries a password rather than a token."""
        return self in (Mechanism.PLAIN, Mechanism.LOGIN)


class Provider(StrEnum):
    """What is known of a mail host and its issuer; picks defaults and rules."""

    MICROSOFT = "microsoft"
    HVE = "hve"
    """High Volume Email of Microsoft 365: to the own organisation only."""
    ACS = "acs"
    """Azure Communication Services Email; its user names need not be addresses."""
    GOOGLE = "google"
    YAHOO = "yahoo"
    GENERIC = "generic"


class IpVersion(StrEnum):
    """Which address families a check may use."""

    ANY = "any"
    V4 = "4"
    V6 = "6"


@dataclass(frozen=True, slots=True)
class Server:
    """One endpoint of SMTP, or of IMAP, and how to speak to it."""

    host: str
    port: int
    security: Security
    server_name: str
    """The name that the certificate must cover; sent as SNI. The host unless configured."""
    ehlo: str
    """The argument of EHLO (RFC 5321 4.1.1.1): a domain or an address literal; empty for IMAP."""
    ca_file: str | None = None
    """An absolute path of PEM certificates to trust instead of the system's."""
    ip_version: IpVersion = IpVersion.ANY
    min_tls: str = "1.2"
    """`1.2` or `1.3`."""
    allow_plaintext: bool = False
    """With `Security.NONE`: whether a token may be sent in plaintext."""


@dataclass(frozen=True, slots=True)
class Warn:
    """From when on a check that still works is a warning; all in seconds."""

    certificate: float
    secret: float
    refresh_token: float
    duration: float


class Phase(StrEnum):
    """The phases of a run, in their order."""

    TOKEN = "token"
    DNS = "dns"
    CONNECT = "connect"
    BANNER = "banner"
    EHLO = "ehlo"
    STARTTLS = "starttls"
    TLS = "tls"
    EHLO_TLS = "ehlo_tls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    QUIT = "quit"
    REQUEST = "request"
    """One request to a mail API and its answer."""
    DELIVERY = "delivery"


@dataclass(frozen=True, slots=True)
class Expect:
    """A refusal that a check must meet."""

    phase: Phase
    """`AUTH`, `MAIL`, `RCPT` or `DATA`; by a mail API `REQUEST`."""
    codes: tuple[str, ...]
    """Reply codes, any of which may come; `x` is any digit. By a mail API, HTTP status codes."""
    enhanced: tuple[str, ...] = ()
    """Enhanced codes, any of which must come; `*` is any number. Without any, none need come."""
    api_errors: tuple[str, ...] = ()
    """Error codes of the mail API, any of which must come. Without any, none need come."""

    @property
    def depth(self) -> "Depth":
        """Return how deep a run goes to come to the refusal."""
        return _DEPTHS[self.phase]

    def __str__(self) -> str:
        codes = " ".join("/".join(each) for each in (self.codes, self.enhanced, self.api_errors) if each)
        return f"a refusal {codes} in phase {self.phase}"


_DEPTHS = {
    Phase.AUTH: Depth.AUTH,
    Phase.REQUEST: Depth.AUTH,
    Phase.MAIL: Depth.SENDER,
    Phase.RCPT: Depth.RECIPIENT,
    Phase.DATA: Depth.SEND,
}


@dataclass(frozen=True, slots=True)
class Via:
    """The mail API by which a check goes, in place of SMTP."""

    api: str
    """Its name in the configuration: `graph`, `gmail`, ...; `http` for one that `description` describes."""
    base: str
    """The URL in front of the API's own paths: https, without a slash at its end."""
    scope: str = ""
    """The scope of the token that it takes; empty: the credential's own."""
    as_user: bool = False
    """Whether the token is that of the mailbox's own user, whom the API calls `me`."""
    region: str = ""
    domain: str = ""
    template: str = ""
    description: str = ""
    """The description of an API of the user's own, as JSON."""


@dataclass(frozen=True, slots=True)
class Check:
    """What to do for one mailbox. Its name is the metric label; an address never is."""

    name: str
    mailbox: str
    """The SASL user, unless `user` names another one."""
    credential: str | None
    """The name of a credential of the settings; None only at `Depth.CONNECT` and where a refusal is expected."""
    provider: Provider
    server: Server
    depth: Depth
    interval: float
    timeout: float
    """Seconds for the SMTP part of one run."""
    token_timeout: float
    """Seconds that one run waits for the issuer."""
    sender: str
    """The envelope sender (RFC 5321 4.1.1.2)."""
    recipient: str | None
    """The envelope recipient; never None from `Depth.RECIPIENT` on."""
    mechanism: Mechanism | None
    """None: chosen by what EHLO offers."""
    warn: Warn
    labels: tuple[tuple[str, str], ...] = ()
    """The user's own labels, sorted by name."""
    granted_at: float | None = None
    """When the mailbox's rights were last changed (Unix seconds), if the configuration says so."""
    password: bool = False
    """Whether the credential is a password; else it gives tokens."""
    token_per_mailbox: bool = False
    """Whether the credential has a token of its own for each mailbox, as by a delegation at Google."""
    user: str = ""
    """The SASL user where it is not the mailbox."""
    expect: Expect | None = None
    """The refusal that must come; None where all must be accepted."""
    scheduled: bool = True
    """Whether the agent runs it by itself; if not, it runs when it is asked for."""
    via: Via | None = None
    """None: SMTP."""
    side_by_side: str = ""
    """The name of the first check of the same mailbox, where checks go to it in several ways; empty for all others."""

    @property
    def way(self) -> str:
        """Return `smtp`, or the name of the mail API by which it goes."""
        return self.via.api if self.via is not None else "smtp"

    @property
    def silent(self) -> "Check":
        """Return the check as deep as a run may go that sends no message."""
        deepest = Depth.AUTH if self.via is not None else Depth.RECIPIENT
        return self if self.depth <= deepest else replace(self, depth=deepest)

    @property
    def scope(self) -> str:
        """Return the scope of the token that a run needs; empty: the credential's own."""
        return self.via.scope if self.via is not None else ""

    @property
    def uses_credential(self) -> bool:
        """Return whether a run needs a token or a password."""
        return self.credential is not None and self.depth.needs_token

    @property
    def due_refusal(self) -> Expect | None:
        """Return the refusal that a run must meet; None for one that does not go as deep."""
        return self.expect if self.expect is not None and self.depth >= self.expect.depth else None
