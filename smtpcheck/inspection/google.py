"""Google's own interfaces for administrators, read only: Directory, IAM, settings of Gmail, and published incidents.

Rules of this file:
- `GooglePath` is the allow-list: every request is one of its members, filled in with quoted values, and its method is
  GET. Nothing else can be asked.
- A token goes to the host that its member names. With an issuer that speaks like Google at another address, whose
  tokens mean nothing to Google, all of it is asked there.
- None of these answers has pages; one that names a further page is not whole, and so is not used.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import quote, urlsplit

from smtpcheck.http_client.exchange import Fault, Response
from smtpcheck.inspection import members
from smtpcheck.inspection.not_readable import NotReadableError
from smtpcheck.inspection.reader import Reader, ReaderToken, unreachable
from smtpcheck.model.inspection import Obstacle
from smtpcheck.oauth.token_cache import TokenOrError

DIRECTORY_SCOPE = "https://www.googleapis.com/auth/admin.directory.user.readonly"
IAM_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
"""The only scope that IAM takes for reading; what may be read is decided by the role of the account that asks."""

_USER = "primaryEmail,aliases,nonEditableAliases,suspended,suspensionReason,archived,isMailboxSetup"
_VALUE = re.compile(r"\{\w+\}")
_NOT_FOUND = frozenset({"notFound", "NOT_FOUND"})
_SWITCHED_OFF = frozenset({"accessNotConfigured", "SERVICE_DISABLED"})
_SCOPE_MISSING = frozenset({"insufficientPermissions", "ACCESS_TOKEN_SCOPE_INSUFFICIENT"})
_THROTTLED = frozenset({"rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded", "RATE_LIMIT_EXCEEDED"})


class GooglePath(StrEnum):
    """Everything that is ever asked of Google."""

    USER = f"https://admin.googleapis.com/admin/directory/v1/users/{{mailbox}}?fields={_USER}"
    SERVICE_ACCOUNT = "https://iam.googleapis.com/v1/projects/{project}/serviceAccounts/{account}"
    KEYS = "https://iam.googleapis.com/v1/projects/{project}/serviceAccounts/{account}/keys?keyTypes=USER_MANAGED"
    IMAP = "https://gmail.googleapis.com/gmail/v1/users/{mailbox}/settings/imap"
    SEND_AS = "https://gmail.googleapis.com/gmail/v1/users/{mailbox}/settings/sendAs"
    FORWARDING = "https://gmail.googleapis.com/gmail/v1/users/{mailbox}/settings/autoForwarding"
    INCIDENTS = "https://www.google.com/appsstatus/dashboard/incidents.json"

    def address(self, root: str, values: Mapping[str, str]) -> str:
        """Return the URL, below `root` where that is not empty; values are quoted, so that none adds to the request."""
        filled = self.value.format_map({name: quote(value, safe="") for name, value in values.items()})
        return f"{root}/{filled.split('/', 3)[3]}" if root else filled

    @property
    def source(self) -> str:
        """Return who answers."""
        return _SOURCES[urlsplit(self.value).hostname or ""]

    @property
    def shown(self) -> str:
        """Return how an administrator would name the request: its host and path without values and query."""
        return f"GET {_VALUE.sub('...', self.value.partition('?')[0].removeprefix('https://'))}"


_SOURCES = {
    "admin.googleapis.com": "Google Workspace",
    "iam.googleapis.com": "Google IAM",
    "gmail.googleapis.com": "Gmail",
    "www.google.com": "Google Workspace status",
}


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A request for a token, as the source of a fact."""

    scope: str

    @property
    def source(self) -> str:
        """Return who answers."""
        return "Google's token endpoint"

    @property
    def shown(self) -> str:
        """Return what exactly was asked."""
        return f"a token for the mailbox with the scope {self.scope} alone"


@dataclass(frozen=True, slots=True)
class GoogleItem:
    """One object, and how far the clock of Google is ahead of ours."""

    members: Mapping[str, Any]
    offset: float = 0.0


AskForToken = Callable[[str], Awaitable[TokenOrError]]
"""Asks the issuer for a new token of the inspected credential for a mailbox, past those in memory."""
MailboxToken = Callable[[str], Awaitable[ReaderToken]]
"""Returns a token of the inspected credential for a mailbox. Raises NotReadableError."""


