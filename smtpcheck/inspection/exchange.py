"""Exchange Online by InvokeCommand, the interface that its PowerShell module speaks: read only.

Microsoft does not document it, so all that is peculiar about it is in this file:
- Only `beta` answers, at the tenant's id, with the audience of the SMTP token.
- `Accept-Encoding: identity` is sent, for refusals come as HTTP 403 with a body of NUL octets that is labelled gzip:
  where the application has no role with the cmdlet, and where there is no such cmdlet.
- A mistake is JSON with the reason behind the last `|` of `details[].message`, which may be JSON itself.
- 302 names the tenant's region. It is followed by hand, for a client drops the token at a change of host, and to
  `https://*.outlook.office365.com` alone.
- A further page is the same body, sent to `@odata.nextLink`.

Rules of this file:
- `Cmdlet` is the allow-list: every request is one of its members with parameters that it names. All of them read.
- 404, 405, and a refusal of NUL octets before any cmdlet was answered switch it off for a day; a later such refusal
  does so for its cmdlet.
- What Exchange says in words names mailboxes and people: of a mistake only its kind is kept.
"""

import json
import re
from collections.abc import Mapping
from enum import Enum
from math import inf
from typing import Any
from urllib.parse import urlsplit

from smtpcheck.http_client.exchange import Exchange, Fault, FaultKind, Response
from smtpcheck.http_client.urls import is_same_origin
from smtpcheck.inspection import members
from smtpcheck.inspection.graph import GraphItem
from smtpcheck.inspection.not_readable import NotReadableError
from smtpcheck.inspection.reader import MOST_PAGES, Reader, ReaderToken, unreachable
from smtpcheck.model.inspection import Obstacle

OFF_SECONDS = 86400.0
_ANCHOR = "APP:SystemMailbox{bb558c35-97f1-4cb9-8ff7-d53741dc928c}@"
_REGIONS = ".outlook.office365.com"
_NOT_FOUND = "ManagementObjectNotFoundException"
_KIND = re.compile(r"[A-Za-z0-9_.]{1,200}")


class Cmdlet(Enum):
    """Everything that is ever asked of Exchange: a cmdlet and the parameters that it may have."""

    TRANSPORT_CONFIG = ("Get-TransportConfig",)
    CAS_MAILBOX = ("Get-CASMailbox", "Identity")
    MAILBOX = ("Get-Mailbox", "Identity", "SoftDeletedMailbox")
    MAILBOX_PERMISSION = ("Get-MailboxPermission", "Identity")
    RECIPIENT_PERMISSION = ("Get-RecipientPermission", "Identity")
    SERVICE_PRINCIPAL = ("Get-ServicePrincipal", "Identity")
    TEST_AUTHORIZATION = ("Test-ServicePrincipalAuthorization", "Identity", "Resource")
    ROLE_ASSIGNMENT = ("Get-ManagementRoleAssignment", "RoleAssignee", "Role")
    ORGANIZATION_CONFIG = ("Get-OrganizationConfig",)
    AUTHENTICATION_POLICY = ("Get-AuthenticationPolicy",)
    BLOCKED_SENDER = ("Get-BlockedSenderAddress", "SenderAddress")
    MESSAGE_TRACE = ("Get-MessageTraceV2", "MessageId", "StartDate", "EndDate")
    MESSAGE_TRACE_DETAIL = ("Get-MessageTraceDetailV2", "MessageTraceId", "RecipientAddress")
    QUARANTINE = ("Get-QuarantineMessage", "MessageId")

    @property
    def source(self) -> str:
        """Return who answers."""
        return "Exchange"

    @property
    def shown(self) -> str:
        """Return its name, as an administrator types it."""
        name: str = self.value[0]
        return name

    def body(self, parameters: Mapping[str, str | bool]) -> bytes:
        """Return the request. ValueError: a parameter that the cmdlet is not asked with."""
        name, *allowed = self.value
        if others := parameters.keys() - set(allowed):
            raise ValueError(f"{name} is not asked with {', '.join(sorted(others))}")
        return json.dumps({"CmdletInput": {"CmdletName": name, "Parameters": dict(parameters)}}).encode()


_OF_ONE = frozenset({Cmdlet.MAILBOX, Cmdlet.CAS_MAILBOX, Cmdlet.SERVICE_PRINCIPAL})
"""Cmdlets that return one object, or say that there is none; an empty answer says neither."""


