"""What a notifier is sent, when it is sent again, and what is dropped."""

from collections.abc import Iterable, Sequence

import pytest
from structlog.testing import capture_logs

from smtpcheck.alerts import dispatcher
from smtpcheck.alerts.dispatcher import Dispatcher
from smtpcheck.alerts.grouping import Key, Severity, Subject
from smtpcheck.alerts.notification import Notification, notification_of
from smtpcheck.alerts.notification_log import STALE_SECONDS, DueNotification, NotificationLog, RepeatIntervals
from smtpcheck.alerts.notifiers.notifier import Failure, Sender
from smtpcheck.diagnosis import catalogue
from tests.worlds.samples import NOW

RULES = catalogue.load()
DOWN = Failure("answered 503 Service Unavailable")


class Place(Sender):
    """Answers as a test wants it, and keeps the names of what it was sent."""

    def __init__(self, answers: Iterable[Failure | None] = (), *, max_batch: int = 1) -> None:
        self.answers = list(answers)
        self.max_batch = max_batch
        self.got: list[list[str]] = []

    async def send(self, notifications: Sequence[Notification]) -> Failure | None:
        self.got.append([each.key.name for each in notifications])
        return self.answers.pop(0) if self.answers else None


class World:
    """A dispatcher that is driven by hand."""

    def __init__(self, place: Place) -> None:
        self.now = NOW
        self.log = NotificationLog({}, RepeatIntervals(None))
        self.dispatcher = Dispatcher(
            "hook",
            place,
            self.log,
            render=self.render,
            persist=self.persist,
            is_withheld=lambda _: False,
            wall=lambda: self.now,
        )

    def render(self, due: DueNotification) -> Notification:
        return notification_of(due, names=["a"], total=1, labels={}, catalogue=RULES, address="https://mon.example.org")

    async def persist(self) -> None:
        pass

    def fires(self, *names: str) -> None:
        for name in names:
            self.log.joined(key(name), name, (), self.now)


def key(name: str) -> Key:
    return Key(Subject.CHECK, name, Severity.CRITICAL, None)


async def test_a_success_forgets_the_failures_before_it() -> None:
    """The next failure is retried after seconds again."""
    world = World(Place([DOWN, DOWN, DOWN, None, DOWN]))
    world.fires("a")
    first = dispatcher.FIRST_RETRY
    waits = [await world.dispatcher.send_due() for _ in range(4)]
    assert waits == [first, 2 * first, 4 * first, 0.0]
    world.fires("b")
    assert await world.dispatcher.send_due() == first


async def test_the_wait_between_retries_is_bounded() -> None:
    world = World(Place([DOWN] * 40))
    world.fires("a")
    waits = [await world.dispatcher.send_due() for _ in range(40)]
    assert waits[-1] == dispatcher.LONGEST_RETRY
    assert max(wait or 0.0 for wait in waits) == dispatcher.LONGEST_RETRY


@pytest.mark.parametrize("max_batch", [1, 20])
async def test_a_request_holds_no_more_than_the_place_takes(max_batch: int) -> None:
    """After failures too: nothing is sent in smaller parts than without them."""
    place = Place([DOWN], max_batch=max_batch)
    world = World(place)
    names = [f"c{number:02}" for number in range(50)]
    world.fires(*names)
    while await world.dispatcher.send_due() is not None:
        pass
    assert {len(each) for each in place.got[:2]} == {max_batch}
    assert sorted({name for each in place.got for name in each}) == names


async def test_firing_and_resolved_are_requests_of_their_own() -> None:
    place = Place(max_batch=20)
    world = World(place)
    world.fires("a", "b")
    await world.dispatcher.send_due()
    world.log.left(key("a"), NOW + 1)
    world.fires("c")
    while await world.dispatcher.send_due() is not None:
        pass
    assert sorted(place.got[1:]) == [["a"], ["c"]]


async def test_an_end_of_more_than_a_day_ago_is_dropped_loudly() -> None:
    place = Place([DOWN])
    world = World(place)
    world.fires("a")
    await world.dispatcher.send_due()
    world.log.left(key("a"), world.now)
    world.now += STALE_SECONDS + 1
    with capture_logs() as logs:
        assert await world.dispatcher.send_due() is None
    assert dict(world.dispatcher.counts) == {"success": 0, "error": 1, "dropped": 1}
    assert [(line["log_level"], line["event"], line["count"]) for line in logs] == [
        ("error", "notifications dropped", 1)
    ]
    assert len(place.got) == 1
