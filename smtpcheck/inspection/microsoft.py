"""Microsoft as it is asked about one application: Graph and Exchange Online, with the tokens of the inspector."""

import asyncio
from collections.abc import Mapping

from smtpcheck.http_client.client import Client
from smtpcheck.inspection.access import Access, is_local
from smtpcheck.inspection.exchange import ExchangeReader
from smtpcheck.inspection.graph import GraphReader
from smtpcheck.inspection.not_readable import NotReadableError
from smtpcheck.inspection.pace import TenantPace
from smtpcheck.inspection.plan import InspectionPlan
from smtpcheck.inspection.question import Api, MicrosoftReaders, Question, Subject
from smtpcheck.inspection.reader import LIMITS, TOKEN_SECONDS, Reader, ReaderToken
from smtpcheck.model.inspection import Obstacle
from smtpcheck.oauth.broker import TokenBroker
from smtpcheck.oauth.claims import token_facts
from smtpcheck.oauth.cloud_credential import CloudCredential
from smtpcheck.oauth.clouds import CLOUDS
from smtpcheck.oauth.microsoft import Microsoft
from smtpcheck.oauth.token_cache import AcquiredToken
from smtpcheck.secrets.secret import Secret
from smtpcheck.secrets.source import SecretUnreadableError


class MicrosoftAccess(Access):
    """The way to one tenant."""

    def __init__(
        self,
        plan: InspectionPlan,
        inspected: CloudCredential,
        by: CloudCredential,
        tokens: TokenBroker,
        pace: TenantPace,
    ) -> None:
        """Ask about `inspected` with the tokens of `by`; nothing is opened yet."""
        self.is_local = is_local(by.graph_url)
        self._plan, self._inspected, self._by, self._tokens = plan, inspected, by, tokens
        self._client = Client(ca_file=by.ca_file, proxy=by.proxy, limits=LIMITS, connections=1)
        reader = Reader(self._client, self._token, pace)
        self.readers = MicrosoftReaders(
            GraphReader(reader, by.graph_url, by.graph_scope),
            ExchangeReader(reader, by.exchange_url, CLOUDS[by.cloud].scope),
        )

    async def close(self) -> None:
        """Close the connection."""
        await self._client.close()

    async def subject(self) -> Subject:
        """Return the application, with its secret or the claims of its assertion, whichever proves it."""
        client_id = self._inspected.hints(self._plan.credential).client_id
        assertion, secret = await asyncio.to_thread(lambda: (self._assertion(), self._secret()))
        return Subject(client_id, assertion=assertion, secret=secret)

    def check(self, question: Question) -> None:
        """Raise NotReadableError where the cloud has no such interface."""
        if self._by.cloud not in question.needs.clouds and self._by.authority is None:
            raise NotReadableError(Obstacle.CLOUD, f"it does not exist in the cloud {self._by.cloud}")

    def missing(self, question: Question, obstacle: Obstacle) -> str:
        """Return what a question needs and was not there, as part of a sentence."""
        needs = question.needs
        if obstacle is Obstacle.LICENCE:
            return f"it needs {needs.licence or 'Entra ID P1'}"
        named = " and ".join(needs.permissions)
        if needs.api is Api.EXCHANGE:
            return f"permission {named} or a role such as {needs.directory_roles[0]} is missing"
        return f"permission {named} is missing"

    async def _token(self, scope: str) -> ReaderToken:
        own = "" if scope == self._by.scope else scope
        answer = await self._tokens.token(self._plan.by, None, timeout=TOKEN_SECONDS, scope=own)
        if not isinstance(answer, AcquiredToken):
            codes = ", ".join(f"AADSTS{code}" for code in answer.error_codes[:3]) or answer.error or answer.kind
            raise NotReadableError(Obstacle.NO_TOKEN, f"the credential {self._plan.by} gets no token ({codes})")
        claims: Mapping[str, object] = answer.facts.claims if answer.facts else {}
        return ReaderToken(answer.token, str(claims.get("tid") or "").lower())

    def _secret(self) -> Secret | None:
        source = self._inspected.client_secret if isinstance(self._inspected, Microsoft) else None
        try:
            return source.read() if source is not None else None
        except SecretUnreadableError:
            return None

    def _assertion(self) -> Mapping[str, object]:
        source = self._inspected.client_assertion if isinstance(self._inspected, Microsoft) else None
        if source is None or not source.file:
            return {}
        try:
            token = source.read()
        except SecretUnreadableError:
            return {}
        return token_facts(token, scope="", acquired_at=0.0, expires_at=None).claims
