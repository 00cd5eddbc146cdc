"""What Microsoft Graph says of a tenant's directory: enterprise applications, consents, accounts, policies.

Rules of this file:
- It takes the issuer's tokens for Graph alone, and each address needs its permission, as Microsoft documents them.
- Answers have Graph's form (https://learn.microsoft.com/graph/api/overview), with members that nobody asked for, as
  real ones have; what a page does not hold is behind `@odata.nextLink`.
- What goes wrong at the provider's end is an attribute.
"""

import re
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime

from aiohttp import web

from smtpcheck.sandbox.directory import App, Directory, Tenant
from smtpcheck.sandbox.exchange_directory import ExchangeDirectory, MailboxEntry
from smtpcheck.sandbox.graph import AUDIENCES, Graph, refusal
from smtpcheck.sandbox.message_trace import MessageTrace
from smtpcheck.sandbox.sign_in_log import SignInLog
from smtpcheck.sandbox.tokens import SigningKey

EXCHANGE_ONLINE = "00000002-0000-0ff1-ce00-000000000000"
ROLES = {
    "SMTP.SendAsApp": "7146a1f0-8703-45b3-9eae-527a64c00995",
    "IMAP.AccessAsApp": "5e5addcd-3e8d-4e90-baf5-964efab2b20a",
    "Exchange.ManageAsApp": "dc50a0fb-09a3-484d-be87-e023b12c6440",
}
_EXCHANGE_PRINCIPAL = "6a1c5c5e-3a6f-4b59-a1e2-6a0f3c2b9d10"
_BY_APP_ID = re.compile(r"(servicePrincipals|applications)\(appId='([^']*)'\)")
_CHANGED_SINCE = re.compile(r"lastModifiedDateTime ge ([\dTZ:.-]+)")
_ADDRESS = re.compile(r"'(?:smtp:)?((?:[^']|'')+)'")

_Answer = Callable[[web.Request, Tenant], Awaitable[web.Response]]