@dataclass(frozen=True, slots=True)
class GoogleReader:
    """Asks Google: with the tokens of one inspector, and about a mailbox's settings with those of the mailbox."""

    reader: Reader
    root: str
    """The address of an issuer that speaks like Google; empty for Google."""
    mailbox_token: MailboxToken
    request_token: AskForToken

    async def get(self, path: GooglePath, scope: str, **values: str) -> GoogleItem | None:
        """Return one object, None where there is none (404). Raises NotReadableError."""
        return _item(await self._ask(path, await self.reader.token(scope), values))

    async def get_of_mailbox(self, path: GooglePath, mailbox: str) -> GoogleItem | None:
        """Return one object by the mailbox's own token, None where there is none (404). Raises NotReadableError."""
        return _item(await self._ask(path, await self.mailbox_token(mailbox), {"mailbox": mailbox}))

    async def public(self, path: GooglePath) -> tuple[GoogleItem, ...]:
        """Return the objects of a list that anybody may read. Raises NotReadableError."""
        answer = await self._ask(path, None, {})
        if answer is None:
            raise NotReadableError(Obstacle.UNAVAILABLE, f"{path.source} is not there")
        return tuple(GoogleItem(each, answer.clock_offset or 0.0) for each in _objects(answer))

    async def _ask(self, path: GooglePath, token: ReaderToken | None, values: Mapping[str, str]) -> Response | None:
        answer = await self.reader.exchange("GET", path.address(self.root, values), token)
        if isinstance(answer, Fault):
            raise unreachable(answer)
        if answer.status == 200:
            return answer
        reasons = reasons_of(answer)
        if answer.status == 404 and reasons & _NOT_FOUND:
            return None
        if answer.status == 403 and reasons & _THROTTLED:
            raise self.reader.throttled(answer)
        raise _refusal(path, answer.status, reasons)


def _item(answer: Response | None) -> GoogleItem | None:
    if answer is None:
        return None
    content = answer.json
    if content is None:
        raise NotReadableError(Obstacle.UNEXPECTED, _not_json(answer, "object"))
    if content.get("nextPageToken"):
        raise NotReadableError(Obstacle.UNEXPECTED, "the answer has further pages, which it should not")
    return GoogleItem(content, answer.clock_offset or 0.0)


def _objects(answer: Response) -> tuple[Mapping[str, Any], ...]:
    """Return the objects of an answer that is a list. Raises NotReadableError."""
    content = answer.json_list
    if content is None:
        raise NotReadableError(Obstacle.UNEXPECTED, _not_json(answer, "list"))
    return members.objects({"items": content}, "items")


def _not_json(answer: Response, kind: str) -> str:
    return f"the answer {f'is not a JSON {kind}' if answer.is_whole else 'is too large'}"


def reasons_of(answer: Response) -> frozenset[str]:
    """Return the words by which an answer of Google's says what is wrong (https://google.aip.dev/193)."""
    error = (answer.json or {}).get("error")
    if not isinstance(error, Mapping):
        return frozenset()
    listed = (*members.objects(error, "errors")[:5], *members.objects(error, "details")[:5])
    found = {members.text(error, "status", 60), *(members.text(each, "reason", 60) for each in listed)}
    return frozenset(word for word in found if word.replace("_", "").isalpha())


def _refusal(path: GooglePath, status: int, reasons: frozenset[str]) -> NotReadableError:
    if reasons & _SWITCHED_OFF:
        return NotReadableError(Obstacle.UNAVAILABLE, f"the API behind {path.source} is not enabled in the project")
    if status == 401:
        return NotReadableError(Obstacle.NO_TOKEN, f"{path.source} does not accept the token")
    if status == 403 and reasons & _SCOPE_MISSING:
        return NotReadableError(Obstacle.PERMISSION, "the token lacks the scope")
    if status == 403:
        return NotReadableError(Obstacle.PERMISSION, "")
    words = " ".join(sorted(reasons)[:2])
    obstacle = Obstacle.UNREACHABLE if status >= 500 else Obstacle.UNEXPECTED
    return NotReadableError(obstacle, f"{path.source} answered HTTP {status} {words}".rstrip())
