"""What was seen of a run and what it means: steps, faults, facts, findings and the report, as frozen values.

Rules of this file:
- Every room above may import it.
- Durations are monotonic seconds, timestamps are wall clock (Unix seconds); the two never share a field.
- A failure of the checked world is a value (`Fault`, `TokenError`, a refusing `Reply`), never an exception.
- What a run makes by the dozen is a Struct, here and elsewhere: made in C, it costs a fifth of a dataclass, and without
  `gc` the garbage collector passes it over, for no frozen value is part of a cycle.
- No token and no secret is held here; those travel as `secrets.secret.Secret`.
"""

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct, field

from smtpcheck.model.cause import Cause
from smtpcheck.model.check import Expect, Phase

# ---------------------------------------------------------------------------------------------------------------------
# What was seen


class Reply(Struct, frozen=True, gc=False):
    """An SMTP answer (RFC 5321 4.2): code, enhanced code (RFC 3463) and the text of each line."""

    code: int
    enhanced: str
    """`x.y.z` of the first line that has one, else empty."""
    lines: tuple[str, ...]
    """The text of each line, without code, separator and enhanced code."""

    @property
    def text(self) -> str:
        """Return the lines as one text."""
        return " ".join(self.lines)

    @property
    def head(self) -> str:
        """Return the codes."""
        return f"{self.code} {self.enhanced}".rstrip()

    def __str__(self) -> str:
        return f"{self.head} {self.text}".rstrip()


class ApiAnswer(Struct, frozen=True, gc=False):
    """What a mail API answered to one request; all texts are printable, bounded and redacted."""

    status: int
    """The HTTP status code."""
    error: str = ""
    """The API's own code of an error, such as `ErrorAccessDenied`; empty where it names none."""
    text: str = ""
    """Its message, or what an answer says that is not the API's."""
    request_id: str = ""
    """By which the provider finds the request."""
    message_id: str = ""
    """What the API calls the message that it took, if it says."""
    retry_after: float | None = None
    """Seconds that it asks to wait."""
    causes: tuple[tuple[Cause, float], ...] = ()
    """What it means by the API's own table or state, each with its certainty, best first; none: nothing says."""

    @property
    def head(self) -> str:
        """Return the codes."""
        return f"{self.status} {self.error}".rstrip()

    def __str__(self) -> str:
        return f"{self.head} {self.text}".rstrip()


class Exchange(Struct, frozen=True, gc=False):
    """One command and its answer."""

    command: str
    """As sent, without line end; a token or message is replaced by its size. Empty for the banner."""
    reply: Reply | None
    """None when no whole answer came, and of a mail API."""
    challenge: str = ""
    """The decoded text of a 334 challenge, else empty (RFC 7628 3.2.2)."""
    answer: ApiAnswer | None = None
    """What a mail API answered."""


class FaultKind(StrEnum):
    """What ended a phase, as it was measured; the cause is determined later."""

    REPLY = "reply"
    """The server or the mail API refused; the last exchange holds its reply or answer."""
    ACCEPTED = "accepted"
    """A mail API took for a message what must send none."""
    NOT_SENDABLE = "not_sendable"
    """The request cannot be written: the credential, or an address, holds what no header or URL may."""
    TOKEN = "token"
    """No token; the report's `token_error` says why."""
    NAME_NOT_FOUND = "name_not_found"
    NAME_SERVER_FAILED = "name_server_failed"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    RESET = "reset"
    CLOSED = "closed"
    """The peer ended the connection in good order, but too early."""
    TLS_HANDSHAKE = "tls_handshake"
    TLS_UNTRUSTED = "tls_untrusted"
    TLS_HOSTNAME = "tls_hostname"
    TLS_EXPIRED = "tls_expired"
    """Expired or not yet valid."""
    TLS_VERSION = "tls_version"
    TLS_NOT_SPOKEN = "tls_not_spoken"
    """The peer answered the ClientHello with something that is no TLS."""
    PROTOCOL = "protocol"
    """Bytes that are no SMTP reply, or no HTTP response."""
    TOO_LONG = "too_long"
    """A reply, a line or a response without end."""
    STARTTLS_NOT_OFFERED = "starttls_not_offered"
    STARTTLS_INJECTION = "starttls_injection"
    MECHANISM_NOT_OFFERED = "mechanism_not_offered"
    PLAINTEXT_REFUSED = "plaintext_refused"
    """We refuse to send a token over a connection without TLS."""
    NOT_DELIVERED = "not_delivered"
    """A message was accepted and has not arrived."""
    OUT_OF_RESOURCES = "out_of_resources"
    """This machine lacked a descriptor, memory, a thread or a free place; it says nothing of the server."""
    OS = "os"
    """Any other error of the operating system."""


