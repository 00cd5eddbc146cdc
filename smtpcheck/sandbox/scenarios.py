"""The scenarios: each one world of its own, with the outcome and the cause that must come out.

Rules of this file:
- A scenario is one row of `SCENARIOS`; nothing else is touched to add one.
- What is expected is what can truly be observed from the client's end.
- Scenarios that name the same registration share a credential, and those with equal listeners share a port. The
  registration's kind decides whether the mailbox is at Exchange Online or at Gmail, whose listeners differ (`GMAIL`);
  what `POSTFIX` shows is a server of one's own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from smtpcheck.model.cause import Cause
from smtpcheck.model.report import Outcome, Report
from smtpcheck.sandbox import gmail, postfix, replies
from smtpcheck.sandbox.bounces import Refusal, Style
from smtpcheck.sandbox.certificates import Certificate
from smtpcheck.sandbox.directory import IssuerFailure
from smtpcheck.sandbox.flaws import Flaw
from smtpcheck.sandbox.graph_send import SendingMailbox
from smtpcheck.sandbox.mail_store import AT_ONCE, Delivery, Use
from smtpcheck.sandbox.receiver_headers import GMAIL_ID, OUTBOUND_SPAM, POSTFIX_ID, SPAMASSASSIN, exchange_verdict
from smtpcheck.sandbox.smtp_session import Listener

GMAIL = Listener(mechanisms=gmail.MECHANISMS)
"""What smtp.gmail.com shows on port 587, for scenarios at Google."""
POSTFIX = Listener(mechanisms=postfix.MECHANISMS)
"""What a server of one's own shows, for scenarios with passwords and without a login."""
DOMAIN = "contoso.example"
RECIPIENT = f"probe@{DOMAIN}"


class CredentialKind(StrEnum):
    """How a client proves itself, and to whom."""

    SECRET = "secret"
    CERTIFICATE = "certificate"
    FEDERATED = "federated"
    """A token that another issuer signed for it."""
    USER = "user"
    """The refresh token of a user who signed in."""
    GOOGLE_ACCOUNT = "google_account"
    """The key of a service account at Google."""
    GOOGLE_USER = "google_user"
    """The refresh token of a user who signed in at Google."""
    PASSWORD = "password"
    """A password, and so no issuer."""
    NONE = "none"
    """There is no login."""

    @property
    def google(self) -> bool:
        """Return whether it leads to Google, and the mailbox so is at Gmail."""
        return self in {CredentialKind.GOOGLE_ACCOUNT, CredentialKind.GOOGLE_USER}


@dataclass(frozen=True, slots=True)
class Registration:
    """One application at the issuer, and the credential that the checks use for it."""

    name: str
    """Of the credential; two registrations of the same name must be equal."""
    kind: CredentialKind = CredentialKind.SECRET
    known: bool = True
    """Whether the issuer has it; of a password, whether the mailbox takes any."""
    wrong_secret: bool = False
    """The configured secret is not the app's, the assertion is another one's, or the password another mailbox's."""
    secret_expired: bool = False
    disabled: bool = False
    revoked: bool = False
    """The refresh token, or the key of a service account, is dead."""
    delegated: bool = True
    """Whether a service account of Google may act for users."""
    roles: tuple[str, ...] = ("SMTP.SendAsApp",)
    """Its application permissions on Exchange Online."""
    graph_roles: tuple[str, ...] = ("Mail.Send",)
    """Its application permissions on Microsoft Graph."""
    failure: IssuerFailure | None = None
    keys: Mapping[str, object] = field(default_factory=dict)
    """Further keys of the credential's configuration."""
    inspected_by: "Registration | None" = None
    """The application that reads what the provider says of this one."""


CONTOSO = Registration("contoso")
"""What most scenarios share: an application with a good secret and the right permission."""
NOBODY = Registration("nobody", CredentialKind.NONE)
"""For scenarios without a login."""
CONTOSO_MAIL = Registration(
    "contoso-mail", roles=("SMTP.SendAsApp", "IMAP.AccessAsApp"), graph_roles=("Mail.ReadWrite",)
)
"""An application that may read mail too, by IMAP and by Graph."""

