"""The agent's alerts from a run to whoever is told: webhooks that fail, restarts, reloads, the heartbeat."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from smtpcheck.agent.alerting import Alerting
from smtpcheck.agent.health import Health
from smtpcheck.alerts import dispatcher
from smtpcheck.alerts.grouping import Severity
from smtpcheck.alerts.maintenance import Window
from smtpcheck.alerts.notification import Notification
from smtpcheck.alerts.notifiers.log import Log
from smtpcheck.alerts.notifiers.notifier import Failure, Notifier
from smtpcheck.alerts.notifiers.webhook import Webhook, WebhookSender
from smtpcheck.alerts.thresholds import Thresholds
from smtpcheck.cli.doctor.monitoring_stage import MonitoringSetup, Presence, monitoring
from smtpcheck.config.alerts import AlertSettings, HeartbeatSettings
from smtpcheck.config.settings import AgentSettings, Settings
from smtpcheck.diagnosis import catalogue
from smtpcheck.model.cause import Cause
from smtpcheck.model.check import Check, Phase
from smtpcheck.model.report import Report
from smtpcheck.sandbox.scenarios import SCENARIOS
from smtpcheck.sandbox.world import World as Sandbox
from smtpcheck.secrets.secret import Secret
from smtpcheck.secrets.source import SecretSource
from smtpcheck.state import alerts as alert_rows
from smtpcheck.state import database
from smtpcheck.state.state import FILE_NAME, State
from tests.state.test_state_file import damaged, holding, overwrite
from tests.worlds.agents import HEALTHY, edit, running, shown
from tests.worlds.receiver import CUT, HANG, Got, Receiver
from tests.worlds.samples import bad, good, unknown
from tests.worlds.samples import exchange_online as check
from tests.worlds.waiting import until

KEY = "whsec_" + base64.b64encode(b"a key of the tests").decode()
RULES = catalogue.load()
DEAD_SECRET = tuple(scenario for scenario in SCENARIOS if scenario.name == "secret-wrong")


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatcher, "BATCH_SECONDS", 0.0)
    monkeypatch.setattr(dispatcher, "FIRST_RETRY", 0.01)
    monkeypatch.setattr(dispatcher, "POLL_SECONDS", 0.05)


def source(value: str) -> SecretSource:
    return SecretSource(value=Secret(value))


def settings(*notifiers: Notifier, checks: tuple[Check, ...] = (), **more: Any) -> Settings:
    alerts = AlertSettings(Thresholds(2, 2), remind_every=None, notifiers=notifiers, **more)
    agent = AgentSettings(("127.0.0.1", 9587), Path(), external_url="https://mon.example.org")
    return Settings(agent, checks=checks or tuple(check(name) for name in "abc"), alerts=alerts)


class World:
    """Alerts that are observed by hand."""

    def __init__(self, state: State, alerting: Alerting, wanted: Settings) -> None:
        self.state, self.alerting = state, alerting
        self.checks = {each.name: each for each in wanted.checks}

    def run(self, make: Callable[[str], Report], *names: str, times: int = 2) -> None:
        for name in names * times:
            report = make(name)
            self.state.record(self.checks[name], report)
            self.alerting.observe(self.checks[name], report)

    def counts(self, name: str = "webhook") -> dict[str, int]:
        return next(dict(each.counts) for each in self.alerting.notifiers() if each.name == name)

    def failure(self, name: str = "webhook") -> str:
        return next(each.failure for each in self.alerting.notifiers() if each.name == name)


class Clock:
    """The time, as far as a test lets it pass."""

    def __init__(self) -> None:
        self.now = 1_792_000_000.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def alerts(
    wanted: Settings,
    folder: Path | None = None,
    *,
    unhealthy_reason: Callable[[], str] = lambda: "",
    clock: Callable[[], float] | None = None,
) -> AsyncIterator[World]:
    state = await State.kept(folder) if folder else State()
    alerting = Alerting(wanted, state, RULES, wall=clock or Clock(), unhealthy_reason=unhealthy_reason)
    await state.fetch([each.name for each in wanted.checks])
    await alerting.start()
    try:
        yield World(state, alerting, wanted)
    finally:
        await alerting.close()
        await state.close()


def told(got: list[Got]) -> list[tuple[str, str, list[str]]]:
    """Return status, summary and checks of each alert that was sent, in order."""
    return [(each["status"], each["summary"], each["checks"]) for one in got for each in one.json["alerts"]]


DEAD = "credential contoso: the client secret (or certificate) of the app has expired"


async def test_a_dead_credential_is_one_alert_that_is_resolved_once_all_have_recovered() -> None:
    async with (
        Receiver() as receiver,
        alerts(settings(Webhook(url=source(receiver.url("/hook?key=k1"))))) as world,
    ):
        world.run(bad, "a", "b", "c")
        await receiver.until(lambda got: len(got) == 1)
        world.run(good, "a", "b")
        assert [notification.count for notification in world.alerting.firing()] == [1]
        world.run(good, "c")
        got = await receiver.until(lambda got: len(got) == 2)
        assert told(got) == [
            ("firing", f"{DEAD} (3 of 3 checks)", ["a", "b", "c"]),
            ("resolved", DEAD, ["a", "b", "c"]),
        ]
        assert (got[0].method, got[0].path) == ("POST", "/hook?key=k1")
        first, last = (one.json["alerts"][0] for one in got)
        assert first["id"] == last["id"]
        assert (first["ended_at"], last["ended_at"]) == (None, last["started_at"])
        assert first["page"] == "https://mon.example.org/?outcome=critical&cause=secret_expired"
        assert world.alerting.firing() == []
        await until(lambda: world.counts() == {"success": 2, "error": 0, "dropped": 0})


async def test_five_hundred_checks_behind_one_dead_secret_are_one_message_that_counts_them_all() -> None:
    checks = tuple(check(f"c{number:03}") for number in range(500))
    async with Receiver() as receiver, alerts(settings(Webhook(url=source(receiver.url())), checks=checks)) as world:
        world.run(bad, *world.checks, times=3)
        (got,) = await receiver.until(lambda got: got)
        await until(lambda: world.counts()["success"] == 1)
    (alert,) = got.json["alerts"]
    assert (alert["summary"], len(alert["checks"])) == (f"{DEAD} (500 of 500 checks)", 20)
    assert len(receiver.got) == 1


async def test_the_body_is_what_is_documented() -> None:
    """Names and meanings stay: whoever receives depends on them."""
    async with Receiver() as receiver, alerts(settings(Webhook(url=source(receiver.url())))) as world:
        world.run(bad, "a", "b", "c")
        (one,) = await receiver.until(lambda got: got)
        alert = one.json["alerts"][0]
    assert (one.json["version"], one.json["status"], one.headers["Content-Type"]) == (1, "firing", "application/json")
    assert list(alert) == [
        *("id", "status", "reason", "severity", "subject", "cause", "summary", "evidence", "remedy", "reference"),
        *("checks", "count", "total", "labels", "started_at", "ended_at", "page", "shard"),
    ]
    assert alert["subject"] == {"kind": "credential", "name": "contoso"}
    assert (alert["reason"], alert["severity"], alert["cause"]) == ("new", "critical", "secret_expired")
    assert alert["remedy"]


async def test_a_request_is_signed_by_the_standard(tmp_path: Path) -> None:
    """https://www.standardwebhooks.com: whoever has the key sees that nobody else wrote it, and when it was written."""
    (tmp_path / "key").write_text(KEY)
    hook: dict[str, Any] = {"hmac_key": SecretSource(file=tmp_path / "key"), "headers": {"X-Site": source("north")}}
    async with Receiver() as receiver, alerts(settings(Webhook(url=source(receiver.url()), **hook))) as world:
        world.run(bad, "a")
        (one,) = await receiver.until(lambda got: got)
    signed = f"{one.headers['webhook-id']}.{one.headers['webhook-timestamp']}.".encode() + one.body
    digest = hmac.new(b"a key of the tests", signed, hashlib.sha256).digest()
    assert one.headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"
    assert one.headers["X-Site"] == "north"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (503, "answered 503 Service Unavailable"),
        (404, "answered 404 Not Found"),
        ((302, {"Location": "https://elsewhere.example/"}), "redirects are not followed"),
        (CUT, "closed the connection"),
    ],
)
async def test_what_fails_is_tried_again_until_it_is_told(answer: Any, reason: str) -> None:
    """The same message has the same id, so that whoever got it already knows it."""
    hook: dict[str, Any] = {"hmac_key": source("k")}
    async with Receiver(answer, answer) as receiver:
        with capture_logs() as logs:
            async with alerts(settings(Webhook(url=source(receiver.url("/T0PS3CRET")), **hook))) as world:
                world.run(bad, "a")
                got = await receiver.until(lambda got: len(got) == 3)
                await until(lambda: world.counts() == {"success": 1, "error": 2, "dropped": 0})
                assert world.failure() == ""
    assert len({one.headers["webhook-id"] for one in got}) == 1
    failures = [line["error"] for line in logs if line["event"] == "the notifier fails"]
    assert len(failures) == 1 and reason in failures[0]
    assert "T0PS3CRET" not in str(logs)