class Fault(Struct, frozen=True, gc=False):
    """Why a phase ended without its aim."""

    kind: FaultKind
    detail: str = ""
    """What the system or library said, redacted; for `PROTOCOL` the first bytes that came, escaped."""


class Step(Struct, frozen=True, gc=False):
    """What happened in one phase."""

    phase: Phase
    start: float
    """Seconds since the run's begin."""
    seconds: float
    exchanges: tuple[Exchange, ...] = ()
    fault: Fault | None = None


class Attempt(Struct, frozen=True, gc=False):
    """One address that was tried in phase connect."""

    address: str
    family: int
    """4 or 6."""
    fault: Fault | None


class CertificateFacts(Struct, frozen=True, gc=False):
    """What the server's own certificate says (RFC 5280)."""

    not_before: float
    not_after: float
    subject: str
    issuer: str
    names: tuple[str, ...]
    """DNS names and addresses of subjectAltName."""
    fingerprint: str
    """SHA-256 of the DER form, hex."""
    self_signed: bool
    verified: bool
    """False when it was read over a connection whose verification had failed."""
    unreadable: tuple[str, ...] = ()
    """What could not be read: fields of this class, or `extensions` other than the names."""


class TlsFacts(Struct, frozen=True, gc=False):
    """The TLS session of a run."""

    version: str
    """As OpenSSL names it: `TLSv1.3`."""
    cipher: str
    certificate: CertificateFacts | None


class TokenFacts(Struct, frozen=True, gc=False):
    """What is known of the access token of a run: never the token."""

    fingerprint: str
    form: str
    """`jwt` or `opaque`."""
    acquired_at: float
    expires_at: float | None
    """None where nobody says: an opaque token that was handed over ready."""
    scope: str
    """The scope that was requested."""
    size: int
    """Length in characters."""
    claims: Mapping[str, object]
    """Chosen claims of an unverified JWT (aud, iss, tid, appid, oid, roles, scp, upn, exp, ...); empty if opaque."""
    from_cache: bool
    """False when this run waited for the issuer."""


class TokenErrorKind(StrEnum):
    """Where the way to a token ended."""

    OAUTH = "oauth"
    """The issuer answered with an OAuth error (RFC 6749 5.2)."""
    HTTP = "http"
    """An HTTP error without an OAuth error, or an answer that breaks off or is not HTTP."""
    NOT_JSON = "not_json"
    THROTTLED = "throttled"
    """429, or a 5xx with Retry-After, or our own waiting for that time to pass."""
    NAME_NOT_FOUND = "name_not_found"
    CONNECT = "connect"
    REFUSED = "refused"
    """The issuer's host refused the connection: there is a network."""
    TIMEOUT = "timeout"
    TLS = "tls"
    PROXY = "proxy"
    SECRET_UNREADABLE = "secret_unreadable"
    CERTIFICATE_UNUSABLE = "certificate_unusable"
    """The client certificate or key file cannot be used."""
    ISSUER_MISMATCH = "issuer_mismatch"
    """The discovery document names another issuer."""
    DISCOVERY = "discovery"
    """The discovery document is refused or lacks what it must have."""
    NO_SLOT = "no_slot"
    """All our own places for requests were taken: the issuer was not asked."""
    OUT_OF_RESOURCES = "out_of_resources"
    """This machine lacked a descriptor, memory, a thread or a free place; it says nothing of the issuer."""


class TokenError(Struct, frozen=True, gc=False):
    """The issuer's whole error, or why it could not be asked. Redacted of what was sent."""

    kind: TokenErrorKind
    at: float
    """When it was seen (Unix seconds)."""
    endpoint: str = ""
    """The URL that was asked, without query."""
    http_status: int | None = None
    error: str = ""
    error_codes: tuple[int, ...] = ()
    description: str = ""
    suberror: str = ""
    correlation_id: str = ""
    trace_id: str = ""
    retry_after: float | None = None
    """Seconds that the issuer asks to wait."""
    clock_offset: float | None = None
    """Issuer's Date header less our clock, in seconds."""
    body: str = ""
    """The first part of an answer that is not JSON, redacted."""
    requested_scope: str = ""
    refresh_token_age: float | None = None
    """Seconds since the login that the refused refresh token comes from; None where none was used."""


