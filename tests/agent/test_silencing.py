"""Silences at work: nobody is notified, everything runs and counts, and they outlive a restart and a reload."""

from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from smtpcheck.alerts.notifiers.webhook import Webhook
from smtpcheck.alerts.silence import Silence
from smtpcheck.model.cause import Cause
from smtpcheck.model.check import Phase
from smtpcheck.model.report import Report
from tests.agent.test_alerting import Clock, World, alerts, settings, source
from tests.worlds.receiver import Got, Receiver
from tests.worlds.samples import bad, good
from tests.worlds.samples import exchange_online as check
from tests.worlds.waiting import until

HOUR = 3600.0
CHECKS = (check("a"), check("b"), check("c", labels=(("team", "finance"),)))


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smtpcheck.alerts.dispatcher.BATCH_SECONDS", 0.0)
    monkeypatch.setattr("smtpcheck.alerts.dispatcher.POLL_SECONDS", 0.05)


def alone(name: str) -> Report:
    return bad(name, Phase.AUTH, Cause.USER_MISMATCH)


def of(clock: Clock, *names: str, seconds: float = HOUR, author: str = "anna") -> Silence:
    return Silence("", clock.now, clock.now + seconds, checks=names, comment="migration", author=author)


def sent(got: list[Got]) -> list[tuple[str, str]]:
    """Return what was sent: the reason and the first check of each alert."""
    return [(alert["reason"], alert["checks"][0]) for one in got for alert in one.json["alerts"]]


async def settled(world: World, receiver: Receiver, name: str) -> None:
    """Let a further check fail, and wait until that is sent: what was due before it was sent before it, or withheld."""
    before = world.counts()["success"]
    world.run(alone, name)
    await until(lambda: world.counts()["success"] > before)


async def test_what_begins_and_ends_within_a_silence_is_never_sent() -> None:
    clock = Clock()
    async with (
        Receiver() as receiver,
        alerts(settings(Webhook(url=source(receiver.url())), checks=CHECKS), clock=clock) as world,
    ):
        world.alerting.silences.add(of(clock, "a"), until_repaired=False)
        world.run(alone, "a")
        assert [each.key.name for each in world.alerting.firing()] == ["a"]
        await settled(world, receiver, "b")
        world.run(good, "a")
        await settled(world, receiver, "c")
    assert sent(receiver.got) == [("new", "b"), ("new", "c")]


async def test_what_still_fires_at_its_end_is_sent_then() -> None:
    clock = Clock()
    async with (
        Receiver() as receiver,
        alerts(settings(Webhook(url=source(receiver.url())), checks=CHECKS), clock=clock) as world,
    ):
        world.alerting.silences.add(of(clock, "a"), until_repaired=False)
        world.run(alone, "a")
        await settled(world, receiver, "b")
        clock.now += HOUR
        await until(lambda: world.counts()["success"] == 2)
    assert sent(receiver.got) == [("new", "b"), ("new", "a")]


async def test_what_was_sent_before_is_resolved_and_not_reminded_of() -> None:
    clock = Clock()
    wanted = settings(checks=CHECKS)
    assert wanted.alerts
    async with Receiver() as receiver:
        hook = Webhook(url=source(receiver.url()))
        reminding = replace(wanted, alerts=replace(wanted.alerts, notifiers=(hook,), remind_every=600.0))
        async with alerts(reminding, clock=clock) as world:
            world.run(alone, "a")
            await until(lambda: world.counts()["success"] == 1)
            world.alerting.silences.add(of(clock, "a"), until_repaired=False)
            clock.now += 1200.0
            await settled(world, receiver, "b")
            world.run(good, "a")
            await until(lambda: world.counts()["success"] == 3)
    assert sent(receiver.got) == [("new", "a"), ("new", "b"), ("resolved", "a")]