async def test_what_the_other_side_will_never_take_is_given_up_loudly() -> None:
    async with Receiver(400) as receiver:
        with capture_logs() as logs:
            async with alerts(settings(Webhook(url=source(receiver.url())))) as world:
                world.run(bad, "a")
                await until(lambda: world.counts() == {"success": 0, "error": 1, "dropped": 1})
                world.run(good, "a")
                got = await receiver.until(lambda got: len(got) == 2)
    assert [status for status, _, _ in told(got)] == ["firing", "resolved"]
    assert [line["log_level"] for line in logs if line["event"] == "notifications dropped"] == ["error"]


async def test_a_webhook_gets_one_alert_a_request_and_one_that_it_refuses_holds_up_no_other() -> None:
    refused = lambda name: bad(name, Phase.AUTH, Cause.USER_MISMATCH)  # noqa: E731
    names = tuple(f"c{number}" for number in range(8))
    async with Receiver() as receiver:
        receiver.refuse = lambda got: b'"name": "c5"' in got.body
        wanted = settings(Webhook(url=source(receiver.url())), checks=tuple(check(name) for name in names))
        async with alerts(wanted) as world:
            world.run(refused, *names)
            await until(lambda: world.counts()["success"] == 7 and world.counts()["dropped"] == 1)
    assert {len(got.json["alerts"]) for got in receiver.got} == {1}
    taken = [each["subject"]["name"] for got in receiver.taken for each in got.json["alerts"]]
    assert sorted(taken) == sorted(set(names) - {"c5"})


