"""Whether the messages of a check's loopback could be found, deleted and returned: what stage 7 says of its finder.

Rules of this file:
- Nothing is sent. It searches as the agent does, for a message that nobody has sent; to this search no message is ours,
  so none is touched, though the folders are opened as for deleting.
- What IMAP does not let a client delete shows when a folder is opened. Microsoft Graph shows it only in the token, and
  where Exchange's RBAC grants the right, not even there.
- After one failure nothing else is tried in that mailbox: a refused login is not repeated.
"""

import secrets
from collections.abc import Sequence

from smtpcheck.check.kit import Kit
from smtpcheck.cli.doctor.result import Note, hint, ok, warning
from smtpcheck.loopback.finder import Search, SearchRequest, Target
from smtpcheck.loopback.plan import Find, FindVia, Loopback
from smtpcheck.loopback.status import finder_failed
from smtpcheck.model.report import Finding
from smtpcheck.oauth.token_cache import AcquiredToken

_SECONDS = 30.0
"""How long one search may take."""
_MOST_NAMED = 5
_MAY_DELETE = frozenset({"Mail.ReadWrite", "Mail.ReadWrite.Shared"})
_MAY_READ = frozenset({"Mail.Read", "Mail.Read.Shared", "Mail.ReadBasic", "Mail.ReadBasic.All"})
_WAYS = {FindVia.IMAP: "IMAP", FindVia.GRAPH: "Microsoft Graph"}


async def look_for_mail(plan: Loopback, kit: Kit, token_timeout: float) -> "FinderSeen":
    """Return what was seen in the mailboxes of a loopback, and why something in them does not work."""
    seen = FinderSeen(kit, token_timeout)
    if plan.find is None:
        seen.notes.append(hint("messages of the loopback are not searched for (find: {via: none})"))
        return seen
    await seen.look_for_messages(plan.find, deletes=plan.delete)
    if plan.bounces is None:
        seen.notes.append(hint("bounces are not searched for: a message that is returned counts as lost"))
    elif plan.bounces == plan.find:
        seen.notes.append(ok("bounces arrive in the same mailbox"))
    else:
        await seen.look_for_bounces(plan.bounces, required=plan.bounces_required)
    return seen


class FinderSeen:
    """What is seen in the mailboxes, as it comes."""

    def __init__(self, kit: Kit, token_timeout: float) -> None:
        self.notes: list[Note] = []
        self.findings: list[Finding] = []
        self.names: list[str] = []
        """What the mailboxes and their folders are called."""
        self._kit, self._token_timeout = kit, token_timeout

    async def look_for_messages(self, find: Find, *, deletes: bool) -> None:
        """Log in where messages arrive, open the folders, and see whether anything may be deleted."""
        found = await self._search(find, delete=False)
        if found.error is not None:
            self._failed(find, found, "searched")
            return
        self.notes.append(ok(f"the login to {find.mailbox} by {_WAYS[find.via]} is accepted"))
        self.names += found.folders
        self.notes.append(ok(f"folders to search: {_named(found.folders)}"))
        if not deletes:
            self.notes.append(hint("messages that are found stay there (delete: false)"))
            return
        opened = await self._search(find, delete=True)
        if opened.error is not None:
            self._failed(find, opened, "emptied of found messages")
        elif find.via is FindVia.GRAPH:
            self.notes.append(_right_to_delete(await self._granted(find)))
        elif not opened.removes:
            said = "the server has no UIDPLUS (RFC 4315): found messages are marked as deleted, and stay until"
            self.notes.append(warning(f"{said} the folder is expunged"))
        else:
            self.notes.append(ok("found messages may be deleted there"))

    async def look_for_bounces(self, find: Find, *, required: bool) -> None:
        """Log in where bounces arrive."""
        found = await self._search(find, delete=False)
        if found.error is None:
            self.notes.append(ok(f"bounces can be read in {find.mailbox} by {_WAYS[find.via]}"))
        elif required:
            self._failed(find, found, "searched for bounces")
        else:
            said = f"bounces cannot be read in {find.mailbox} ({found.error.step}: {found.error.detail}); a message "
            self.notes.append(hint(f"{said}that is returned counts as lost"))

    async def _search(self, find: Find, *, delete: bool) -> Search:
        name = f"sc1{secrets.token_hex(16)}"
        target = Target((f"<{name}@{find.mailbox.rpartition('@')[2] or 'localhost'}>",), name, self._kit.wall())
        self.names += [find.mailbox, find.user]
        request = SearchRequest((target,), is_ours=lambda _: False, delete=delete)
        return await self._kit.finders.search(find, request, timeout=_SECONDS, token_timeout=self._token_timeout)

    def _failed(self, find: Find, found: Search, what: str) -> None:
        error = found.error
        if error is None:
            return
        code = f" ({error.code})" if error.code else ""
        self.notes.append(warning(f"{find.mailbox} cannot be {what}: {error.step}: {error.detail}{code}"))
        self.findings.append(finder_failed(error, 1, find.mailbox))

    async def _granted(self, find: Find) -> frozenset[str]:
        """Return the permissions that the token names."""
        answer = await self._kit.tokens.token(
            find.credential, find.mailbox, timeout=self._token_timeout, scope=find.scope
        )
        claims = answer.facts.claims if isinstance(answer, AcquiredToken) and answer.facts else {}
        roles, scopes = claims.get("roles"), claims.get("scp")
        named = frozenset(map(str, roles)) if isinstance(roles, list | tuple) else frozenset()
        return named | frozenset(scopes.split() if isinstance(scopes, str) else ())


def _right_to_delete(granted: frozenset[str]) -> Note:
    if may_delete := granted & _MAY_DELETE:
        return ok(f"found messages may be deleted: the token has {', '.join(sorted(may_delete))}")
    if may_read := granted & _MAY_READ:
        named = ", ".join(sorted(may_read))
        return warning(f"found messages cannot be deleted: the token has {named}, and that takes Mail.ReadWrite")
    return hint("whether found messages may be deleted shows with the first one: the token names no such right")


def _named(folders: Sequence[str]) -> str:
    more = f" and {len(folders) - _MOST_NAMED} more" if len(folders) > _MOST_NAMED else ""
    return ", ".join(folders[:_MOST_NAMED]) + more
