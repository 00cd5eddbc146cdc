"""Microsoft Graph, read only.

Rules of this file:
- `GraphPath` is the allow-list: every request is one of its members, filled in with quoted values, and its method is
  GET. Nothing else can be asked.
- A further page is read only at the same address and path; an answer that does not end is not used, nor one that is
  not a list of objects: what is missing would be taken for what is not there.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import quote, urlsplit

from smtpcheck.http_client.exchange import Fault, Response
from smtpcheck.http_client.urls import is_same_origin
from smtpcheck.inspection import members
from smtpcheck.inspection.not_readable import NotReadableError
from smtpcheck.inspection.reader import MOST_PAGES, Reader, unreachable
from smtpcheck.model.inspection import Obstacle

EXCHANGE_ONLINE = "00000002-0000-0ff1-ce00-000000000000"
"""The application id of Office 365 Exchange Online, the same in every tenant."""

_USER = "id,accountEnabled,userPrincipalName,mail,proxyAddresses,assignedPlans"
_NO_LICENCE = "Authentication_RequestFromNonPremiumTenantOrB2CTenant"
_VALUE = re.compile(r"\{\w+\}")
_NOT_THERE = frozenset(
    {
        "Request_ResourceNotFound",
        "ResourceNotFound",
        "MailboxNotEnabledForRESTAPI",
        "ErrorInvalidUser",
        "ErrorItemNotFound",
    }
)
"""What Graph says of an object that does not exist; any other 404 is somebody else's."""
_EVENTUAL = {"ConsistencyLevel": "eventual"}
_LONG_PAGES = {"Prefer": "odata.maxpagesize=250"}
"""For a collection of hundreds: what fits into one answer, with their bodies."""


class GraphPath(StrEnum):
    """Everything that is ever asked of Graph."""

    PRINCIPAL = (
        "/v1.0/servicePrincipals(appId='{client_id}')"
        "?$select=id,appId,accountEnabled,appRoleAssignmentRequired,disabledByMicrosoftStatus"
    )
    EXCHANGE_PRINCIPAL = f"/v1.0/servicePrincipals(appId='{EXCHANGE_ONLINE}')?$select=id,appId,accountEnabled,appRoles"
    ROLE_ASSIGNMENTS = "/v1.0/servicePrincipals/{principal_id}/appRoleAssignments"
    GRANTS = "/v1.0/servicePrincipals/{principal_id}/oauth2PermissionGrants"
    APPLICATION = "/v1.0/applications(appId='{client_id}')?$select=id,appId,passwordCredentials,keyCredentials"
    FEDERATED = "/v1.0/applications(appId='{client_id}')/federatedIdentityCredentials"
    USER = f"/v1.0/users/{{mailbox}}?$select={_USER}"
    USER_BY_ADDRESS = (
        f"/v1.0/users?$count=true&$filter=proxyAddresses/any(p:p eq 'smtp:{{mailbox}}')&$select={_USER}&$top=5"
    )
    DELETED_USER = (
        "/v1.0/directory/deletedItems/microsoft.graph.user"
        "?$count=true&$filter=endsWith(userPrincipalName,'{mailbox}')&$select=id,userPrincipalName,deletedDateTime&$top=5"
    )
    PURPOSE = "/v1.0/users/{user_id}/mailboxSettings/userPurpose"
    SECURITY_DEFAULTS = "/v1.0/policies/identitySecurityDefaultsEnforcementPolicy"
    POLICIES = "/v1.0/identity/conditionalAccess/policies"
    SIGN_INS = (
        "/beta/auditLogs/signIns?$filter=signInEventTypes/any(t: t eq 'servicePrincipal') and appId eq '{client_id}'"
        " and createdDateTime ge {since} and createdDateTime le {until}&$top=25"
    )
    SIGN_INS_BY_CORRELATION = (
        "/beta/auditLogs/signIns?$filter=signInEventTypes/any(t: t eq 'servicePrincipal')"
        " and correlationId eq '{correlation_id}'&$top=5"
    )
    PASSWORD_SIGN_INS = (
        "/beta/auditLogs/signIns?$filter=signInEventTypes/any(t: t eq 'interactiveUser' or t eq 'nonInteractiveUser')"
        " and clientAppUsed eq 'Authenticated SMTP' and createdDateTime ge {since}&$top=500"
    )
    HEALTH = "/v1.0/admin/serviceAnnouncement/issues?$filter=isResolved eq false"
    MESSAGES = "/v1.0/admin/serviceAnnouncement/messages?$filter=lastModifiedDateTime ge {since}"
    TRACE = (
        "/v1.0/admin/exchange/tracing/messageTraces?$filter=messageId eq '{message_id}'"
        " and receivedDateTime ge {since} and receivedDateTime le {until}&$top=50"
    )
    TRACE_DETAILS = (
        "/v1.0/admin/exchange/tracing/messageTraces/{trace_id}/getDetailsByRecipient(recipientAddress='{recipient}')"
    )

    def address(self, root: str, values: Mapping[str, str]) -> str:
        """Return the URL below `root`; values are quoted, so that none adds to the request."""
        quoted = {name: quote(value.replace("'", "''"), safe="") for name, value in values.items()}
        return root + self.value.format_map(quoted).replace(" ", "%20")

    @property
    def source(self) -> str:
        """Return who answers: the service behind it."""
        return _SOURCES.get(self.name, "Entra")

    @property
    def shown(self) -> str:
        """Return how an administrator would name the request: its path without values and query."""
        path = self.value.partition("?")[0].replace(EXCHANGE_ONLINE, "...")
        return f"GET {_VALUE.sub('...', path)}"


