"""The interface of Exchange Online's PowerShell module, with its quirks: `POST /adminapi/beta/{tenant}/InvokeCommand`.

Rules of this file:
- It takes the issuer's tokens for Exchange with `Exchange.ManageAsApp`. Without a role in the directory, and for a
  cmdlet that does not exist, it answers as the real one: 403 with NUL octets that claim to be gzip.
- Only reading cmdlets exist here; whoever asks for another one is seen in `refused`.
- A service principal is named by its SID in mailbox permissions, and a mistake has its reason behind the last `|`.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from smtpcheck.sandbox.directory import App, Directory
from smtpcheck.sandbox.exchange import AUDIENCES
from smtpcheck.sandbox.exchange_directory import SMTP_ROLE, ExchangeDirectory, MailboxEntry
from smtpcheck.sandbox.message_trace import MessageTrace
from smtpcheck.sandbox.tokens import SigningKey

_Rows = list[dict[str, object]]


class NotThereError(Exception):
    """There is no such object."""


class ExchangeAdmin:
    """The administration of one organization.

    Attributes:
        exchange: what it administers.
        trace: what became of messages.
        readers: client ids of applications with a role such as Global Reader; None: all of them.
        status: an HTTP status that every request is answered with instead; 0 for none.
        redirect: where every request is sent instead; empty for nowhere.
        page_size: how many rows a page has.
        endless: whether every page names a further one.
        answers: bodies that are sent instead, by cmdlet.
        without: cmdlets that the readers' role does not have.
        asked: name and parameters of the last cmdlets.
        refused: names of cmdlets that were asked for and do not exist here.
    """

    def __init__(self, directory: Directory, key: SigningKey, exchange: ExchangeDirectory, trace: MessageTrace) -> None:
        """Answer clients with a token that `key` verifies."""
        self.exchange, self.trace = exchange, trace
        self.readers: set[str] | None = None
        self.status, self.redirect = 0, ""
        self.page_size, self.endless = 1000, False
        self.answers: dict[str, object] = {}
        self.without: set[str] = set()
        self.asked: deque[tuple[str, dict[str, object]]] = deque(maxlen=10_000)
        self.refused: list[str] = []
        self._directory, self._key = directory, key

    def serve(self, app: web.Application) -> None:
        """Add its address to an application."""
        app.router.add_post("/adminapi/beta/{tenant}/InvokeCommand", self._invoke)

    async def _invoke(self, request: web.Request) -> web.Response:
        command = (await request.json())["CmdletInput"]
        name, parameters = str(command["CmdletName"]), dict(command["Parameters"])
        self.asked.append((name, parameters))
        if self.redirect:
            return web.Response(status=302, headers={"Location": self.redirect})
        if self.status:
            return web.Response(status=self.status)
        claims = self._key.verify(request.headers.get("Authorization", "")[7:], AUDIENCES)
        if claims is None or claims.get("tid") != request.match_info["tenant"]:
            return web.Response(status=401)
        roles = claims.get("roles")
        if not isinstance(roles, list) or "Exchange.ManageAsApp" not in roles:
            message = f"The role assigned to application {claims.get('appid')} isn't supported in this scenario."
            return web.json_response({"error": {"code": "Forbidden", "message": message}}, status=403)
        cmdlet = _CMDLETS.get(name)
        if cmdlet is None:
            self.refused.append(name)
        may = self.readers is None or claims.get("appid") in self.readers
        if cmdlet is None or not may or name in self.without:
            return web.Response(status=403, body=bytes(64), headers={"Content-Encoding": "gzip"})
        if name in self.answers:
            return web.json_response(self.answers[name])
        try:
            rows = cmdlet(self, parameters)
        except NotThereError:
            return _not_there(str(parameters.get("Identity", "")))
        return self._page(request, rows)

    def _page(self, request: web.Request, rows: _Rows) -> web.Response:
        begin = int(request.query.get("$skiptoken", "0"))
        body: dict[str, object] = {
            "@odata.context": f"{request.url.origin()}/adminapi/beta/$metadata#Collection(Edm.ComplexType)",
            "@adminapi.warnings": [],
            "value": rows[begin : begin + self.page_size],
        }
        if self.endless or begin + self.page_size < len(rows):
            body["@odata.nextLink"] = str(request.url.update_query({"$skiptoken": str(begin + self.page_size)}))
        return web.json_response(body)

    def app(self, identity: object) -> App:
        """Return the application of a client id or object id."""
        for tenant in self._directory.tenants:
            for app in tenant.apps.values():
                registration = self.exchange.registration(app)
                if registration is not None and str(identity) in {app.client_id, registration.object_id}:
                    return app
        raise NotThereError

    def apps(self) -> Iterator[App]:
        """Yield every application of every tenant."""
        return (app for tenant in self._directory.tenants for app in tenant.apps.values())

    def mailbox(self, identity: object) -> MailboxEntry:
        """Return the mailbox of an address."""
        entry = self.exchange.mailbox(str(identity))
        if entry is None or not entry.exists:
            raise NotThereError
        return entry


def _transport(admin: ExchangeAdmin, _parameters: Mapping[str, Any]) -> _Rows:
    return [{"SmtpClientAuthenticationDisabled": admin.exchange.smtp_auth_disabled, "AllowLegacyTLSClients": False}]


def _cas_mailbox(admin: ExchangeAdmin, parameters: Mapping[str, Any]) -> _Rows:
    entry = admin.mailbox(parameters["Identity"])
    return [
        {
            "DisplayName": entry.address.partition("@")[0],
            "ImapEnabled": True,
            "PrimarySmtpAddress": entry.address,
            "SmtpClientAuthenticationDisabled": entry.smtp_auth_disabled,
            "PrimarySmtpAddress@odata.type": "#String",
        }
    ]


def _mailbox(admin: ExchangeAdmin, parameters: Mapping[str, Any]) -> _Rows:
    if parameters.get("SoftDeletedMailbox"):
        entry = admin.exchange.mailbox(str(parameters["Identity"]))
        if entry is None or not entry.soft_deleted:
            raise NotThereError
    else:
        entry = admin.mailbox(parameters["Identity"])
    return [
        {
            "RecipientTypeDetails": entry.kind,
            "UserPrincipalName": entry.address,
            "PrimarySmtpAddress": entry.address,
            "ForwardingSmtpAddress": f"smtp:{entry.forwards_to}" if entry.forwards_to else None,
            "AuthenticationPolicy": None,
            "ProhibitSendQuota": "49.5 GB (53,150,220,288 bytes)",
        }
    ]


def _mailbox_permission(admin: ExchangeAdmin, parameters: Mapping[str, Any]) -> _Rows:
    entry = admin.mailbox(parameters["Identity"])
    rows: _Rows = [_right("NT AUTHORITY\\SELF", "FullAccess")]
    for app in admin.apps():
        registration = admin.exchange.registration(app)
        if registration is not None and app.client_id not in entry.closed_to:
            rows.append(_right(registration.sid, "FullAccess"))
    return rows


def _right(user: str, right: str) -> dict[str, object]:
    return {"User": user, "AccessRights": [right], "Deny": "False", "IsInherited": False, "InheritanceType": "All"}


def _recipient_permission(admin: ExchangeAdmin, parameters: Mapping[str, Any]) -> _Rows:
    entry = admin.mailbox(parameters["Identity"])
    registrations = filter(None, map(admin.exchange.registration, admin.apps() if entry.others_send_as else ()))
    trustees = ["NT AUTHORITY\\SELF", *(each.sid for each in registrations)]
    return [{"Trustee": each, "AccessRights": ["SendAs"], "AccessControlType": "Allow"} for each in trustees]


def _service_principal(admin: ExchangeAdmin, parameters: Mapping[str, Any]) -> _Rows:
    app = admin.app(parameters["Identity"])
    registration = admin.exchange.registration(app)
    if registration is None:
        raise NotThereError
    return [
        {
            "DisplayName": app.name,
            "AppId": app.client_id,
            "ObjectId": registration.object_id,
            "Sid": registration.sid,
            "WhenCreatedUTC": f"{datetime.fromtimestamp(registration.created_at, UTC):%Y-%m-%dT%H:%M:%SZ}",
        }
    ]


def _test_authorization(admin: ExchangeAdmin, parameters: Mapping[str, Any]) -> _Rows:
    app = admin.app(parameters["Identity"])
    scope = admin.exchange.roles.get(app.client_id)
    if scope is None:
        return []
    inside = str(parameters["Resource"]).casefold() in scope
    return [{"RoleName": SMTP_ROLE, "ScopeType": "CustomRecipientScope", "InScope": str(inside)}]


def _role_assignment(admin: ExchangeAdmin, parameters: Mapping[str, Any]) -> _Rows:
    app = admin.app(parameters["RoleAssignee"])
    if app.client_id not in admin.exchange.roles:
        return []
    changed = "/Date(1763632800000)/"
    return [{"Role": SMTP_ROLE, "RecipientWriteScope": "CustomRecipientScope", "WhenChangedUTC": changed}]


def _organization(admin: ExchangeAdmin, _parameters: Mapping[str, Any]) -> _Rows:
    return [{"SendFromAliasEnabled": admin.exchange.send_from_alias, "EnforceExoAppRbacPermissions": False}]


def _authentication_policies(_admin: ExchangeAdmin, _parameters: Mapping[str, Any]) -> _Rows:
    return [{"Name": "Block basic", "AllowBasicAuthSmtp": False}]


def _blocked(admin: ExchangeAdmin, parameters: Mapping[str, Any]) -> _Rows:
    entry = admin.exchange.mailbox(str(parameters["SenderAddress"]))
    return [{"SenderAddress": entry.address, "Reason": "OutboundSpam"}] if entry is not None and entry.blocked else []


def _message_trace(admin: ExchangeAdmin, parameters: Mapping[str, Any]) -> _Rows:
    return admin.trace.exchange_rows(parameters["MessageId"])


def _message_trace_detail(admin: ExchangeAdmin, parameters: Mapping[str, Any]) -> _Rows:
    return [{"Event": "FAIL", "Detail": admin.trace.detail(parameters["MessageTraceId"])}]


def _quarantine(admin: ExchangeAdmin, parameters: Mapping[str, Any]) -> _Rows:
    return admin.trace.quarantine_rows(parameters["MessageId"])


_CMDLETS = {
    "Get-QuarantineMessage": _quarantine,
    "Get-MessageTraceV2": _message_trace,
    "Get-MessageTraceDetailV2": _message_trace_detail,
    "Get-TransportConfig": _transport,
    "Get-CASMailbox": _cas_mailbox,
    "Get-Mailbox": _mailbox,
    "Get-MailboxPermission": _mailbox_permission,
    "Get-RecipientPermission": _recipient_permission,
    "Get-ServicePrincipal": _service_principal,
    "Test-ServicePrincipalAuthorization": _test_authorization,
    "Get-ManagementRoleAssignment": _role_assignment,
    "Get-OrganizationConfig": _organization,
    "Get-AuthenticationPolicy": _authentication_policies,
    "Get-BlockedSenderAddress": _blocked,
}


def _not_there(identity: str) -> web.Response:
    reason = f"The operation couldn't be performed because object '{identity}' couldn't be found on 'AM6PR01A001'."
    kind = "Microsoft.Exchange.Configuration.Tasks.ManagementObjectNotFoundException"
    detail = {"code": "Client", "target": "", "message": f"Ex6F9304|{kind}|{reason}"}
    error = {"code": "NotFound", "message": "Error executing cmdlet", "details": [detail]}
    return web.json_response({"error": error}, status=404)