AUDITOR = Registration(
    "auditor",
    CredentialKind.CERTIFICATE,
    roles=("Exchange.ManageAsApp",),
    graph_roles=(
        *("Application.Read.All", "Directory.Read.All", "User.Read.All", "MailboxSettings.Read", "Policy.Read.All"),
        *("AuditLog.Read.All", "ServiceHealth.Read.All", "ExchangeMessageTrace.Read.All"),
    ),
)
"""An application that may read what the provider says, and nothing else."""


@dataclass(frozen=True, slots=True)
class Finding:
    """How a check with a loopback looks for its messages, in the mailbox that they go to."""

    via: str = "imap"
    """`imap`, `graph` or `none`."""
    registration: Registration | None = None
    """Whose token it takes, if not the check's."""
    closed: bool = False
    """Whether the application has no right to the mailbox."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One check in one world."""

    name: str
    """Of the check and of the mailbox."""
    shows: str
    """What it is there for, in one sentence."""
    cause: Cause | None = None
    """Why the depth is not reached; None if it is."""
    warnings: frozenset[Cause] = frozenset()
    """What is warned of although the depth is reached."""
    check: Mapping[str, object] = field(default_factory=dict)
    """Keys of the check besides name, mailbox, credential and server."""
    server: Listener = field(default_factory=Listener)
    registration: Registration = CONTOSO
    refuses: Mapping[str, str] = field(default_factory=dict)
    """What the mailbox replies instead of success, by command."""
    connections: int = 3
    """How many connections of the mailbox may submit at once."""
    send_as: frozenset[str] = frozenset()
    """Further addresses that the mailbox may send as."""
    delivery: Delivery = AT_ONCE
    """What becomes of the messages that the mailbox sends."""
    flaw: Flaw | None = None
    """What is wrong in the tenant."""
    finding: Finding = field(default_factory=Finding)
    """With `loopback` among the keys of the check: what its `find` says."""
    graph: SendingMailbox | None = None
    """With `via` among the keys of the check: what is special about the mailbox at Graph."""

    @property
    def outcome(self) -> Outcome:
        """Return the outcome that must come out."""
        if self.cause is not None:
            return Outcome.CRITICAL
        return Outcome.WARNING if self.warnings else Outcome.OK

    def expects(self, report: Report) -> bool:
        """Return whether the report of the check is what must come out."""
        warnings = frozenset(finding.cause for finding in report.warnings)
        return (report.outcome, report.cause, warnings) == (self.outcome, self.cause, self.warnings)


_SEND: Mapping[str, object] = {"depth": "send", "recipient": RECIPIENT, "interval": "15m"}

_GRAPH: Mapping[str, object] = {"via": {"api": "graph"}}


def _loopback(name: str, **keys: object) -> dict[str, object]:
    """Return the keys of a check with a loopback to a mailbox of its own, whose times suit a demonstration."""
    times = {"every": "5m", "warn_after": "20s", "lost_after": "40s"}
    return {"loopback": {**times, "to": f"probe-{name}@{DOMAIN}", "authserv_id": "", **keys}}


_AUTHENTICATED = (
    f"spf=pass (sender IP is 127.0.0.1) smtp.mailfrom={DOMAIN}; dkim=pass (signature was verified) header.d={DOMAIN};"
    f"dmarc=pass action=none header.from={DOMAIN};compauth=pass reason=100"
)

_BY_POSTFIX = (
    f"{POSTFIX_ID}; dmarc=fail (p=none dis=none) header.from={DOMAIN}\n"
    f'{POSTFIX_ID}; dkim=fail reason="signature verification failed" header.d={DOMAIN}\n'
    f"{POSTFIX_ID}; spf=softfail smtp.mailfrom={DOMAIN}"
)
_BY_GMAIL = (
    f"{GMAIL_ID}; dkim=pass header.i=@{DOMAIN} header.s=selector1; spf=pass (google.com: domain of {DOMAIN} designates "
    f"192.0.2.10 as permitted sender) smtp.mailfrom={DOMAIN}; dmarc=pass (p=QUARANTINE dis=NONE) header.from={DOMAIN}; "
    "dara=pass"
)