class GraphDirectory:
    """The directory of the issuer's tenants.

    Attributes:
        exchange: the mailboxes that accounts have.
        throttled: how many of the next requests are answered with 429.
        retry_after: how many seconds such an answer asks to wait.
        page_size: how many items a page has.
        endless: whether every page names a further one.
        next_page: another address that pages name as the next, to see that nobody follows.
        statuses: statuses that are answered instead, without Graph's form, by path.
        answers: bodies that are sent instead, by path.
        sign_ins: the log of sign-ins.
        incidents: open incidents, as Graph shows them.
        messages: the message centre, as Graph shows it.
        asked: path and query of the last requests.
    """

    def __init__(self, directory: Directory, key: SigningKey, applications: Graph, trace: MessageTrace) -> None:
        """Show the directory to a client with a token that `key` verifies."""
        self.exchange = ExchangeDirectory()
        self.throttled, self.retry_after = 0, 1
        self.page_size, self.endless, self.next_page = 100, False, ""
        self.sign_ins = SignInLog()
        self.incidents: list[Mapping[str, object]] = []
        self.messages: list[Mapping[str, object]] = []
        self.statuses: dict[str, int] = {}
        self.answers: dict[str, object] = {}
        self.asked: deque[str] = deque(maxlen=10_000)
        self._directory, self._key, self._applications, self._trace = directory, key, applications, trace

    def serve(self, app: web.Application) -> None:
        """Add its addresses to an application."""
        add = app.router.add_get
        reads = ("Application.Read.All", "Directory.Read.All")
        add("/v1.0/servicePrincipals/{id}/appRoleAssignments", self._for(reads, self._role_assignments))
        add("/v1.0/servicePrincipals/{id}/oauth2PermissionGrants", self._for(("Directory.Read.All",), self._grants))
        add("/v1.0/{application}/federatedIdentityCredentials", self._for(reads, self._federated))
        add("/v1.0/users", self._for(("User.Read.All",), self._users))
        add("/v1.0/users/{user}", self._for(("User.Read.All",), self._user))
        add("/v1.0/users/{user}/mailboxSettings/userPurpose", self._for(("MailboxSettings.Read",), self._purpose))
        add("/v1.0/directory/deletedItems/microsoft.graph.user", self._for(("User.Read.All",), self._deleted))
        policies = ("Policy.Read.All",)
        add("/v1.0/policies/identitySecurityDefaultsEnforcementPolicy", self._for(policies, self._security_defaults))
        add("/v1.0/identity/conditionalAccess/policies", self._for(policies, self._policies))
        add("/v1.0/admin/serviceAnnouncement/issues", self._for(("ServiceHealth.Read.All",), self._issues))
        add("/v1.0/admin/serviceAnnouncement/messages", self._for(("ServiceMessage.Read.All",), self._messages))
        tracing, traces = "/v1.0/admin/exchange/tracing/messageTraces", ("ExchangeMessageTrace.Read.All",)
        add(tracing, self._for(traces, self._traces))
        add(tracing + "/{id}/{details}", self._for(traces, self._trace_details))
        add("/beta/auditLogs/signIns", self._for(("AuditLog.Read.All",), self._sign_ins))
        add("/v1.0/{item}", self._item)

    async def _item(self, request: web.Request) -> web.Response:
        match = _BY_APP_ID.fullmatch(request.match_info["item"])
        if match is None or match[1] == "applications":
            self.asked.append(request.path_qs)
            if request.path in self.answers:
                return web.json_response(self.answers[request.path])
            return await self._applications.item(request)
        return await self._for(("Application.Read.All",), self._principal)(request)

    def _for(self, permissions: tuple[str, ...], answer: _Answer) -> Callable[[web.Request], Awaitable[web.Response]]:
        """Return the handler that answers who has one of the permissions."""

        async def handle(request: web.Request) -> web.Response:
            self.asked.append(request.path_qs)
            if self.throttled:
                self.throttled -= 1
                busy = refusal(request, 429, "TooManyRequests", "Too many requests.")
                busy.headers["Retry-After"] = str(self.retry_after)
                return busy
            claims = self._key.verify(request.headers.get("Authorization", "")[7:], AUDIENCES)
            if claims is None:
                return refusal(request, 401, "InvalidAuthenticationToken", "Access token validation failure.")
            roles = claims.get("roles")
            if not isinstance(roles, list) or not set(permissions) & set(roles):
                message = "Insufficient privileges to complete the operation."
                return refusal(request, 403, "Authorization_RequestDenied", message)
            if request.path in self.statuses:
                return web.Response(status=self.statuses[request.path], text="<html>Not found</html>")
            if request.path in self.answers:
                return web.json_response(self.answers[request.path])
            tenant = self._directory.tenant(str(claims["tid"]))
            if tenant is None:
                return _missing(request)
            return await answer(request, tenant)

        return handle

    async def _principal(self, request: web.Request, tenant: Tenant) -> web.Response:
        match = _BY_APP_ID.fullmatch(request.match_info["item"])
        client_id = match[2] if match else ""
        if client_id == EXCHANGE_ONLINE:
            return web.json_response(_exchange_principal())
        app = tenant.apps.get(client_id)
        if app is None or not app.principal:
            return _missing(request)
        return web.json_response({"@odata.context": "https://graph.microsoft.com/v1.0/$metadata", **_principal(app)})

    async def _role_assignments(self, request: web.Request, tenant: Tenant) -> web.Response:
        app = _app_of(request, tenant)
        if app is None:
            return _missing(request)
        return self._page(request, [_assignment(app, role) for role in app.roles if role in ROLES])

    async def _grants(self, request: web.Request, tenant: Tenant) -> web.Response:
        app = _app_of(request, tenant)
        if app is None:
            return _missing(request)
        grant = {
            "clientId": app.principal_id,
            "consentType": "AllPrincipals",
            "id": str(uuid.uuid4()),
            "principalId": None,
            "resourceId": _EXCHANGE_PRINCIPAL,
            "scope": f" {' '.join(app.delegated)}",
        }
        return self._page(request, [grant] if app.delegated else [])

    async def _federated(self, request: web.Request, tenant: Tenant) -> web.Response:
        match = _BY_APP_ID.fullmatch(request.match_info["application"])
        app = tenant.apps.get(match[2]) if match else None
        if app is None:
            return _missing(request)
        rows = [
            {"id": str(uuid.uuid4()), "name": "cluster", "issuer": each.issuer, "subject": each.subject}
            | {"description": None, "audiences": [each.audience]}
            for each in app.federated
        ]
        return self._page(request, rows)

    async def _users(self, request: web.Request, _tenant: Tenant) -> web.Response:
        match = _ADDRESS.search(request.query.get("$filter", ""))
        address = match[1].replace("''", "'").casefold() if match else ""
        found = [each for each in self._present() if address in {each.address.casefold(), *_lower(each.aliases)}]
        return self._page(request, [_user(each) for each in found])

    async def _user(self, request: web.Request, _tenant: Tenant) -> web.Response:
        entry = self.exchange.mailbox(request.match_info["user"])
        if entry is None or not entry.exists:
            return _missing(request)
        return web.json_response({"@odata.context": "https://graph.microsoft.com/v1.0/$metadata#users", **_user(entry)})

    async def _purpose(self, request: web.Request, _tenant: Tenant) -> web.Response:
        entry = self.exchange.mailbox(request.match_info["user"])
        if entry is None or not entry.exists:
            message = "The mailbox is either inactive, soft-deleted, or is hosted on-premise."
            return refusal(request, 404, "MailboxNotEnabledForRESTAPI", message)
        return web.json_response(
            {"@odata.context": "https://graph.microsoft.com/v1.0/$metadata", "value": entry.purpose}
        )

    async def _deleted(self, request: web.Request, _tenant: Tenant) -> web.Response:
        match = _ADDRESS.search(request.query.get("$filter", ""))
        entry = self.exchange.mailbox(match[1].replace("''", "'")) if match else None
        if entry is None or not entry.soft_deleted:
            return self._page(request, [])
        name = f"{entry.object_id.replace('-', '')}{entry.address}"
        return self._page(request, [{"id": entry.object_id, "userPrincipalName": name, "deletedDateTime": _now()}])

    async def _security_defaults(self, _request: web.Request, tenant: Tenant) -> web.Response:
        policy = {"id": "00000000-0000-0000-0000-000000000005", "displayName": "Security Defaults"}
        return web.json_response({**policy, "isEnabled": tenant.security_defaults})

    async def _policies(self, request: web.Request, tenant: Tenant) -> web.Response:
        if not tenant.premium:
            code = "Authentication_RequestFromNonPremiumTenantOrB2CTenant"
            return refusal(request, 403, code, "Neither tenant is B2C or tenant doesn't have premium license")
        return self._page(request, list(tenant.policies))

    async def _sign_ins(self, request: web.Request, tenant: Tenant) -> web.Response:
        if not tenant.premium:
            code = "Authentication_RequestFromNonPremiumTenantOrB2CTenant"
            return refusal(request, 403, code, "Neither tenant is B2C or tenant doesn't have premium license")
        return self._page(request, self.sign_ins.found(request.query.get("$filter", "")))

    async def _traces(self, request: web.Request, _tenant: Tenant) -> web.Response:
        return self._page(request, self._trace.graph_rows(request.query.get("$filter", "")))

    async def _trace_details(self, request: web.Request, _tenant: Tenant) -> web.Response:
        reason = self._trace.detail(request.match_info["id"])
        return self._page(request, [{"event": "Receive"}, {"event": "Fail", "description": reason}])

    async def _issues(self, request: web.Request, _tenant: Tenant) -> web.Response:
        return self._page(request, self.incidents)

    async def _messages(self, request: web.Request, _tenant: Tenant) -> web.Response:
        match = _CHANGED_SINCE.fullmatch(request.query.get("$filter", ""))
        since = match[1] if match else ""
        return self._page(request, [each for each in self.messages if str(each.get("lastModifiedDateTime")) >= since])

    def _present(self) -> Iterable[MailboxEntry]:
        return (each for each in self.exchange.mailboxes.values() if each.exists)

    def _page(self, request: web.Request, rows: Sequence[Mapping[str, object]]) -> web.Response:
        """Return one page of a collection, and where the next one is."""
        begin = int(request.query.get("$skiptoken", "0"))
        shown = rows[begin : begin + self.page_size]
        body: dict[str, object] = {"@odata.context": "https://graph.microsoft.com/v1.0/$metadata", "value": shown}
        if self.next_page:
            body["@odata.nextLink"] = self.next_page
        elif self.endless or begin + self.page_size < len(rows):
            body["@odata.nextLink"] = str(request.url.update_query({"$skiptoken": str(begin + self.page_size)}))
        return web.json_response(body)