class ExchangeReader:
    """Asks Exchange with the tokens of one inspector."""

    def __init__(self, reader: Reader, root: str, scope: str) -> None:
        """Ask at the URL `root`, with a token for `scope`."""
        self._reader, self._root, self._scope = reader, root, scope
        self._off: dict[Cmdlet | None, float] = {}
        """Until when a cmdlet is not asked (Unix seconds); None stands for all of them."""
        self._answered = False

    async def run(self, cmdlet: Cmdlet, now: float, /, **parameters: str | bool) -> tuple[GraphItem, ...]:
        """Return what a cmdlet says, nothing where there is no such object. Raises NotReadableError.

        `now` is the time (Unix seconds).
        """
        body = cmdlet.body(parameters)
        if any(now < self._off.get(each, -inf) for each in (None, cmdlet)):
            raise NotReadableError(Obstacle.UNAVAILABLE, f"{cmdlet.shown} was refused and is not asked for a day")
        token = await self._reader.token(self._scope)
        if not members.is_guid(token.tenant_id):
            raise NotReadableError(Obstacle.UNEXPECTED, "the inspector's token does not name its tenant")
        url = f"{self._root}/adminapi/beta/{token.tenant_id}/InvokeCommand"
        found: list[GraphItem] = []
        for _ in range(MOST_PAGES):
            answer = await self._page(cmdlet, url, body, token, now)
            content = answer.json if answer is not None else {"value": []}
            if content is None or (rows := members.rows(content, "value")) is None:
                raise NotReadableError(Obstacle.UNEXPECTED, f"{cmdlet.shown} was answered by something else")
            offset = (answer.clock_offset or 0.0) if answer is not None else 0.0
            found += (GraphItem(each, offset) for each in rows)
            following = content.get("@odata.nextLink")
            if following is None:
                if not found and answer is not None and cmdlet in _OF_ONE:
                    raise NotReadableError(Obstacle.UNEXPECTED, f"{cmdlet.shown} was answered by nothing")
                return tuple(found)
            if not is_same_origin(following, url) or following == url or not _is_invoke(following):
                raise NotReadableError(Obstacle.UNEXPECTED, "the next page is at another address")
            url = following
        raise NotReadableError(Obstacle.UNEXPECTED, f"{cmdlet.shown} has more than {MOST_PAGES} pages")

    async def _page(self, cmdlet: Cmdlet, url: str, body: bytes, token: ReaderToken, now: float) -> Response | None:
        """Return one page, None where there is no such object."""
        answer = await self._send(url, body, token)
        if isinstance(answer, Response) and answer.status in {302, 307, 308}:
            region = region_of(answer.headers.get("location", ""))
            if region is None:
                raise NotReadableError(Obstacle.UNEXPECTED, "Exchange names a region at another address")
            self._root = region
            answer = await self._send(f"{region}{urlsplit(url).path}", body, token)
        if _is_bare_refusal(answer):
            self._off[cmdlet if self._answered else None] = now + OFF_SECONDS
            raise NotReadableError(Obstacle.PERMISSION, f"no role allows {cmdlet.shown}")
        if isinstance(answer, Fault):
            raise unreachable(answer)
        if answer.status in {404, 405} and not (kind := kind_of(answer.json)):
            self._off[None] = now + OFF_SECONDS
            raise NotReadableError(Obstacle.UNAVAILABLE, f"Exchange does not offer it (HTTP {answer.status})")
        if answer.status == 200:
            self._answered = True
            return answer
        kind = kind_of(answer.json)
        if kind == _NOT_FOUND:
            self._answered = True
            return None
        raise _refusal(cmdlet, answer, kind)

    async def _send(self, url: str, body: bytes, token: ReaderToken) -> Exchange:
        headers = {
            "Accept-Encoding": "identity",
            "Content-Type": "application/json",
            "Prefer": "odata.maxpagesize=1000",
            "X-AnchorMailbox": f"{_ANCHOR}{token.tenant_id}",
        }
        return await self._reader.exchange("POST", url, token, headers=headers, body=body, keep=("location",))


def the_one(found: tuple[GraphItem, ...], address: str) -> GraphItem:
    """Return the mailbox that was asked for: of several the one of this address. Raises NotReadableError."""
    key = "PrimarySmtpAddress"
    same = [each for each in found if members.text(each.members, key, 320).casefold() == address.casefold()]
    if len(found) > 1 and len(same) != 1:
        raise NotReadableError(Obstacle.UNEXPECTED, f"the answer names {len(found)} mailboxes")
    return (same or found)[0]


def region_of(location: str) -> str | None:
    """Return the root of the region that a redirect names, None where it leads elsewhere."""
    try:
        parts = urlsplit(location)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return None
    is_region = host.endswith(_REGIONS) and re.fullmatch(r"[a-z0-9-]{1,63}", host.removesuffix(_REGIONS)) is not None
    if parts.scheme != "https" or port not in {None, 443} or "@" in parts.netloc or not is_region:
        return None
    return f"https://{host}"


def kind_of(content: Mapping[str, Any] | None) -> str:
    """Return the kind of the mistake that an answer names, without its words; empty where it names none."""
    error = (content or {}).get("error")
    if not isinstance(error, Mapping):
        return ""
    for detail in members.objects(error, "details"):
        message = members.text(detail, "message", 4000)
        inner = _object(message)
        if inner is not None:
            message = members.text(inner, "message", 4000) or members.text(inner, "Message", 4000)
        for part in message.split("|")[:-1]:
            name = part.strip().rpartition(".")[2]
            if name.endswith("Exception") and _KIND.fullmatch(name):
                return name
    inner_error = error.get("innererror")
    name = members.text(inner_error, "type", 200).rpartition(".")[2] if isinstance(inner_error, Mapping) else ""
    return name if _KIND.fullmatch(name) else ""


def _object(text: str) -> Mapping[str, Any] | None:
    try:
        value = json.loads(text) if text.startswith("{") else None
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, Mapping) else None


def _is_bare_refusal(answer: Exchange) -> bool:
    """Return whether Exchange refused without a word: nothing, or NUL octets that claim to be gzip."""
    if isinstance(answer, Fault):
        return answer.kind is FaultKind.PROTOCOL
    return answer.status == 403 and not answer.body.strip(b"\0 \r\n")


def _is_invoke(url: str) -> bool:
    return urlsplit(url).path.startswith("/adminapi/beta/")


def _refusal(cmdlet: Cmdlet, answer: Response, kind: str) -> NotReadableError:
    if answer.status == 401:
        return NotReadableError(Obstacle.NO_TOKEN, "Exchange does not accept the inspector's token (HTTP 401)")
    if answer.status == 403 or b"isn't supported in this scenario" in answer.body:
        return NotReadableError(Obstacle.PERMISSION, "")
    obstacle = Obstacle.UNREACHABLE if answer.status >= 500 else Obstacle.UNEXPECTED
    named = f" {kind}" if kind else ""
    return NotReadableError(obstacle, f"{cmdlet.shown} was answered with HTTP {answer.status}{named}")