async def test_retry_after_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    paused: list[float] = []
    backoff = dispatcher.Dispatcher._backoff

    def noted(self: Any, failure: Any) -> float:
        paused.append(backoff(self, failure))
        return 0.0

    monkeypatch.setattr(dispatcher.Dispatcher, "_backoff", noted)
    answers = ((429, {"Retry-After": "7"}), (503, {"Retry-After": "999999"}), (429, {"Retry-After": "soon"}))
    async with Receiver(*answers) as receiver, alerts(settings(Webhook(url=source(receiver.url())))) as world:
        world.run(bad, "a")
        await until(lambda: world.counts()["success"] == 1)
    assert paused == [7.0, 3600.0, 0.04]


async def test_a_notifier_that_hangs_delays_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatcher, "SEND_SECONDS", 0.2)
    async with Receiver(HANG) as slow, Receiver() as quick:
        two = Webhook(url=source(slow.url()), name="slow"), Webhook(url=source(quick.url()), name="quick")
        async with alerts(settings(*two)) as world:
            world.run(bad, "a")
            await quick.until(lambda got: got)
            await until(lambda: world.counts("slow")["success"] == 1)
            assert world.counts("slow")["error"] >= 1  # more where a busy machine needs the time for a good answer too
            assert world.counts("slow")["dropped"] == 0