_SOURCES = {
    "PURPOSE": "Exchange",
    "TRACE": "Exchange",
    "TRACE_DETAILS": "Exchange",
    "HEALTH": "Microsoft 365",
    "MESSAGES": "Microsoft 365",
    "SIGN_INS": "Entra sign-in log",
    "SIGN_INS_BY_CORRELATION": "Entra sign-in log",
    "PASSWORD_SIGN_INS": "Entra sign-in log",
}


@dataclass(frozen=True, slots=True)
class GraphItem:
    """One object, and how far the clock of Graph is ahead of ours."""

    members: Mapping[str, Any]
    offset: float = 0.0


@dataclass(frozen=True, slots=True)
class Listing:
    """The objects of a collection, as far as it was read."""

    items: tuple[GraphItem, ...]
    is_whole: bool


@dataclass(frozen=True, slots=True)
class GraphReader:
    """Asks Graph with the tokens of one inspector."""

    reader: Reader
    root: str
    scope: str

    async def get(self, path: GraphPath, **values: str) -> GraphItem | None:
        """Return one object, None where there is none (404). Raises NotReadableError."""
        answer = await self._ask(path.address(self.root, values), path)
        return None if answer is None else GraphItem(_content(answer), answer.clock_offset or 0.0)

    async def items(self, path: GraphPath, **values: str) -> tuple[GraphItem, ...]:
        """Return every object of a collection, none where there is no such collection (404).

        Raises NotReadableError, also where the collection has more than `MOST_PAGES` pages.
        """
        listing = await self.listing(path, **values)
        if not listing.is_whole:
            raise NotReadableError(Obstacle.UNEXPECTED, f"the answer has more than {MOST_PAGES} pages")
        return listing.items

    async def listing(self, path: GraphPath, **values: str) -> Listing:
        """Return the objects of a collection, those of the first `MOST_PAGES` pages. Raises NotReadableError."""
        url = path.address(self.root, values)
        found: list[GraphItem] = []
        for _ in range(MOST_PAGES):
            answer = await self._ask(url, path)
            if answer is None:
                return Listing(tuple(found), is_whole=True)
            page = _content(answer)
            if (items := members.rows(page, "value")) is None:
                raise NotReadableError(Obstacle.UNEXPECTED, "the answer is not a whole list")
            found += (GraphItem(each, answer.clock_offset or 0.0) for each in items)
            following = page.get("@odata.nextLink")
            if following is None:
                return Listing(tuple(found), is_whole=True)
            if not self._is_page_of(following, url):
                raise NotReadableError(Obstacle.UNEXPECTED, "the next page is at another address")
            url = following
        return Listing(tuple(found), is_whole=False)

    def _is_page_of(self, following: object, url: str) -> bool:
        is_there = isinstance(following, str) and is_same_origin(following, url) and following != url
        return is_there and urlsplit(str(following)).path == urlsplit(url).path

    async def _ask(self, url: str, path: GraphPath) -> Response | None:
        token = await self.reader.token(self.scope)
        headers = _EVENTUAL if "$count=true" in path.value else _LONG_PAGES if path is GraphPath.MESSAGES else {}
        answer = await self.reader.exchange("GET", url, token, headers=headers, keep=("request-id",))
        if isinstance(answer, Fault):
            raise unreachable(answer)
        if answer.status == 404 and _code(answer) in _NOT_THERE:
            return None
        if answer.status != 200:
            raise _refusal(answer)
        return answer


def _content(answer: Response) -> Mapping[str, Any]:
    content = answer.json
    if content is None:
        problem = "is not a JSON object" if answer.is_whole else "is too large"
        raise NotReadableError(Obstacle.UNEXPECTED, f"the answer {problem}")
    return content


def _error(answer: Response) -> Mapping[str, Any]:
    error = (answer.json or {}).get("error")
    return error if isinstance(error, Mapping) else {}


def _code(answer: Response) -> str:
    return members.text(_error(answer), "code", 80)


def _refusal(answer: Response) -> NotReadableError:
    code, message = _code(answer), members.text(_error(answer), "message", 500)
    if code == _NO_LICENCE:
        return NotReadableError(Obstacle.LICENCE, "")
    if "service principal for App ID" in message:
        return NotReadableError(
            Obstacle.UNAVAILABLE, "the tenant lacks the application 8bd644d1-64a1-4d4b-ae52-2e0cbf64e373 of Microsoft"
        )
    if answer.status == 403:
        return NotReadableError(Obstacle.PERMISSION, "")
    if answer.status == 401:
        return NotReadableError(Obstacle.NO_TOKEN, f"Graph does not accept the token ({code or 'HTTP 401'})")
    obstacle = Obstacle.UNREACHABLE if answer.status >= 500 else Obstacle.UNEXPECTED
    return NotReadableError(obstacle, f"Graph answered HTTP {answer.status}{f' {code}' if code else ''}")
