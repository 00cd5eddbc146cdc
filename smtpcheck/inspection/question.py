"""What one question of the inspection is: what it needs, as data, and how it is asked.

Rules of this file:
- A question is asked for the tenant, for the application, for one mailbox, or for one message. It answers with facts;
  what keeps it from an answer is a `NotReadableError`, which the inspector turns into a value.
- What it needs is data that others read: `setup` grants it, `validate` announces its requests.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from smtpcheck.inspection.exchange import Cmdlet, ExchangeReader
from smtpcheck.inspection.google import GooglePath, GoogleReader, TokenRequest
from smtpcheck.inspection.graph import GraphPath, GraphReader
from smtpcheck.inspection.plan import InspectionPlan, Option
from smtpcheck.model.inspection import Announcement, Fact, FactName, Incident, Inspection, Value
from smtpcheck.oauth.clouds import Cloud
from smtpcheck.oauth.google_key_file import AccountIdentity
from smtpcheck.secrets.secret import Secret

EVERY_CLOUD = frozenset(Cloud)
MICROSOFT = frozenset({"microsoft", "microsoft-managed-identity", "microsoft-user"})
SERVICE_ACCOUNT = frozenset({"google-service-account"})
GOOGLE = SERVICE_ACCOUNT | {"google-user"}


class Api(StrEnum):
    """Whose permissions a question needs, by the name that administrators know."""

    GRAPH = "Microsoft Graph"
    EXCHANGE = "Office 365 Exchange Online"
    DIRECTORY = "Admin SDK API"
    IAM = "IAM API"
    GMAIL = "Gmail API"
    GOOGLE_TOKENS = "Google's token endpoint"
    GOOGLE_STATUS = "Google Workspace Status Dashboard"

    @property
    def is_google(self) -> bool:
        """Return whether it is one of Google's."""
        return self not in {Api.GRAPH, Api.EXCHANGE}


class About(StrEnum):
    """What a question is about, and so how often it is asked."""

    TENANT = "tenant"
    APPLICATION = "application"
    MAILBOX = "mailbox"
    MESSAGE = "message"
    SIGN_IN = "sign_in"


@dataclass(frozen=True, slots=True)
class Needs:
    """What a question needs of the tenant, and what it costs."""

    api: Api
    permissions: tuple[str, ...]
    """Application permissions of the inspector, all of them, by value: `Application.Read.All`; scopes at Google."""
    directory_roles: tuple[str, ...] = ()
    """Roles in Entra besides, or at Google, any one of which is enough."""
    licence: str = ""
    """What the tenant must have, in words; empty for nothing."""
    clouds: frozenset[Cloud] = EVERY_CLOUD
    requests: int = 1
    """How many requests it costs each time that it is asked, as long as an answer has one page."""
    documented: bool = True
    """Whether the provider documents the interface that it is asked by."""


def exchange_needs(requests: int = 1) -> Needs:
    """Return what any question to Exchange needs that costs so many requests."""
    return Needs(
        Api.EXCHANGE,
        ("Exchange.ManageAsApp",),
        directory_roles=("Global Reader",),
        clouds=EVERY_CLOUD - {Cloud.CHINA},
        requests=requests,
        documented=False,
    )


EXCHANGE_NEEDS = exchange_needs()


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom or what a question is asked about."""

    client_id: str
    mailbox: str = ""
    assertion: Mapping[str, object] = field(default_factory=dict)
    """The claims `iss`, `sub` and `aud` of the token that proves the application, where it is proven by one."""
    secret: Secret | None = None
    """The secret that proves it, where one does and it can be read."""
    message_id: str = ""
    since: float = 0.0
    """From when on sign-ins and messages are looked for (Unix seconds)."""
    until: float = 0.0
    correlation_id: str = ""
    """Of the token request whose sign-in is looked for, where it is known."""
    account: AccountIdentity = field(default_factory=AccountIdentity)
    """The service account of Google that is inspected, as its key's file says."""
    scope: str = ""
    """The scope that its mail needs."""


@dataclass(frozen=True, slots=True)
class MicrosoftReaders:
    """How Microsoft is asked."""

    graph: GraphReader
    exchange: ExchangeReader


@dataclass(frozen=True, slots=True)
class Asked:
    """What a question has at hand."""

    readers: MicrosoftReaders | GoogleReader
    subject: Subject
    known: Inspection
    """What the questions before it have found."""
    now: float
    """The time (Unix seconds)."""

    @property
    def graph(self) -> GraphReader:
        """Return how Microsoft Graph is asked."""
        return self._microsoft.graph

    @property
    def exchange(self) -> ExchangeReader:
        """Return how Exchange Online is asked."""
        return self._microsoft.exchange

    @property
    def google(self) -> GoogleReader:
        """Return how Google is asked."""
        if not isinstance(self.readers, GoogleReader):
            raise TypeError("a question to Google is asked at Microsoft")
        return self.readers

    @property
    def _microsoft(self) -> MicrosoftReaders:
        if not isinstance(self.readers, MicrosoftReaders):
            raise TypeError("a question to Microsoft is asked at Google")
        return self.readers

    def fact(
        self,
        name: FactName,
        by: GraphPath | Cmdlet | GooglePath | TokenRequest,
        *,
        value: Value,
        item: str = "",
        changed_at: float | None = None,
        personal: bool = False,
    ) -> Fact:
        """Return a fact that was read now, by this request, about the subject."""
        return Fact(
            *(name, value, by.source, by.shown, self.now),
            subject=self.subject.mailbox if name.is_of_mailbox else "",
            item=item,
            changed_at=changed_at,
            personal=personal,
        )


Answer = tuple[Fact | Incident | Announcement, ...]


@dataclass(frozen=True, slots=True)
class Question:
    """One question."""

    name: str
    shows: str
    """What it answers, in a few words."""
    about: About
    needs: Needs
    ask: Callable[[Asked], Awaitable[Answer]]
    """Raises NotReadableError."""
    gives: tuple[FactName, ...]
    """The facts that its answer may hold."""
    option: Option = Option.ALWAYS
    of: frozenset[str] = MICROSOFT
    """The types of credentials about which it can be asked."""

    def is_asked(self, plan: InspectionPlan) -> bool:
        """Return whether it is asked about the credential of a plan."""
        return plan.credential_type in self.of and plan.asks(self.option)
