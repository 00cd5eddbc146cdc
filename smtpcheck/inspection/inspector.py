"""Asks the questions about one credential, and turns what cannot be answered into a value.

Rules of this file:
- One question after the other, at the pace of the tenant or customer. Those that follow know what was found before of
  the application and the tenant; what was found of other mailboxes means nothing to them.
- Nothing is raised but cancellation: what fails, a fault of our own among it, is a `NotReadable`.
- A question that is not for the credential, or whose cloud or option is missing, costs no request.
"""

import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import structlog

from smtpcheck.inspection.access import Access
from smtpcheck.inspection.basic_auth import PasswordLogins, password_logins
from smtpcheck.inspection.not_readable import NotReadableError
from smtpcheck.inspection.plan import InspectionPlan
from smtpcheck.inspection.question import About, Asked, MicrosoftReaders, Question, Subject
from smtpcheck.inspection.questions.sign_ins import SIGN_INS
from smtpcheck.model.inspection import Announcement, Fact, Incident, Inspection, NotReadable, Obstacle

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Step:
    """One question about one subject."""

    question: Question
    mailbox: str = ""


class Inspector:
    """Reads what the provider says of one credential. Belongs to one event loop."""

    def __init__(self, plan: InspectionPlan, access: Access, *, wall: Callable[[], float] = time.time) -> None:
        """Ask by `access`; nothing is opened yet."""
        self.plan = plan
        self.is_local = access.is_local
        self._access, self._wall = access, wall

    async def close(self) -> None:
        """Close the connection."""
        await self._access.close()

    def now(self) -> float:
        """Return the time (Unix seconds)."""
        return self._wall()

    def steps(self, questions: Sequence[Question], mailboxes: Sequence[str]) -> tuple[Step, ...]:
        """Return what is asked, in the order of the questions; those that are not for the credential are left out."""
        wanted = [question for question in questions if question.is_asked(self.plan)]
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
        """Return whom or what the questions are about, without a mailbox."""
        return await self._access.subject()

    async def password_logins(self) -> PasswordLogins:
        """Return who logs in to the tenant's SMTP with a password. Raises NotReadableError."""
        readers = self._access.readers
        if not isinstance(readers, MicrosoftReaders):
            raise NotReadableError(Obstacle.UNAVAILABLE, "it is asked at Microsoft alone")
        try:
            return await password_logins(readers.graph, self._wall())
        except NotReadableError as error:
            detail = error.detail or self._access.missing(SIGN_INS, error.obstacle)
            raise NotReadableError(error.obstacle, detail) from error

    async def read(self, questions: Sequence[Question], mailboxes: Sequence[str]) -> Inspection:
        """Ask all of the questions and return what was found."""
        answers = [answer async for _, answer in self.answers(self.steps(questions, mailboxes))]
        return Inspection().joined(*answers)

    async def answers(self, steps: Iterable[Step]) -> AsyncIterator[tuple[Step, Inspection]]:
        """Ask one question after the other, each when its answer is wanted, and yield what was found."""
        subject, known = await self.subject(), Inspection()
        for step in steps:
            answer = await self.ask(step.question, replace(subject, mailbox=step.mailbox), known)
            if not step.mailbox:
                known = known.joined(answer)
            yield step, answer

    async def ask(self, question: Question, subject: Subject, known: Inspection) -> Inspection:
        """Ask one question and return its answer alone."""
        now = self._wall()
        try:
            self._access.check(question)
            answer = await question.ask(Asked(self._access.readers, subject, known, now))
        except NotReadableError as error:
            detail = error.detail or self._access.missing(question, error.obstacle)
            return _not_readable(question, subject, error.obstacle, detail, now)
        except Exception:  # noqa: BLE001 - an inspection never harms who asks
            _log.exception("internal error", question=question.name, credential=self.plan.credential)
            return _not_readable(question, subject, Obstacle.UNEXPECTED, "the answer could not be understood", now)
        return Inspection(
            tuple(each for each in answer if isinstance(each, Fact)),
            incidents=tuple(each for each in answer if isinstance(each, Incident)),
            announcements=tuple(each for each in answer if isinstance(each, Announcement)),
        )


def _not_readable(question: Question, subject: Subject, obstacle: Obstacle, detail: str, now: float) -> Inspection:
    return Inspection(not_readable=(NotReadable(question.name, obstacle, detail, now, subject.mailbox),))
