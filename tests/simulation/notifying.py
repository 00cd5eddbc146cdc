"""The places that a world's alerts are sent to: in memory at the interface of a notifier's `Sender`.

Rule of this file: a place keeps what it was sent, and how certain its sender is that it was.
"""

import asyncio
import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import ClassVar, Literal

from smtpcheck.alerts.grouping import Key
from smtpcheck.alerts.notification import Notification, Status
from smtpcheck.alerts.notification_log import Reason
from smtpcheck.alerts.notifiers.notifier import Failure, Notifier, Sender
from tests.simulation.faults import Conditions
from tests.simulation.loop import VirtualLoop
from tests.simulation.story import Story

PATIENCE_SECONDS = 45.0
"""How much later than its back-off a request may be: the last one may have taken all of its time."""


@dataclass(slots=True, eq=False)
class Attempt:
    """One notification that was to be sent to a place."""

    at: float
    firing: bool
    reason: Reason
    taken: bool = False
    acknowledged: bool = False
    """Whether the agent was told that it was taken; else it may send it again."""


class Place:
    """One place, by the notifier's name."""

    current: ClassVar[dict[str, "Place"]] = {}

    def __init__(
        self,
        name: str,
        *,
        loop: VirtualLoop,
        conditions: Conditions,
        story: Story,
        chance: Random,
        repeats_excused: Callable[[float], bool],
        undisturbed_since: Callable[[], float],
    ) -> None:
        """`repeats_excused` says whether what was sent at that time may be sent again, as after a kill.

        `undisturbed_since` says since when the agent has run with its present settings.
        """
        self.name = name
        self.attempts: dict[str, list[Attempt]] = defaultdict(list)
        """By the id of the alert."""
        self.failures = 0
        self._failed_at = self._asked = 0.0
        self.keys: set[Key] = set()
        """The alerts that it was ever notified of."""
        self._loop, self._conditions, self._story, self._chance = loop, conditions, story, chance
        self._repeats_excused, self._undisturbed_since = repeats_excused, undisturbed_since

    def begin(self, notification: Notification) -> Attempt:
        """Note that a notification is about to be sent."""
        attempt = Attempt(self._loop.virtual, notification.status is Status.FIRING, notification.reason)
        self.attempts[notification.id].append(attempt)
        return attempt

    def ended(self, failure: Failure | None) -> None:
        """Note how a request ended."""
        self.failures = self.failures + 1 if failure else 0
        self._failed_at, self._asked = self._loop.virtual, (failure and failure.retry_after) or 0.0

    def expect_patience(self) -> None:
        """Look how long after a failed request the next one comes: back-off begins again with each success."""
        if not self.failures or self._failed_at <= self._undisturbed_since():
            return
        seconds, most = self._loop.virtual - self._failed_at, min(5.0 * 2.0 ** (self.failures - 1), 300.0)
        disturbed = self._conditions.was("agent", self._failed_at - 60.0) is not None
        if not disturbed and seconds > max(most, self._asked) + PATIENCE_SECONDS:
            self._story.broke(f"{self.name} is tried again {seconds:.0f} s after its failure {self.failures} in a row")

    async def post(self, notification: Notification, attempt: Attempt) -> Failure | None:
        """Take one notification, or not, or leave its sender in doubt."""
        attempts = self.attempts[notification.id]
        before = attempts[: attempts.index(attempt)]
        await asyncio.sleep(self._chance.uniform(0.05, 1.0))
        of = self._conditions.of
        self._story.saw(f"a notification to {self.name}", json.dumps(notification.as_json()))
        if of("notifier failing", self.name) or of("no network", "agent"):
            return Failure("answered 503", retry_after=self._chance.choice((None, None, 60.0)))
        attempt.taken = True
        self.keys.add(notification.key)
        self._story.tell("notified", self.name, notification.reason, notification.id, notification.summary[:70])
        if notification.reason in {Reason.NEW, Reason.RESOLVED} and not self._may_repeat(attempt, before):
            self._story.broke(f"{self.name} was sent {notification.reason} twice: {notification.summary}")
        if of("notifier in doubt", self.name):
            await asyncio.sleep(self._chance.choice((45.0, 0.5)))
            return Failure("the connection was lost")
        attempt.acknowledged = True
        return None

    def _may_repeat(self, attempt: Attempt, before: list[Attempt]) -> bool:
        """Return whether an alert may be sent after these: for the first time, or because the last is in doubt."""
        same = [each for each in before if each.taken and each.firing == attempt.firing]
        if not same or not same[-1].acknowledged or self._repeats_excused(same[-1].at):
            return True
        # That it fires is sent again where it was begun to send its end.
        return attempt.firing and not before[-1].firing


class SimulatedSender(Sender):
    """Sends to one place."""

    def __init__(self, name: str, max_batch: int) -> None:
        self._place, self.max_batch = Place.current[name], max_batch

    async def send(self, notifications: Sequence[Notification]) -> Failure | None:
        self._place.expect_patience()
        failure: Failure | None = Failure("the request was given up")
        try:
            failure = await self._post(notifications)
        finally:
            self._place.ended(failure)
        return failure

    async def _post(self, notifications: Sequence[Notification]) -> Failure | None:
        attempts = [self._place.begin(notification) for notification in notifications]
        for notification, attempt in zip(notifications, attempts, strict=True):
            if (failure := await self._place.post(notification, attempt)) is not None:
                return failure
        return None


class SimulatedNotifier(Notifier):
    """A notifier of the world; another `version` is another notifier of the same name."""

    type: Literal["simulated"] = "simulated"
    version: int = 0
    batch: int = 1

    def sender(self) -> Sender:
        return SimulatedSender(self.label, self.batch)
