"""What a scenario is: a check in a world of its own, and what must come out.

Rule of this file: what is wrong is data, which the services of the sandbox read; a scenario does nothing itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from smtpcheck.model.cause import Cause
from smtpcheck.model.report import Outcome, Report
from smtpcheck.sandbox import gmail, postfix
from smtpcheck.sandbox.directory import IssuerFailure
from smtpcheck.sandbox.flaws import Flaw
from smtpcheck.sandbox.graph_send import SendingMailbox
from smtpcheck.sandbox.mail_store import AT_ONCE, Delivery
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
    API_KEY = "api_key"
    """The key of a mail API, with an account of its own there."""
    AWS = "aws"
    """An access key of AWS, with an account of its own at Amazon SES."""
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
    token_age: float = 0.0
    """How many seconds ago its tokens were issued, as a cache on the way gives them out; the consent came after."""
    scopes: tuple[str, ...] = ()
    """Further scopes for which a service account of Google may act for users."""
    reads: bool = False
    """Whether a service account of Google has the roles to read users, service accounts and keys."""
    failure: IssuerFailure | None = None
    keys: Mapping[str, object] = field(default_factory=dict)
    """Further keys of the credential's configuration."""
    inspected_by: "Registration | None" = None
    """The application that reads what the provider says of this one."""
    api: str = ""
    """The mail API that a key is for."""
    account: Mapping[str, Any] = field(default_factory=dict)
    """What is special about the account there: fields of `ApiAccount` or `SesAccount`."""


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
        *("AuditLog.Read.All", "ServiceHealth.Read.All", "ServiceMessage.Read.All"),
        "ExchangeMessageTrace.Read.All",
    ),
)
"""An application that may read what the provider says, and nothing else."""


WORKSPACE_AUDITOR = Registration("workspace-auditor", CredentialKind.GOOGLE_ACCOUNT, delegated=False, reads=True)
"""A service account of Google that may read what Google says, and has no delegation."""


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