SCENARIOS: tuple[Scenario, ...] = (
    Scenario("healthy", "Token, connection and login work."),
    Scenario(
        "healthy-sender",
        "The server accepts the sender too.",
        check={"depth": "sender"},
    ),
    Scenario("healthy-send", "A whole message is accepted.", check=_SEND),
    Scenario(
        "healthy-certificate",
        "The application authenticates with a certificate instead of a secret.",
        registration=Registration("contoso-certificate", CredentialKind.CERTIFICATE),
    ),
    Scenario(
        "healthy-federated",
        "Another issuer vouches for the application, as a cluster does for its services.",
        registration=Registration("contoso-federated", CredentialKind.FEDERATED),
    ),
    Scenario(
        "healthy-user",
        "A user has signed in, and the refresh token is valid.",
        registration=Registration("contoso-user", CredentialKind.USER),
    ),
    Scenario(
        "secret-expired",
        "The client secret has expired.",
        Cause.SECRET_EXPIRED,
        registration=Registration("contoso-expired", secret_expired=True),
    ),
    Scenario(
        "secret-wrong",
        "The client secret is not one of the application's.",
        Cause.SECRET_INVALID,
        registration=Registration("contoso-wrong-secret", wrong_secret=True),
    ),
    Scenario(
        "app-unknown",
        "The tenant does not know the client id.",
        Cause.APP_NOT_IN_TENANT,
        registration=Registration("contoso-unknown-app", known=False),
    ),
    Scenario(
        "federated-mismatch",
        "The token of the other issuer has a subject that the application does not know.",
        Cause.FEDERATED_ASSERTION_MISMATCH,
        registration=Registration("contoso-federated-mismatch", CredentialKind.FEDERATED, wrong_secret=True),
    ),
    Scenario(
        "login-revoked",
        "A user had signed in, but the refresh token is revoked.",
        Cause.REFRESH_TOKEN_EXPIRED_OR_REVOKED,
        registration=Registration("contoso-user-revoked", CredentialKind.USER, revoked=True),
    ),
    Scenario(
        "audience-wrong",
        "The token is valid, but for Microsoft Graph instead of Exchange Online.",
        Cause.WRONG_TOKEN_AUDIENCE,
        registration=Registration("contoso-graph", keys={"scope": "https://graph.microsoft.com/.default"}),
    ),
    Scenario(
        "smtp-auth-disabled",
        "The token is valid, but the tenant has SMTP AUTH disabled.",
        Cause.SMTP_AUTH_DISABLED_TENANT,
        refuses={"AUTH": replies.SMTP_AUTH_DISABLED_TENANT},
    ),
    Scenario(
        "mailbox-right-missing",
        "The login is accepted, and only the message shows that the application may not open the mailbox.",
        Cause.MAILBOX_PERMISSION_MISSING,
        check=_SEND,
        refuses={"DATA": replies.MAILBOX_LOGON_FAILURE},
    ),
    Scenario(
        "sender-refused",
        "The mailbox may not send as the sender, which shows only after the whole message.",
        Cause.SENDER_NOT_ALLOWED,
        check={**_SEND, "sender": f"board@{DOMAIN}"},
    ),
    Scenario(
        "connections-throttled",
        "Other programs use up the connections that the mailbox may have.",
        Cause.THROTTLED_CONNECTIONS,
        check=_SEND,
        connections=0,
    ),
    Scenario(
        "certificate-expired",
        "The server's certificate expired yesterday.",
        Cause.CERTIFICATE_EXPIRED,
        server=Listener(certificate=Certificate.EXPIRED),
    ),
    Scenario(
        "starttls-missing",
        "The server does not offer STARTTLS, so the token is never sent.",
        Cause.STARTTLS_NOT_OFFERED,
        server=Listener(starttls=False),
    ),
    Scenario(
        "mechanism-missing",
        "The host is a relay that accepts no login.",
        Cause.MECHANISM_NOT_OFFERED,
        server=Listener(mechanisms=()),
    ),
    Scenario(
        "slow",
        "Everything works, but every reply is slow.",
        warnings=frozenset({Cause.SLOW}),
        check={"warn": {"duration": "1s"}},
        server=Listener(delay=0.25),
    ),
    Scenario(
        "silent",
        "The server accepts the connection and says nothing.",
        Cause.TIMEOUT,
        check={"timeout": "2s"},
        server=Listener(delay=3600.0),
    ),
    Scenario(
        "password",
        "A server without OAuth2 accepts the password.",
        server=POSTFIX,
        registration=Registration("site", CredentialKind.PASSWORD),
    ),
    Scenario(
        "password-must-fail",
        "Exchange Online must refuse any password, and does.",
        check={"expect": {"phase": "auth", "code": 535, "enhanced": "5.7.139"}},
        registration=Registration("basic", CredentialKind.PASSWORD, known=False),
    ),
    Scenario(
        "mailbox-must-fail",
        "The application must not reach a mailbox outside its scope, and does not.",
        check={"expect": {"phase": "auth", "code": 535, "enhanced": "5.7.3"}},
        refuses={"AUTH": replies.AUTH_UNSUCCESSFUL},
    ),
    Scenario(
        "relay-must-fail",
        "Without a login no mail may be relayed, and none is.",
        check={
            "sender": f"anybody@{DOMAIN}",
            "recipient": "somebody@elsewhere.example",
            "expect": {"phase": "rcpt", "code": [550, 554]},
        },
        server=POSTFIX,
        registration=NOBODY,
    ),
    Scenario(
        "sender-must-fail",
        "The mailbox must not send as the board, but the server allows it.",
        Cause.UNEXPECTED_SUCCESS,
        check={"sender": f"board@{DOMAIN}", "recipient": RECIPIENT, "expect": {"phase": "rcpt", "code": 553}},
        server=POSTFIX,
        registration=Registration("site", CredentialKind.PASSWORD),
        send_as=frozenset({f"board@{DOMAIN}"}),
    ),
    Scenario(
        "mail-delivered",
        "A message arrives in the inbox, authenticated, and is found by IMAP.",
        check=_loopback("mail-delivered"),
        registration=CONTOSO_MAIL,
        delivery=Delivery(delay=0.5, authentication=_AUTHENTICATED),
    ),
    Scenario(
        "mail-late",
        "A message arrives, but later than allowed.",
        warnings=frozenset({Cause.MAIL_LATE}),
        check=_loopback("mail-late", warn_after="2s"),
        registration=CONTOSO_MAIL,
        delivery=Delivery(delay=3.0),
    ),
    Scenario(
        "mail-in-junk",
        "The receiver's filter puts a message into Junk, where it is found by Microsoft Graph.",
        warnings=frozenset({Cause.MAIL_IN_JUNK}),
        check=_loopback("mail-in-junk"),
        registration=CONTOSO_MAIL,
        delivery=Delivery(
            folder=Use.JUNK,
            authentication=_AUTHENTICATED.replace("dkim=pass", "dkim=fail"),
            filtered=exchange_verdict(5, "SPM", "SPM", "J", "SpamFilterAuthJ"),
        ),
        finding=Finding("graph"),
    ),
    Scenario(
        "mail-in-junk-by-rule",
        "The filter finds nothing, but a rule of the mailbox puts a message into Junk.",
        warnings=frozenset({Cause.MAIL_IN_JUNK}),
        check=_loopback("mail-in-junk-by-rule"),
        registration=CONTOSO_MAIL,
        delivery=Delivery(
            folder=Use.JUNK,
            authentication=_AUTHENTICATED,
            filtered=exchange_verdict(1, "NSPM", "NONE", "J", "CustomRules"),
        ),
    ),
    Scenario(
        "mail-in-junk-spamassassin",
        "A message goes to a Postfix whose SpamAssassin marks it.",
        warnings=frozenset({Cause.MAIL_IN_JUNK}),
        check=_loopback("mail-in-junk-spamassassin", authserv_id=POSTFIX_ID),
        registration=CONTOSO_MAIL,
        delivery=Delivery(
            folder=Use.JUNK, style=Style.POSTFIX, authentication=_BY_POSTFIX, filtered=SPAMASSASSIN, delay=0.5
        ),
    ),
    Scenario(
        "mail-rated-outbound-spam",
        "A message arrives in the inbox at Gmail, but Microsoft rated it as spam when it left.",
        warnings=frozenset({Cause.RATED_OUTBOUND_SPAM}),
        check=_loopback("mail-rated-outbound-spam", authserv_id=GMAIL_ID),
        registration=CONTOSO_MAIL,
        delivery=Delivery(style=Style.GMAIL, authentication=_BY_GMAIL, outbound=OUTBOUND_SPAM),
    ),
    Scenario(
        "mail-lost",
        "The server accepts a message that never arrives.",
        Cause.MAIL_LOST,
        check=_loopback("mail-lost", warn_after="2s", lost_after="4s"),
        registration=CONTOSO_MAIL,
        delivery=Delivery(copies=0),
    ),
    Scenario(
        "mail-bounced",
        "The server accepts a message, and returns it: there is no such recipient.",
        Cause.MAIL_BOUNCED,
        check=_loopback("mail-bounced"),
        registration=CONTOSO_MAIL,
        delivery=Delivery(refusal=Refusal(replies.RECIPIENT_NOT_FOUND)),
    ),
    Scenario(
        "mail-bounced-dmarc",
        "Another server refuses a message for the sender's DMARC policy; the bounce is found by Microsoft Graph.",
        Cause.MAIL_BOUNCED,
        check=_loopback("mail-bounced-dmarc"),
        registration=CONTOSO_MAIL,
        delivery=Delivery(refusal=Refusal(replies.DMARC_REFUSED, Style.GMAIL, "gmail-smtp-in.l.google.example")),
        finding=Finding("graph"),
    ),
    Scenario(
        "mail-delayed",
        "A notice says that a message is delayed; it arrives late.",
        warnings=frozenset({Cause.MAIL_LATE}),
        check=_loopback("mail-delayed", warn_after="2s"),
        registration=CONTOSO_MAIL,
        delivery=Delivery(
            delay=5.0, refusal=Refusal(replies.GREYLISTED, Style.POSTFIX, "mx.contoso.example", delayed=True)
        ),
    ),
    Scenario(
        "finder-refused",
        "A message is sent, but the application may not log in to the mailbox where it should arrive.",
        warnings=frozenset({Cause.FINDER_FAILED}),
        check=_loopback("finder-refused", warn_after="2s", lost_after="4s"),
    ),
    Scenario("graph-healthy", "The right to send by Microsoft Graph is proven, and nothing is sent.", check=_GRAPH),
    Scenario(
        "graph-send",
        "A whole message is accepted by Microsoft Graph.",
        check={**_GRAPH, "depth": "send", "recipient": RECIPIENT, "interval": "15m"},
    ),
    Scenario(
        "graph-consent-missing",
        "The token for Graph holds no permission: nobody has consented to Mail.Send.",
        Cause.GRAPH_PERMISSION_MISSING,
        check=_GRAPH,
        registration=Registration("contoso-no-consent", graph_roles=()),
    ),
    Scenario(
        "graph-mailbox-excluded",
        "The application may send by Graph, but its scope leaves this mailbox out.",
        Cause.EXCHANGE_APP_ACCESS_POLICY,
        check=_GRAPH,
        graph=SendingMailbox(excluded=True),
    ),
    Scenario(
        "graph-throttled",
        "Others use up the requests that Graph serves for this mailbox.",
        Cause.GRAPH_THROTTLED,
        check=_GRAPH,
        graph=SendingMailbox(throttled=1_000_000),
    ),
)
"""The worlds of `smtpcheck demo`."""
