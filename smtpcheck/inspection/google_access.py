"""Google as it is asked about one credential: by the inspector's service account, and by the mailboxes' own tokens.

Rules of this file:
- The inspector asks as itself, not for an administrator: its service account has a role in the Workspace and one in
  the project. So it needs no delegation, which would reach every mailbox.
- A token is sent to the issuer that it is of, and to no other.
- What only the mailbox may read of itself, its settings in Gmail, is read with the token that the checks use anyway.
- A request for a token is made past those in memory, at the customer's pace: a delegation is proven by the answer of
  now alone.
"""

import asyncio

from smtpcheck.http_client.client import Client
from smtpcheck.http_client.urls import is_same_origin
from smtpcheck.inspection.access import Access, is_local
from smtpcheck.inspection.google import GoogleReader
from smtpcheck.inspection.not_readable import NotReadableError
from smtpcheck.inspection.pace import TenantPace
from smtpcheck.inspection.plan import InspectionPlan
from smtpcheck.inspection.question import Question, Subject
from smtpcheck.inspection.reader import LIMITS, TOKEN_SECONDS, Reader, ReaderToken
from smtpcheck.model.inspection import Obstacle
from smtpcheck.model.report import TokenError
from smtpcheck.oauth.broker import TokenBroker
from smtpcheck.oauth.google_service_account import GoogleServiceAccount
from smtpcheck.oauth.google_user import GoogleUser
from smtpcheck.oauth.token_cache import TokenOrError

_ISSUER = "https://oauth2.googleapis.com/"


class GoogleAccess(Access):
    """The way to one customer of Google."""

    readers: GoogleReader

    def __init__(
        self,
        plan: InspectionPlan,
        inspected: GoogleServiceAccount | GoogleUser,
        by: GoogleServiceAccount,
        tokens: TokenBroker,
        *,
        pace: TenantPace,
        root: str,
    ) -> None:
        """Ask about `inspected` with the tokens of `by`, whose `root_of` was `root`; nothing is read or opened yet."""
        self._plan, self._inspected, self._by = plan, inspected, by
        self._tokens, self._pace = tokens, pace
        self._client = Client(ca_file=by.ca_file, proxy=by.proxy, limits=LIMITS, connections=1)
        reader = Reader(self._client, self._token, pace)
        self.is_local = is_local(root)
        self.readers = GoogleReader(reader, root, self._mailbox_token, self._request_token)

    async def close(self) -> None:
        """Close the connection."""
        await self._client.close()

    async def subject(self) -> Subject:
        """Return the service account, as the key's file says it; of a user's credential the OAuth client."""
        client_id, scope = self._inspected.hints(self._plan.credential).client_id, self._inspected.scope
        if not isinstance(self._inspected, GoogleServiceAccount):
            return Subject(client_id, scope=scope)
        account = await asyncio.to_thread(self._inspected.identity)
        return Subject(account.client_id, account=account, scope=scope)

    def missing(self, question: Question, obstacle: Obstacle) -> str:  # noqa: ARG002
        """Return what a question needs and was not there, as part of a sentence."""
        needs = question.needs
        role = f", or the inspector's role ({' or '.join(needs.directory_roles)})" if needs.directory_roles else ""
        return f"the scope {' or '.join(needs.permissions)}{role} is missing"

    async def _token(self, scope: str) -> ReaderToken:
        await self._check_issuer(self._by)
        return _usable(await self._tokens.token(self._plan.by, None, timeout=TOKEN_SECONDS, scope=scope), self._plan.by)

    async def _mailbox_token(self, mailbox: str) -> ReaderToken:
        await self._check_issuer(self._inspected)
        name = self._plan.credential
        return _usable(await self._tokens.token(name, mailbox, timeout=TOKEN_SECONDS), name)

    async def _check_issuer(self, credential: GoogleServiceAccount | GoogleUser) -> None:
        """Raise NotReadableError where a token would go to another issuer than its own."""
        if await asyncio.to_thread(root_of, credential) != self.readers.root:
            raise NotReadableError(Obstacle.UNAVAILABLE, "its token is of another issuer than is asked")

    async def _request_token(self, mailbox: str) -> TokenOrError:
        async with self._pace.slot():
            return await self._tokens.token(self._plan.credential, mailbox, timeout=TOKEN_SECONDS, fresh=True)


def _usable(answer: TokenOrError, credential: str) -> ReaderToken:
    if isinstance(answer, TokenError):
        said = answer.error or answer.kind
        raise NotReadableError(Obstacle.NO_TOKEN, f"the credential {credential} gets no token ({said})")
    return ReaderToken(answer.token, "")


def root_of(credential: GoogleServiceAccount | GoogleUser) -> str:
    """Return the address of a credential's issuer, as `root_at`. Reads the file of a key."""
    if isinstance(credential, GoogleServiceAccount):
        return root_at(credential.identity().token_uri)
    return root_at(credential.issuer or "")


def root_at(issuer: str) -> str:
    """Return the address of an issuer that a configuration names; empty where that is Google's own."""
    if not issuer.startswith("https://") or is_same_origin(issuer, _ISSUER):
        return ""
    return "/".join(issuer.split("/")[:3])