def incident(identity: str = "EX226792", service: str = "Exchange Online") -> dict[str, object]:
    """Return an incident as Graph's samples write it, in PascalCase."""
    return {
        "id": identity,
        "classification": "Incident",
        "status": "ServiceDegradation",
        "service": service,
        "title": "Users may be unable to send mail by SMTP AUTH",
        "startDateTime": "2026-11-27T08:00:00Z",
        "lastModifiedDateTime": "2026-11-27T09:00:00Z",
        "isResolved": False,
        "posts": [{"description": {"contentType": "html", "content": "<p>We're investigating.</p>"}}],
    }


def announcement(
    identity: str = "MC786329",
    title: str = "(Updated) Exchange Online to retire Basic Auth for Client Submission (SMTP AUTH)",
    *,
    act_by: str | None = None,
) -> dict[str, object]:
    """Return a message of the message centre as Graph shows it to an application."""
    return {
        "id": identity,
        "startDateTime": "2024-04-26T00:16:47Z",
        "endDateTime": "2026-03-30T07:00:00Z",
        "lastModifiedDateTime": _now(),
        "title": title,
        "category": "planForChange",
        "severity": "normal",
        "tags": ["Updated message", "User impact", "Admin impact", "Retirement"],
        "isMajorChange": True,
        "actionRequiredByDateTime": act_by,
        "services": ["Exchange Online"],
        "hasAttachments": False,
        "viewPoint": None,
        "details": [{"name": "Summary", "value": "Applications must use OAuth."}],
        "body": {"contentType": "html", "content": "<p>550 5.7.30 Basic authentication is not supported.</p>"},
    }