# ---------------------------------------------------------------------------------------------------------------------
# What it means


class Outcome(StrEnum):
    """What came of a run. Exit codes and order of severity by the monitoring-plugins convention."""

    OK = "ok"
    WARNING = "warning"
    CRITICAL = "critical"
    UNKNOWN = "unknown"

    @property
    def exit_code(self) -> int:
        """Return 0, 1, 2 or 3."""
        return _EXIT_CODES[self]

    @staticmethod
    def worst(outcomes: "list[Outcome]") -> "Outcome":
        """Return the worst of several: critical, unknown, warning, ok; unknown for none at all."""
        return max(outcomes, key=_BADNESS.__getitem__, default=Outcome.UNKNOWN)


_EXIT_CODES = {Outcome.OK: 0, Outcome.WARNING: 1, Outcome.CRITICAL: 2, Outcome.UNKNOWN: 3}
_BADNESS = {Outcome.OK: 0, Outcome.WARNING: 1, Outcome.UNKNOWN: 2, Outcome.CRITICAL: 3}


class Finding(Struct, frozen=True, gc=False):
    """One possible cause of what was seen: ids and values, made text when shown."""

    cause: Cause
    certainty: float
    """0 to 1: how sure it is, given only what was seen."""
    rule: str
    """The id of the catalogue's rule that named it."""
    evidence: tuple[str, ...] = ()
    """What was seen, in short sentences without any secret."""
    values: Mapping[str, str] = field(default_factory=dict)
    """What the remedy's commands are filled with: tenant, client_id, object_id, mailbox, ..."""


class Report(Struct, frozen=True, gc=False):
    """All of one run."""

    check: str
    started_at: float
    """Unix seconds."""
    seconds: float
    outcome: Outcome
    steps: tuple[Step, ...] = ()
    cause: Cause | None = None
    """Set unless the depth was reached."""
    findings: tuple[Finding, ...] = ()
    """Why the depth was not reached, best first."""
    warnings: tuple[Finding, ...] = ()
    """What will break a check that still works."""
    token: TokenFacts | None = None
    token_error: TokenError | None = None
    tls: TlsFacts | None = None
    attempts: tuple[Attempt, ...] = ()
    mechanism: str = ""
    """The SASL mechanism that was used, in upper case."""
    auth_line_length: int = 0
    """The length in octets of the longest AUTH line that was sent."""
    waited: float = 0.0
    """Seconds spent waiting for a free place (open connections, the mailbox's lock); part of no phase."""
    expect: Expect | None = None
    """The refusal that the run had to meet."""
    account: Mapping[str, float | str] = field(default_factory=dict)
    """What a mail API says of the account, by stable names: quota, states."""

    @property
    def shown(self) -> tuple[Finding, ...]:
        """Return what is said of the run, best first: why it failed, else what will break."""
        return self.findings or self.warnings

    @property
    def failed_step(self) -> Step | None:
        """Return the first step with a fault: the token's comes before the connection's."""
        for step in self.steps:
            if step.fault is not None:
                return step
        return None

    @property
    def failed_reply(self) -> Reply | None:
        """Return the reply that refused, if a reply did."""
        step = self.failed_step
        if step is None or step.fault is None or step.fault.kind is not FaultKind.REPLY or not step.exchanges:
            return None
        return step.exchanges[-1].reply

    @property
    def failed_answer(self) -> ApiAnswer | None:
        """Return the answer by which a mail API refused, or took what it should not have; None if none did."""
        step = self.failed_step
        if step is None or step.fault is None or step.fault.kind not in _ANSWERED or not step.exchanges:
            return None
        return step.exchanges[-1].answer

    @property
    def refusal(self) -> Reply | ApiAnswer | None:
        """Return the reply or the answer that refused, if one did."""
        return self.failed_reply or self.failed_answer

    @property
    def refused_as_expected(self) -> Reply | ApiAnswer | None:
        """Return the refusal that the run had to meet, if it met it: such a run has a failed step and is ok."""
        return self.refusal if self.expect and self.outcome in (Outcome.OK, Outcome.WARNING) else None


_ANSWERED = frozenset({FaultKind.REPLY, FaultKind.ACCEPTED})