async def test_each_notifier_is_told_of_the_checks_that_it_is_for() -> None:
    """Of one alert each sees its own part, which ends for it when its checks have recovered."""
    checks = (
        check("a", labels=(("team", "finance"),)),
        check("b", labels=(("team", "sales"),)),
        check("c", labels=(("team", "sales"),)),
    )
    async with Receiver() as finance, Receiver() as sales, Receiver() as warned:
        notifiers = (
            Webhook(url=source(finance.url()), name="finance", match={"team": "finance"}),
            Webhook(url=source(sales.url()), name="sales", match={"team": "sales"}),
            Webhook(url=source(warned.url()), name="warned", match={"severity": "warning"}),
        )
        async with alerts(settings(*notifiers, checks=checks)) as world:
            world.run(bad, "a", "b")
            await asyncio.gather(finance.until(lambda got: got), sales.until(lambda got: got))
            world.run(good, "a")
            got = await finance.until(lambda got: len(got) == 2)
            assert [(status, names) for status, _, names in told(got)] == [("firing", ["a"]), ("resolved", ["a"])]
            assert [alert["labels"] for alert in got[0].json["alerts"]] == [{"team": "finance"}]
            assert [(names, summary.removeprefix(DEAD)) for _, summary, names in told(sales.got)] == [
                (["b"], " (1 of 2 checks)")
            ]
        assert warned.got == []


async def test_under_maintenance_nobody_is_told_or_reminded_of_its_checks() -> None:
    """And everybody is once it is over."""
    night = Window(0, 60, weekly=False, zone=UTC, labels=(("team", "finance"),))
    checks = (check("a", labels=(("team", "finance"),)), check("b", labels=(("team", "finance"),)), check("c"))
    clock = Clock()
    clock.now = datetime(2026, 11, 24, 23, 30, tzinfo=UTC).timestamp()

    def alone(name: str) -> Report:
        return bad(name, Phase.AUTH, Cause.USER_MISMATCH)

    async with Receiver() as receiver:
        wanted = settings(Webhook(url=source(receiver.url())), checks=checks, maintenance=(night,))
        assert wanted.alerts
        reminding = replace(wanted, alerts=replace(wanted.alerts, remind_every=2400.0))
        async with alerts(reminding, clock=clock) as world:
            world.run(alone, "a")
            await until(lambda: world.counts()["success"] == 1)
            clock.now += 3000.0
            world.run(alone, "a", "b", "c")
            await until(lambda: world.counts()["success"] == 2)
            clock.now += 3000.0
            world.run(alone, "b")
            await until(lambda: world.counts()["success"] == 5)
    seen = sorted((one["reason"], *one["checks"]) for got in receiver.got[:2] for one in got.json["alerts"])
    after = sorted((one["reason"], *one["checks"]) for got in receiver.got[2:] for one in got.json["alerts"])
    assert seen == [("new", "a"), ("new", "c")]
    assert after == [("new", "b"), ("reminder", "a"), ("reminder", "c")]


async def test_after_a_restart_nothing_is_told_twice_and_nothing_is_forgotten(tmp_path: Path) -> None:
    async with Receiver() as receiver:
        wanted = settings(Webhook(url=source(receiver.url())))
        async with alerts(wanted, tmp_path) as world:
            world.run(bad, "a", "b")
            world.run(bad, "c", times=1)
            await receiver.until(lambda got: got)
        async with alerts(wanted, tmp_path) as world:
            assert [(notification.summary, notification.checks) for notification in world.alerting.firing()] == [
                (f"{DEAD} (3 of 3 checks)", ("a", "b", "c"))
            ]
            world.run(bad, "a", "b", "c")
            world.run(good, "a", "b", "c")
            await receiver.until(lambda got: len(got) == 2)
    assert [status for status, _, _ in told(receiver.got)] == ["firing", "resolved"]


async def test_an_alert_is_in_the_file_before_it_is_told(tmp_path: Path) -> None:
    """Else a kill in between makes the next start not know what was told, and nobody hears that it is over."""
    async with Receiver() as receiver:
        async with (
            alerts(settings(Webhook(url=source(receiver.url("/hook")))), tmp_path) as world,
            holding(world.state),
        ):
            world.run(bad, "a")
            await asyncio.sleep(0.5)
            assert receiver.taken == []
        assert [status for status, _, _ in told(receiver.taken)] == ["firing"]