def policy() -> dict[str, object]:
    """Return a policy of conditional access that blocks an application wherever it signs in from."""
    return {
        "id": "6a1c5c5e-3a6f-4b59-a1e2-6a0f3c2b9d11",
        "displayName": "Block workload identities outside of the office",
        "state": "enabled",
        "conditions": {"clientAppTypes": ["all"]},
        "grantControls": {"operator": "OR", "builtInControls": ["block"]},
    }


def _app_of(request: web.Request, tenant: Tenant) -> App | None:
    wanted = request.match_info["id"]
    return next((app for app in tenant.apps.values() if app.principal_id == wanted and app.principal), None)


def _principal(app: App) -> dict[str, object]:
    return {
        "id": app.principal_id,
        "appId": app.client_id,
        "accountEnabled": not app.disabled,
        "appRoleAssignmentRequired": app.assignment_required,
        "disabledByMicrosoftStatus": None,
        "displayName": app.name,
        "servicePrincipalType": "Application",
    }


def _exchange_principal() -> dict[str, object]:
    roles = [
        {"id": identifier, "value": value, "allowedMemberTypes": ["Application"], "isEnabled": True}
        for value, identifier in ROLES.items()
    ]
    return {"id": _EXCHANGE_PRINCIPAL, "appId": EXCHANGE_ONLINE, "accountEnabled": True, "appRoles": roles}


def _assignment(app: App, role: str) -> dict[str, object]:
    return {
        "id": uuid.uuid5(uuid.NAMESPACE_OID, f"{app.client_id} {role}").hex,
        "appRoleId": ROLES[role],
        "principalId": app.principal_id,
        "principalType": "ServicePrincipal",
        "principalDisplayName": app.name,
        "resourceId": _EXCHANGE_PRINCIPAL,
        "resourceDisplayName": "Office 365 Exchange Online",
        "createdDateTime": "2025-11-20T10:00:00Z",
    }


def _user(entry: MailboxEntry) -> dict[str, object]:
    return {
        "id": entry.object_id,
        "accountEnabled": entry.enabled,
        "userPrincipalName": entry.address,
        "mail": entry.address,
        "proxyAddresses": [f"SMTP:{entry.address}", *(f"smtp:{alias}" for alias in entry.aliases)],
        "assignedPlans": [
            {"service": "exchange", "capabilityStatus": entry.licence, "servicePlanId": str(uuid.uuid4())},
            {"service": "SharePoint", "capabilityStatus": "Enabled", "servicePlanId": str(uuid.uuid4())},
        ],
        "userType": "Member",
    }


def _lower(texts: Iterable[str]) -> set[str]:
    return {text.casefold() for text in texts}


def _missing(request: web.Request) -> web.Response:
    message = "Resource does not exist or one of its queried reference-property objects are not present."
    return refusal(request, 404, "Request_ResourceNotFound", message)


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
