"""The regular readings: what the checks depend on is read, compared with the last time, and becomes warnings.

Rules of this file:
- A reading is spread over the time until the next one, and takes half of it at most: where that does not suffice for
  all mailboxes, the next reading goes on with those that are left.
- A restart begins no reading before it is due. Where nothing at all could be read, what was known stays.
- Incidents are looked for more often and announcements once a day, once for all credentials that one inspector reads
  about; neither is part of a reading.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from functools import reduce
from math import inf
from typing import Any

from smtpcheck.agent.schedule import hash_fraction
from smtpcheck.check.kit import Kit
from smtpcheck.diagnosis.drift import Warnings, causes_of, next_reading
from smtpcheck.diagnosis.inspected.defects import acts_for_itself
from smtpcheck.inspection.inspector import Inspector
from smtpcheck.inspection.question import Question
from smtpcheck.inspection.questions import QUESTIONS
from smtpcheck.inspection.questions.gmail_incidents import GMAIL_INCIDENTS
from smtpcheck.inspection.questions.message_centre import MESSAGE_CENTRE
from smtpcheck.inspection.questions.service_health import SERVICE_HEALTH
from smtpcheck.model.cause import Cause
from smtpcheck.model.check import Check
from smtpcheck.model.inspection import Announcement, FactName, Incident, Inspection, Obstacle
from smtpcheck.model.report import Finding
from smtpcheck.state.inspections import InspectionRows

INCIDENT_SECONDS, ANNOUNCEMENT_SECONDS = 600.0, 86400.0
"""How often incidents and announcements are looked for."""
_RETRY_SECONDS = 3600.0
"""After how long at most that is done again where the provider gave no answer."""
_PASSING = frozenset({Obstacle.NO_TOKEN, Obstacle.THROTTLED, Obstacle.UNREACHABLE})
"""Obstacles that may be gone before a day is over."""
_INCIDENTS, _ANNOUNCEMENTS = (SERVICE_HEALTH, GMAIL_INCIDENTS), (MESSAGE_CENTRE,)
_READ = tuple(question for question in QUESTIONS if question not in (*_INCIDENTS, *_ANNOUNCEMENTS))
LONGEST_GAP = 600.0
"""Seconds from one question of a reading to the next one, at most."""
_FIRST_WITHIN = 300.0
"""Within how many seconds of the start the first reading begins, where none is kept."""


@dataclass(slots=True)
class _Progress:
    """What is known of the readings of one credential since the start."""

    due_at: float
    """Monotonic seconds."""
    reading: bool = False
    success: bool | None = None
    """Whether the last reading brought anything; None before the first."""
    next_mailbox: int = 0
    found: Inspection = field(default_factory=Inspection)
    """What the last reading brought; in memory alone."""


@dataclass(slots=True)
class _Watch:
    """What is looked for by itself, by the credentials that ask."""

    questions: tuple[Question, ...]
    """One for each provider that publishes it."""
    seconds: float
    due: dict[str, float] = field(default_factory=dict)
    """Monotonic seconds."""
    found: dict[str, Inspection] = field(default_factory=dict)

    def all(self) -> Inspection:
        """Return all that was found."""
        return reduce(Inspection.joined, self.found.values(), Inspection())


class Readings:
    """Reads about each credential when it is due."""

    def __init__(self, rows: InspectionRows, changed: Callable[[str], Awaitable[None]]) -> None:
        """Keep the readings in `rows`; await `changed` with each credential of which something new is known."""
        self._rows = rows
        self._changed = changed
        self._progress: dict[str, _Progress] = {}
        self._warnings: dict[str, Warnings] = {}
        self._incidents = _Watch(_INCIDENTS, INCIDENT_SECONDS)
        self._announcements = _Watch(_ANNOUNCEMENTS, ANNOUNCEMENT_SECONDS)
        self._kit: Kit | None = None

    def replace(self, inspectors: Mapping[str, Inspector], kit: Kit) -> None:
        """Read by these inspectors from now on."""
        self._kit = kit
        self._rows.only(inspectors)
        self._warnings.clear()
        known, self._progress = self._progress, {}
        for name, inspector in inspectors.items():
            self._progress[name] = known.get(name) or _Progress(self._first(name, inspector, kit))
            self._progress[name].reading = False
        by = {inspector.plan.by for inspector in inspectors.values()}
        for watch in (self._incidents, self._announcements):
            watch.found = {name: each for name, each in watch.found.items() if name in by}

    def due(
        self, inspectors: Mapping[str, Inspector], sleep: Callable[[float], Awaitable[object]]
    ) -> list[Coroutine[Any, Any, None]]:
        """Return the readings, and the looks for what is published, that are due, to be run beside everything else."""
        if self._kit is None:
            return []
        now, work = self._kit.monotonic(), list[Coroutine[Any, Any, None]]()
        for name, inspector in inspectors.items():
            progress = self._progress[name]
            if now >= progress.due_at and not progress.reading:
                progress.reading = True
                work.append(self._read(name, inspector, progress, self._kit, sleep))
            for watch in (self._incidents, self._announcements):
                question = next((each for each in watch.questions if each.is_asked(inspector.plan)), None)
                if question is not None and now >= watch.due.get(inspector.plan.by, -inf):
                    watch.due[inspector.plan.by] = now + watch.seconds
                    work.append(self._look(watch, question, inspector, self._kit))
        return work

    def warnings(self, check: Check, values: Mapping[str, str], now: float) -> tuple[Finding, ...]:
        """Return what the readings warn of for a check."""
        credential = check.credential or ""
        reading, known = self._rows.readings.get(credential), self._warnings.get(credential)
        if reading is None:
            return ()
        if known is None or known.reading is not reading:
            known = self._warnings[credential] = Warnings(reading)
        return known.of(check.mailbox, values, now)

    def incidents(self, inspector: Inspector) -> tuple[Incident, ...]:
        """Return the open incidents that an inspector has seen."""
        return self._incidents.found.get(inspector.plan.by, Inspection()).incidents

    def all_incidents(self) -> tuple[Incident, ...]:
        """Return every open incident once."""
        return tuple({(each.provider, each.id): each for each in self._incidents.all().incidents}.values())

    def all_announcements(self) -> tuple[Announcement, ...]:
        """Return every announcement once: first where it is asked to act, then those that were changed last."""
        found = {(each.provider, each.id): each for each in self._announcements.all().announcements}
        return tuple(sorted(found.values(), key=lambda each: (each.act_by or inf, -(each.changed_at or 0.0))))

    def success(self) -> Mapping[str, bool]:
        """Return by credential whether its last reading brought anything."""
        return {name: each.success for name, each in self._progress.items() if each.success is not None}

    def causes(self) -> Mapping[str, frozenset[Cause]]:
        """Return by credential what its readings warn of."""
        readings, now = self._rows.readings, self._kit.wall() if self._kit is not None else 0.0
        return {name: causes_of(readings[name], now) for name in self._progress if name in readings}

    def found(self, credential: str) -> Inspection:
        """Return what the last reading since the start brought, for those who may see it."""
        progress = self._progress.get(credential)
        return progress.found if progress is not None else Inspection()

    def next_at(self, credential: str) -> float | None:
        """Return when the next reading begins, or has begun (Unix seconds); None for what has no inspector."""
        progress, kit = self._progress.get(credential), self._kit
        return kit.wall() + progress.due_at - kit.monotonic() if progress is not None and kit is not None else None

    def _first(self, name: str, inspector: Inspector, kit: Kit) -> float:
        kept = self._rows.readings.get(name)
        soon = 0.0 if inspector.is_local else hash_fraction(name) * min(_FIRST_WITHIN, inspector.plan.every)
        if kept is None:
            return kit.monotonic() + soon
        wait = min(kept.at + inspector.plan.every - kit.wall(), inspector.plan.every)
        return kit.monotonic() + max(wait, soon)

    async def _read(
        self,
        name: str,
        inspector: Inspector,
        progress: _Progress,
        kit: Kit,
        sleep: Callable[[float], Awaitable[object]],
    ) -> None:
        """Read about one credential, and keep what follows."""
        try:
            mailboxes = self._mailboxes(inspector, progress)
            found, answered = await self._ask_all(inspector, mailboxes, sleep)
            if self._progress.get(name) is not progress:  # it left the configuration
                return
            progress.success, progress.found = bool(found.facts), found
            if found.facts:
                before = self._rows.readings.get(name)
                app_only = acts_for_itself(kit.hints.get(name))
                after = await asyncio.to_thread(  # with a thousand mailboxes it takes a while
                    next_reading,
                    *(before, found, mailboxes),
                    answered=answered,
                    app_only=app_only,
                    now=kit.wall(),
                    every=inspector.plan.every,
                )
                if self._progress.get(name) is not progress:
                    return
                self._rows.put(name, after)
            await self._changed(name)
        finally:
            progress.reading = False
            progress.due_at = kit.monotonic() + inspector.plan.every / 2

    async def _ask_all(
        self, inspector: Inspector, mailboxes: tuple[str, ...], sleep: Callable[[float], Awaitable[object]]
    ) -> tuple[Inspection, frozenset[FactName]]:
        steps = inspector.steps(_READ, mailboxes)
        gap = 0.0 if inspector.is_local else min(inspector.plan.every / 2 / max(len(steps), 1), LONGEST_GAP)
        answers, answered, failed = list[Inspection](), set[FactName](), set[FactName]()
        async for step, answer in inspector.answers(steps):
            (failed if answer.not_readable else answered).update(step.question.gives)
            answers.append(answer)
            if gap:
                await sleep(gap)
        return Inspection().joined(*answers), frozenset(answered - failed)

    def _mailboxes(self, inspector: Inspector, progress: _Progress) -> tuple[str, ...]:
        """Return the mailboxes of this reading: as many as one request a second allows in half of the time."""
        every, mailboxes = inspector.plan.every, inspector.plan.mailboxes
        each = sum(step.question.needs.requests for step in inspector.steps(QUESTIONS, ("x",)) if step.mailbox)
        most = max(1, int(every / 2 / max(each, 1)))
        begin = progress.next_mailbox if progress.next_mailbox < len(mailboxes) else 0
        progress.next_mailbox = begin + most
        return mailboxes[begin : begin + most]

    async def _look(self, watch: _Watch, question: Question, inspector: Inspector, kit: Kit) -> None:
        by = inspector.plan.by
        before = watch.found.get(by, Inspection())
        answer = await inspector.ask(question, await inspector.subject(), Inspection())
        if answer.not_readable:
            if answer.not_readable[0].obstacle in _PASSING:
                watch.due[by] = min(watch.due[by], kit.monotonic() + _RETRY_SECONDS)
            return
        watch.found[by] = answer
        if {each.id for each in before.incidents} != {each.id for each in answer.incidents}:
            for name in tuple(self._progress):
                await self._changed(name)