async def test_a_file_that_hangs_keeps_no_alert_from_being_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alert_rows, "WRITTEN_SECONDS", 0.05)
    async with Receiver() as receiver:
        wanted = settings(Webhook(url=source(receiver.url("/hook"))))
        async with alerts(wanted, tmp_path) as world, holding(world.state):
            world.run(bad, "a")
            await until(lambda: receiver.taken)
            assert [status for status, _, _ in told(receiver.taken)] == ["firing"]


async def test_what_could_not_be_told_before_a_restart_is_told_after_it(tmp_path: Path) -> None:
    """Also that an alert is over which nobody heard of."""
    async with Receiver(*[503] * 200) as receiver:
        wanted = settings(Webhook(url=source(receiver.url())))
        async with alerts(wanted, tmp_path) as world:
            world.run(bad, "a")
            world.run(lambda name: bad(name, Phase.AUTH, Cause.USER_MISMATCH), "b")
            world.run(good, "b")
            await receiver.until(lambda got: got)
        receiver.answers.clear()
        receiver.got.clear()
        async with alerts(wanted, tmp_path):
            await receiver.until(lambda got: len(told(got)) == 2)
    assert sorted((status, names) for status, _, names in told(receiver.got)) == [
        ("firing", ["a"]),
        ("resolved", ["b"]),
    ]