async def test_a_group_is_silenced_when_all_of_its_checks_are() -> None:
    clock = Clock()
    async with (
        Receiver() as receiver,
        alerts(settings(Webhook(url=source(receiver.url())), checks=CHECKS), clock=clock) as world,
    ):
        world.alerting.silences.add(of(clock, "a", "b"), until_repaired=False)
        world.run(bad, "a", "b")
        world.run(alone, "c")
        await until(lambda: world.counts()["success"] == 1)
        world.run(bad, "c")
        await until(lambda: world.counts()["success"] == 3)
    reasons = [(alert["reason"], alert["checks"]) for one in receiver.got for alert in one.json["alerts"]]
    assert sorted(reasons) == [("new", ["a", "b", "c"]), ("new", ["c"]), ("resolved", ["c"])]


async def test_until_repaired_ends_with_the_recovery_and_not_with_one_good_run() -> None:
    clock = Clock()
    async with alerts(settings(checks=CHECKS), clock=clock) as world:
        world.run(alone, "a")
        silences = world.alerting.silences
        silences.add(of(clock, "a"), until_repaired=True)
        silences.tidy()
        assert silences.of("a") is not None
        world.run(good, "a", times=1)
        silences.tidy()
        assert silences.of("a") is not None, "the alert still fires: it takes two good runs"
        world.run(good, "a", times=1)
        with capture_logs() as logs:
            silences.tidy()
        assert silences.of("a") is None
    assert [each["reason"] for each in logs if each["event"] == "silence ended"] == ["repaired"]


async def test_a_silence_ends_by_its_time_and_says_so() -> None:
    clock = Clock()
    async with alerts(settings(checks=CHECKS), clock=clock) as world:
        silences = world.alerting.silences
        made = silences.add(of(clock, "a"), until_repaired=False)
        silences.add(of(clock, "*", seconds=2 * HOUR), until_repaired=False)
        assert silences.silenced() == {"a", "b", "c"}
        clock.now += HOUR
        silences.tidy()
        assert [each.checks for each in silences.all()] == [("*",)]
        assert not silences.end(made.id, "anna")


async def test_two_silences_cover_the_checks_of_an_alert_together() -> None:
    clock = Clock()
    async with alerts(settings(checks=CHECKS), clock=clock) as world:
        silences = world.alerting.silences
        assert not silences.are_silenced(["a"])
        for name in ("a", "b"):
            silences.add(of(clock, name), until_repaired=False)
        assert silences.are_silenced(["a", "b"])
        assert not silences.are_silenced(["a", "c"])
        assert not silences.are_silenced([])
        clock.now += HOUR
        assert not silences.are_silenced(["a", "b"])


async def test_silences_outlive_a_restart_and_a_reload(tmp_path: Path) -> None:
    clock = Clock()
    wanted = settings(checks=CHECKS)
    async with alerts(wanted, tmp_path, clock=clock) as world:
        kept = world.alerting.silences.add(of(clock, "a"), until_repaired=False)
        ended = world.alerting.silences.add(of(clock, "b"), until_repaired=False)
        with capture_logs() as logs:
            assert world.alerting.silences.end(ended.id, "bert")
    assert [(each["by"], each["reason"]) for each in logs] == [("bert", "ended by a user")]
    async with alerts(wanted, tmp_path, clock=clock) as world:
        assert world.alerting.silences.all() == [kept]
        more = replace(wanted, checks=(*CHECKS, check("a2")))
        await world.alerting.replace(more)
        assert world.alerting.silences.silenced() == {"a"}


async def test_those_of_the_configuration_come_and_go_with_it() -> None:
    clock = Clock()
    configured = Silence("c" * 12, clock.now - 1, clock.now + HOUR, labels=(("team", "finance"),))
    wanted = settings(checks=CHECKS, silences=(configured,))
    async with alerts(wanted, clock=clock) as world:
        silences = world.alerting.silences
        assert silences.of("c") == configured
        assert configured.is_configured
        assert not silences.end(configured.id, "anna"), "it is ended where it was written"
        await world.alerting.replace(settings(checks=CHECKS))
        assert silences.all() == []


async def test_two_that_say_the_same_are_two() -> None:
    clock = Clock()
    async with alerts(settings(checks=CHECKS), clock=clock) as world:
        silences = world.alerting.silences
        one, two = (silences.add(of(clock, "a"), until_repaired=False) for _ in range(2))
        assert one.id != two.id
        assert silences.end(one.id, "anna")
        assert silences.of("a") == two
