"""Asks the questions about one credential, and turns what cannot be answered into a value.

Rules of this file:
- One question after the other, at the pace of the tenant. Those that follow know what was found before.
- Nothing is raised but cancellation: what fails, a fault of our own among it, is a `NotReadable`.
- A question whose cloud, option or permission is missing costs no request.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import structlog

from smtpcheck.http_client.client import Client
from smtpcheck.inspection.basic_auth import PasswordLogins, password_logins
from smtpcheck.inspection.exchange import ExchangeReader
from smtpcheck.inspection.graph import GraphReader
from smtpcheck.inspection.not_readable import NotReadableError
from smtpcheck.inspection.pace import TenantPace
from smtpcheck.inspection.plan import InspectionPlan
from smtpcheck.inspection.question import About, Api, Asked, Question, Subject
from smtpcheck.inspection.questions.sign_ins import SIGN_INS
from smtpcheck.inspection.reader import LIMITS, Reader, ReaderToken
from smtpcheck.model.inspection import Announcement, Fact, Incident, Inspection, NotReadable, Obstacle
from smtpcheck.oauth.broker import TokenBroker
from smtpcheck.oauth.claims import token_facts
from smtpcheck.oauth.cloud_credential import CloudCredential
from smtpcheck.oauth.clouds import CLOUDS
from smtpcheck.oauth.microsoft import Microsoft
from smtpcheck.oauth.token_cache import AcquiredToken
from smtpcheck.secrets.source import SecretUnreadableError

TOKEN_SECONDS = 30.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Step:
    """One question about one subject."""

    question: Question
    mailbox: str = ""


class Inspector:
    """Reads what the provider says of one credential. Belongs to one event loop."""

    def __init__(
        self,
        plan: InspectionPlan,
        inspected: CloudCredential,
        by: CloudCredential,
        tokens: TokenBroker,
        *,
        pace: TenantPace,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Ask about `inspected` with the tokens of `by`; nothing is opened yet."""
        self.plan = plan
        self.is_local = is_local(by)
        self._inspected, self._by, self._tokens, self._wall = inspected, by, tokens, wall
        self._client = Client(ca_file=by.ca_file, proxy=by.proxy, limits=LIMITS, connections=1)
        reader = Reader(self._client, self._token, pace)
        self._graph = GraphReader(reader, by.graph_url, by.graph_scope)
        self._exchange = ExchangeReader(reader, by.exchange_url, CLOUDS[by.cloud].scope)

    async def close(self) -> None:
        """Close the connection."""
        await self._client.close()

    def now(self) -> float:
        """Return the time (Unix seconds)."""
        return self._wall()

    def steps(self, questions: Sequence[Question], mailboxes: Sequence[str]) -> tuple[Step, ...]:
        """Return what is asked, in the order of the questions; those of other options are left out."""
        wanted = [question for question in questions if self.plan.asks(question.option)]
        return tuple(
            step
            for question in wanted
            for step in (
                [Step(question, mailbox) for mailbox in mailboxes]
                if question.about is About.MAILBOX
                else [Step(question)]
            )
        )

    async def subject(self) -> Subject:
        """Return the application, with the claims of the assertion that proves it where one does."""
        client_id = self._inspected.hints(self.plan.credential).client_id
        return Subject(client_id, assertion=await asyncio.to_thread(self._assertion))

    async def password_logins(self) -> PasswordLogins:
        """Return who logs in to the tenant's SMTP with a password. Raises NotReadableError."""
        try:
            return await password_logins(self._graph, self._wall())
        except NotReadableError as error:
            raise NotReadableError(error.obstacle, error.detail or missing_of(SIGN_INS, error.obstacle)) from error

    async def read(
        self, questions: Sequence[Question], mailboxes: Sequence[str], known: Inspection | None = None
    ) -> Inspection:
        """Ask all of the questions and return what was found."""
        found = known or Inspection()
        subject = await self.subject()
        for step in self.steps(questions, mailboxes):
            found = found.joined(await self.ask(step.question, replace(subject, mailbox=step.mailbox), found))
        return found

    async def ask(self, question: Question, subject: Subject, known: Inspection) -> Inspection:
        """Ask one question and return its answer alone."""
        now = self._wall()
        try:
            self._check_cloud(question)
            answer = await question.ask(Asked(self._graph, self._exchange, subject, known, now))
        except NotReadableError as error:
            detail = error.detail or missing_of(question, error.obstacle)
            return _not_readable(question, subject, error.obstacle, detail, now)
        except Exception:  # noqa: BLE001 - an inspection never harms who asks
            _log.exception("internal error", question=question.name, credential=self.plan.credential)
            return _not_readable(question, subject, Obstacle.UNEXPECTED, "the answer could not be understood", now)
        return Inspection(
            tuple(each for each in answer if isinstance(each, Fact)),
            incidents=tuple(each for each in answer if isinstance(each, Incident)),
            announcements=tuple(each for each in answer if isinstance(each, Announcement)),
        )

    def _check_cloud(self, question: Question) -> None:
        if self._by.cloud not in question.needs.clouds and self._by.authority is None:
            raise NotReadableError(Obstacle.CLOUD, f"it does not exist in the cloud {self._by.cloud}")

    async def _token(self, scope: str) -> ReaderToken:
        own = "" if scope == self._by.scope else scope
        answer = await self._tokens.token(self.plan.by, None, timeout=TOKEN_SECONDS, scope=own)
        if not isinstance(answer, AcquiredToken):
            codes = ", ".join(f"AADSTS{code}" for code in answer.error_codes[:3]) or answer.error or answer.kind
            raise NotReadableError(Obstacle.NO_TOKEN, f"the credential {self.plan.by} gets no token ({codes})")
        claims: Mapping[str, object] = answer.facts.claims if answer.facts else {}
        return ReaderToken(answer.token, str(claims.get("tid") or "").lower())

    def _assertion(self) -> Mapping[str, object]:
        source = self._inspected.client_assertion if isinstance(self._inspected, Microsoft) else None
        if source is None or not source.file:
            return {}
        try:
            token = source.read()
        except SecretUnreadableError:
            return {}
        return token_facts(token, scope="", acquired_at=0.0, expires_at=None).claims


def is_local(by: CloudCredential) -> bool:
    """Return whether a credential's issuer is on this machine, where it harms nobody to ask as fast as it answers."""
    return by.graph_url.startswith(("https://localhost:", "https://127.0.0.1:"))


def missing_of(question: Question, obstacle: Obstacle) -> str:
    """Return what a question needs and was not there, as part of a sentence."""
    needs = question.needs
    if obstacle is Obstacle.LICENCE:
        return f"it needs {needs.licence or 'Entra ID P1'}"
    named = " and ".join(needs.permissions)
    if needs.api is Api.EXCHANGE:
        return f"permission {named} or a role such as {needs.directory_roles[0]} is missing"
    return f"permission {named} is missing"


def _not_readable(question: Question, subject: Subject, obstacle: Obstacle, detail: str, now: float) -> Inspection:
    return Inspection(not_readable=(NotReadable(question.name, obstacle, detail, now, subject.mailbox),))