async def test_a_damaged_file_forgets_no_alert(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What fires and what was told of it stand in the new file too."""
    monkeypatch.setattr(database, "_CACHE_KIB", 16)
    async with Receiver() as receiver:
        wanted = settings(Webhook(url=source(receiver.url())), checks=tuple(check(f"c{n}") for n in range(300)))
        async with alerts(wanted, tmp_path) as world:
            world.run(bad, *world.checks)
            await until(lambda: world.counts()["success"] == 1)
            file = world.state._file
            assert file
            assert await file.read("PRAGMA wal_checkpoint(TRUNCATE)") == [(0, 0, 0)]
            overwrite(tmp_path / FILE_NAME)
            world.run(good, "c7", times=3)
            await until(lambda: damaged(tmp_path) != [])
        async with alerts(wanted, tmp_path) as world:
            (notification,) = world.alerting.firing()
            assert notification.count == 299
            world.run(good, *world.checks)
            await receiver.until(lambda got: len(got) == 2)
    assert [status for status, _, _ in told(receiver.got)] == ["firing", "resolved"]


async def test_the_alerts_of_a_check_that_leaves_the_configuration_are_resolved(tmp_path: Path) -> None:
    async with Receiver() as receiver:
        hook = Webhook(url=source(receiver.url()))
        wanted = settings(hook)
        fewer = replace(wanted, checks=wanted.checks[1:])
        async with alerts(wanted, tmp_path) as world:
            world.run(lambda name: bad(name, Phase.AUTH, Cause.USER_MISMATCH), "a")
            await receiver.until(lambda got: got)
            await world.alerting.replace(fewer)
            await receiver.until(lambda got: len(got) == 2)
        assert [(status, names) for status, _, names in told(receiver.got)] == [("firing", ["a"]), ("resolved", ["a"])]
        async with alerts(wanted, tmp_path) as world:
            world.run(lambda name: bad(name, Phase.AUTH, Cause.USER_MISMATCH), "b")
            await receiver.until(lambda got: len(got) == 3)
        async with alerts(replace(wanted, checks=wanted.checks[2:]), tmp_path):
            await receiver.until(lambda got: len(got) == 4)
    assert [(status, names) for status, _, names in told(receiver.got)][2:] == [("firing", ["b"]), ("resolved", ["b"])]


async def test_a_new_notifier_is_told_of_what_fires_and_one_that_stays_hears_nothing_again() -> None:
    async with Receiver() as old, Receiver() as new:
        one = Webhook(url=source(old.url()), name="old")
        wanted = settings(one)
        async with alerts(wanted) as world:
            world.run(bad, "a")
            await old.until(lambda got: got)
            assert wanted.alerts
            two = (Webhook(url=source(old.url()), name="old"), Webhook(url=source(new.url()), name="new"))
            await world.alerting.replace(replace(wanted, alerts=replace(wanted.alerts, notifiers=two)))
            got = await new.until(lambda got: got)
            assert [summary for _, summary, _ in told(got)] == [f"{DEAD} (1 of 3 checks)"]
        assert len(old.got) == 1


async def test_a_reload_while_a_changed_notifier_sends_sends_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old one ends its request, and the new one knows of it; so does the next start."""
    post, answered = WebhookSender.send, asyncio.Event()

    async def slow(self: WebhookSender, notifications: Sequence[Notification]) -> Failure | None:
        failure = await post(self, notifications)
        await answered.wait()
        return failure

    monkeypatch.setattr(WebhookSender, "send", slow)
    async with Receiver() as receiver:
        wanted = settings(Webhook(url=source(receiver.url("/old"))))
        changed = settings(Webhook(url=source(receiver.url("/new"))))
        async with alerts(wanted, tmp_path) as world:
            world.run(bad, "a")
            await receiver.until(lambda got: got)
            reload = asyncio.create_task(world.alerting.replace(changed))
            await asyncio.sleep(0)
            answered.set()
            await reload
            world.run(bad, "b")
        async with alerts(changed, tmp_path) as world:
            world.run(good, "a", "b")
            await receiver.until(lambda got: len(got) == 2)
    assert [(one.path, one.json["status"]) for one in receiver.got] == [("/old", "firing"), ("/new", "resolved")]


async def test_a_notifier_that_is_no_longer_for_a_check_is_told_that_its_alert_is_over(tmp_path: Path) -> None:
    """And one that is removed is told nothing more, nor when it comes back."""
    checks = (check("a", labels=(("team", "finance"),)), check("b", labels=(("team", "sales"),)))
    async with Receiver() as receiver:
        wanted = settings(Webhook(url=source(receiver.url())), checks=checks)
        assert wanted.alerts
        fewer = replace(wanted.alerts, notifiers=(Webhook(url=source(receiver.url()), match={"team": "sales"}),))
        async with alerts(wanted, tmp_path) as world:
            world.run(bad, "a")
            await receiver.until(lambda got: got)
            await world.alerting.replace(replace(wanted, alerts=fewer))
            await receiver.until(lambda got: len(got) == 2)
            world.run(bad, "b")
            await receiver.until(lambda got: len(got) == 3)
            await world.alerting.replace(replace(wanted, alerts=replace(fewer, notifiers=())))
            world.run(good, "a", "b")
        async with alerts(wanted, tmp_path) as world:
            assert world.alerting.firing() == []
    assert [(status, names) for status, _, names in told(receiver.got)] == [
        ("firing", ["a"]),
        ("resolved", ["a"]),
        ("firing", ["b"]),
    ]


async def test_without_alerts_in_the_configuration_nothing_is_kept_or_told(tmp_path: Path) -> None:
    """Also what was kept when there were some is forgotten."""
    async with Receiver() as receiver:
        wanted = settings(Webhook(url=source(receiver.url())))
        async with alerts(wanted, tmp_path) as world:
            world.run(bad, "a")
            await receiver.until(lambda got: got)
        async with alerts(replace(wanted, alerts=None), tmp_path) as world:
            world.run(bad, "a")
            assert (world.alerting.firing(), world.alerting.notifiers(), world.alerting.counts()) == ([], [], {})
        async with alerts(wanted, tmp_path) as world:
            assert world.alerting.firing() == []


@pytest.mark.parametrize(("chosen", "severity"), [({}, "critical"), ({"agent_severity": Severity.WARNING}, "warning")])
async def test_an_agent_without_connectivity_is_an_alert_of_the_severity_that_is_configured(
    chosen: dict[str, Any], severity: str
) -> None:
    async with Receiver() as receiver:
        hook = Webhook(url=source(receiver.url()), match={"severity": severity})
        async with alerts(settings(hook, **chosen)) as world:
            world.run(unknown, "a", "b")
            (got,) = await receiver.until(lambda got: got)
            assert world.alerting.counts()[severity] == 1
    (alert,) = got.json["alerts"]
    assert (alert["severity"], alert["subject"]["kind"], alert["cause"]) == (severity, "agent", "agent_cut_off")


async def test_a_check_of_once_a_day_is_told_of_after_one_run() -> None:
    daily = replace(check("a"), interval=86400.0)
    async with alerts(settings(checks=(daily, check("b")))) as world:
        world.run(bad, "a", "b", times=1)
        assert [notification.checks for notification in world.alerting.firing()] == [("a", "b")]
        world.run(good, "a", times=1)
        assert world.alerting.firing() == []


async def test_the_log_tells_alerts_too() -> None:
    with capture_logs() as logs:
        async with alerts(settings(Log())) as world:
            world.run(bad, "a")
            await until(lambda: world.counts("log")["success"] == 1)
            world.run(good, "a")
            await until(lambda: world.counts("log")["success"] == 2)
    assert [(line["event"], line["log_level"]) for line in logs] == [
        ("alert firing", "error"),
        ("alert resolved", "info"),
    ]
    assert logs[0]["summary"] == f"{DEAD} (1 of 3 checks)"
    assert (logs[0]["subject"], logs[0]["checks"]) == ("credential contoso", "a")
    assert logs[0]["remedy"].startswith("1. ")
    assert [name for line in logs for name, value in line.items() if not isinstance(value, str | int | float)] == []


async def test_alerts_are_counted_by_severity() -> None:
    async with alerts(settings()) as world:
        world.run(bad, "a")
        world.run(lambda name: good(name, Cause.SLOW), "b", "c")
        assert world.alerting.counts() == {Severity.CRITICAL: 1, Severity.WARNING: 2}
        assert [notification.key.name for notification in world.alerting.of_check("b")] == ["b"]


@pytest.mark.parametrize(
    ("notifiers", "words"),
    [
        ((Log(), Log(name="team", match={"team": "finance"})), "failures are notified by log, team"),
        ((Log(match={"team": "sales"}),), "nobody is notified when it fails"),
        ((), "alert on smtpcheck_success"),
    ],
)
def test_the_doctor_says_who_is_told(notifiers: tuple[Notifier, ...], words: str) -> None:
    found = MonitoringSetup("127.0.0.1:9587", Presence.WATCHING, "ok")
    notes = monitoring(check("a", labels=(("team", "finance"),)), found, settings(*notifiers).alerts).notes
    assert words in notes[-1].text


# -- the heartbeat ----------------------------------------------------------------------------------------------------


async def test_the_heartbeat_is_called_while_the_agent_is_well() -> None:
    ailments = ["", "the agent is cut off from the network", "", ""]
    async with Receiver() as receiver:
        beat = HeartbeatSettings(source(receiver.url("/ping/k1")), every=0.01)
        with capture_logs() as logs:
            async with alerts(
                settings(heartbeat=beat), unhealthy_reason=lambda: ailments.pop(0) if ailments else ""
            ) as world:
                got = await receiver.until(lambda got: len(got) == 3)
                assert {(one.method, one.path) for one in got} == {("GET", "/ping/k1")}
                assert world.counts("heartbeat")["error"] == 0
    assert [line["event"] for line in logs] == ["no heartbeat: the agent is unhealthy", "the agent is healthy again"]


async def test_a_reload_sends_no_heartbeat_of_its_own() -> None:
    """One per interval, however often the configuration is read; another heartbeat begins at once."""
    async with Receiver() as receiver:
        wanted = settings(heartbeat=HeartbeatSettings(source(receiver.url("/first")), every=3600.0))
        assert wanted.alerts
        async with alerts(wanted) as world:
            await until(lambda: world.counts("heartbeat")["success"] == 1)
            for _ in range(3):
                await world.alerting.replace(replace(wanted, checks=wanted.checks[1:]))
            assert world.counts("heartbeat") == {"success": 1, "error": 0}
            other = replace(wanted.alerts, heartbeat=HeartbeatSettings(source(receiver.url("/other")), every=3600.0))
            await world.alerting.replace(replace(wanted, alerts=other))
            got = await receiver.until(lambda got: len(got) == 2)
            assert [one.path for one in got] == ["/first", "/other"]
            await world.alerting.replace(replace(wanted, alerts=replace(other, heartbeat=None)))
            assert world.alerting.notifiers() == []


async def test_no_heartbeat_while_nobody_can_be_told() -> None:
    """Whoever waits for it is the last who can be told of anything."""
    async with Receiver(*[503] * 1000) as hook, Receiver() as receiver:
        beat = HeartbeatSettings(source(receiver.url()), every=0.01)
        wanted = settings(Webhook(url=source(hook.url())), Log(), heartbeat=beat)
        async with alerts(wanted) as world:
            await receiver.until(lambda got: got)
            world.run(bad, "a")
            await until(lambda: "no notifier can be reached" in world.failure("heartbeat"))
            hook.answers.clear()
            await until(lambda: not world.failure("heartbeat"))


async def test_a_heartbeat_that_is_not_taken_is_counted_and_said_once() -> None:
    async with Receiver(500, 500) as receiver:
        beat = HeartbeatSettings(source(receiver.url("/T0PS3CRET")), every=0.01)
        with capture_logs() as logs:
            async with alerts(settings(heartbeat=beat)) as world:
                await until(lambda: world.counts("heartbeat")["success"] >= 1)
                assert world.counts("heartbeat")["error"] == 2
    assert len([line for line in logs if line["event"] == "the heartbeat cannot be sent"]) == 1
    assert "T0PS3CRET" not in json.dumps(logs)


# -- the agent itself -------------------------------------------------------------------------------------------------


async def test_the_agent_tells_of_its_runs_and_reload_begins_and_ends_it(tmp_path: Path) -> None:
    """Alerts that a reload brings are told, metrics count them, and without `alerts:` there are none again."""
    async with Receiver() as receiver, Sandbox(tmp_path, DEAD_SECRET) as world:
        edit(world.config, lambda document: document["checks"][0].update(interval="1s"))
        async with running(world.config) as agent:
            assert not agent.alerting.is_configured
            assert "smtpcheck_notifications_total{" not in await shown(agent)
            receiver.refuse = lambda got: got.path == "/refused"
            notify = [
                {"type": "webhook", "url": receiver.url()},
                {"type": "webhook", "url": receiver.url("/refused"), "name": "refused"},
            ]
            section = {"fail_after": 1, "notify": notify}
            edit(world.config, lambda document: document.update(alerts=section))
            assert await agent.reload() == ()
            await until(lambda: agent.alerting.notifiers()[0].counts["success"] == 1)
            await until(lambda: agent.alerting.notifiers()[1].counts["dropped"] == 1)
            (got,) = receiver.taken
            assert [alert["cause"] for alert in got.json["alerts"]] == [world.scenarios[0].cause]
            text = await shown(agent)
            assert 'smtpcheck_notifications_total{notifier="webhook",result="success"} 1' in text
            assert 'smtpcheck_notifications_total{notifier="refused",result="dropped"} 1' in text
            assert 'smtpcheck_notifier_failing{notifier="webhook"} 0' in text
            assert 'smtpcheck_notifier_failing{notifier="refused"} 1' in text
            assert 'smtpcheck_alerts_firing{severity="critical"} 1' in text
            edit(world.config, lambda document: document.pop("alerts"))
            assert await agent.reload() == ()
            assert "smtpcheck_alerts_firing{" not in await shown(agent)


async def test_the_agent_is_well_while_it_works_and_says_why_when_it_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Sandbox(tmp_path, HEALTHY) as world:
        async with running(world.config) as agent:
            await until(agent.ready)
            assert agent.unhealthy_reason() == ""
            monkeypatch.setattr("smtpcheck.agent.health.STALLED_SECONDS", -1.0)
            assert agent.unhealthy_reason() == "no check is started"
            monkeypatch.undo()
            monkeypatch.setattr(Health, "has_lost_connectivity", lambda _: True)
            assert "connectivity" in agent.unhealthy_reason()
            monkeypatch.undo()
            monkeypatch.setattr(State, "error", "the state file cannot be used")
            assert agent.unhealthy_reason() == "the state file cannot be used"
            monkeypatch.undo()
        assert agent.unhealthy_reason() == "no check is started"
