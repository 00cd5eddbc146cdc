"""How each kind of notifier speaks: what an answer means, what Alertmanager and Apprise are handed; no key is shown."""

import asyncio
import json
import logging
import ssl
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import trustme
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st

from smtpcheck.alerts.grouping import Key, Severity, Subject
from smtpcheck.alerts.notification import Notification, Status, notification_of, trial
from smtpcheck.alerts.notification_log import DueNotification, Entry, Reason
from smtpcheck.alerts.notifiers.alertmanager import LIFETIME_SECONDS, Alertmanager, as_alert
from smtpcheck.alerts.notifiers.apprise import Apprise, message, redacted
from smtpcheck.alerts.notifiers.http import Client, failure_of
from smtpcheck.alerts.notifiers.notifier import Failure
from smtpcheck.alerts.notifiers.webhook import identity, key_bytes, signature
from smtpcheck.diagnosis import catalogue
from smtpcheck.http_client.exchange import Response
from smtpcheck.http_client.parsing import MAX_RETRY_AFTER
from smtpcheck.model.cause import Cause
from smtpcheck.secrets.secret import Secret
from smtpcheck.secrets.source import SecretSource
from tests.alerts.test_alerts import CONTOSO_DEAD
from tests.worlds.raw_server import endless, serving
from tests.worlds.receiver import CUT, HANG, Receiver
from tests.worlds.samples import NOW, bad

RULES = catalogue.load()


def source(value: str) -> SecretSource:
    return SecretSource(value=Secret(value))


def notification(
    key: Key = CONTOSO_DEAD, names: Sequence[str] = ("a", "b"), *, ended: float | None = None, shard: str = ""
) -> Notification:
    entry = Entry(NOW, bad("a").findings, tuple(names), ended_at=ended)
    due = DueNotification(key, entry, Reason.RESOLVED if ended else Reason.NEW)
    return notification_of(
        due,
        names=names,
        total=500,
        labels={"team": "finance", "empty": ""},
        catalogue=RULES,
        address="https://mon.example.org",
        shard=shard,
    )


# -- answers ----------------------------------------------------------------------------------------------------------


def response(status: int, retry_after: str, now: float) -> Response:
    return Response("POST", "https://example.org/", status, {"retry-after": retry_after}, b"", frozenset(), at=now)


@given(status=st.integers(100, 999), retry_after=st.text(max_size=40), now=st.floats(0, 4e9))
def test_every_answer_means_something(status: int, retry_after: str, now: float) -> None:
    """Only 2xx is success, and no answer makes us wait without end."""
    failure = failure_of("example.org", response(status, retry_after, now))
    assert (failure is None) == (200 <= status < 300)
    if failure is not None:
        assert failure.retry_after is None or 0 <= failure.retry_after <= MAX_RETRY_AFTER
        assert not (failure.permanent and not 400 <= status < 500)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120.0),
        ("Wed, 14 Oct 2026 17:47:40 GMT", 60.0),
        ("Wed, 14 Oct 2026 17:00:00 GMT", 0.0),
        ("-1", None),
        ("", None),
    ],
)
def test_retry_after_is_a_number_or_a_date(text: str, seconds: float | None) -> None:
    failure = failure_of("example.org", response(429, text, NOW))
    assert failure is not None
    assert (failure.retry_after, failure.permanent) == (seconds, False)


async def test_an_untrusted_certificate_is_named_and_a_trusted_one_is_not_asked_for_more(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)

    async def answer(_: web.Request) -> web.Response:
        return web.Response()

    app = web.Application()
    app.router.add_get("/", answer)
    server = TestServer(app, scheme="https", host="127.0.0.1")
    await server.start_server(ssl=context)
    try:
        for ca_file, expected in ((None, "cannot be trusted: certificate verify failed"), (tmp_path / "ca.pem", None)):
            client = Client(ca_file=ca_file)
            failure = await client.request("GET", str(server.make_url("/")), headers={}, body=None)
            await client.close()
            assert (failure is None) == (expected is None)
            assert failure is None or expected is None or expected in failure.reason
    finally:
        await server.close()


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1:1/T0PS3CRET", "127.0.0.1 cannot be reached: connection refused"),
        ("http://nowhere.invalid/T0PS3CRET", "nowhere.invalid cannot be reached"),
        ("T0PS3CRET", "its address or a header is not valid"),
    ],
)
async def test_what_cannot_be_reached_is_named_without_its_key(url: str, reason: str) -> None:
    client = Client()
    failure = await client.request("GET", url, headers={}, body=None)
    await client.close()
    assert failure is not None
    assert reason in failure.reason
    assert "T0PS3CRET" not in repr(failure)


async def test_a_proxy_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The configured one, or else that of the environment, within NO_PROXY."""
    async with Receiver() as proxy:
        for configured, environment in ((proxy.url(), ""), (None, proxy.url())):
            monkeypatch.setenv("http_proxy", environment)
            monkeypatch.setenv("no_proxy", "")
            client = Client(proxy=configured)
            assert await client.request("GET", "http://hooks.example.org/a", headers={}, body=None) is None
            await client.close()
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
        client = Client()
        assert await client.request("GET", proxy.url("/direct"), headers={}, body=None) is None
        await client.close()
    assert len(proxy.got) == 3


# -- webhook ----------------------------------------------------------------------------------------------------------


def test_a_signature_is_that_of_the_standard() -> None:
    """The example of https://github.com/standard-webhooks/standard-webhooks."""
    key = key_bytes("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    signed = signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330.9, body)
    assert signed == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_a_message_that_is_sent_again_has_the_same_id_and_the_next_one_another() -> None:
    first = notification()
    reminder = replace(first, reason=Reason.REMINDER, notified_at=NOW)
    messages = [[first], [first], [reminder], [replace(reminder, notified_at=NOW + 9)], [replace(first, id="x")]]
    ids = [identity(each) for each in messages]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 4


def test_a_key_that_claims_to_be_of_the_standard_and_is_not_is_refused() -> None:
    assert key_bytes("any text") == b"any text"
    with pytest.raises(ValueError):
        key_bytes("whsec_***")


# -- Alertmanager -----------------------------------------------------------------------------------------------------


def test_an_alert_is_known_by_what_stays_the_same_while_it_fires() -> None:
    alert = as_alert(notification(shard="0/3"), NOW + 60)
    assert alert["labels"] == {
        "alertname": "SmtpcheckFailing",
        "severity": "critical",
        "credential": "contoso",
        "cause": "secret_expired",
        "team": "finance",
        "instance": "mon.example.org",
        "shard": "0/3",
    }
    assert as_alert(notification(names=("c",)), NOW)["labels"] | {"shard": "0/3"} == alert["labels"]


def test_an_alert_ends_by_itself_unless_it_is_sent_again() -> None:
    alert = as_alert(notification(), NOW + 60)
    assert (alert["startsAt"], alert["endsAt"]) == ("2026-10-14T17:46:40.000Z", "2026-10-14T17:51:40.000Z")
    assert LIFETIME_SECONDS == 240
    assert as_alert(notification(ended=NOW + 30), NOW + 60)["endsAt"] == "2026-10-14T17:47:10.000Z"


@pytest.mark.parametrize("back", [60.0, 86400.0])
def test_a_clock_that_was_set_back_makes_no_alert_that_alertmanager_refuses(back: float) -> None:
    """It refuses what ends before it starts, and what ends in the future fires until then."""
    now = as_alert(notification(), NOW)["startsAt"]
    firing = as_alert(notification(), NOW - back)
    assert firing["startsAt"] < firing["endsAt"] and firing["startsAt"] < now
    resolved = as_alert(notification(ended=NOW + 30), NOW - back)
    assert resolved["startsAt"] <= resolved["endsAt"] == firing["startsAt"]


def test_annotations_say_what_is_wrong_and_what_to_do() -> None:
    annotations = as_alert(notification(), NOW)["annotations"]
    assert annotations["summary"].endswith("(2 of 500 checks)")
    assert annotations["description"] == "Checks: a, b"
    assert annotations["runbook"].startswith("1. ")
    assert annotations["runbook_url"].startswith("https://")
    assert annotations["page"] == "https://mon.example.org/?outcome=critical&cause=secret_expired"


@pytest.mark.parametrize(
    ("key", "name"),
    [
        (Key(Subject.CHECK, "billing", Severity.CRITICAL, None), "SmtpcheckFailing"),
        (Key(Subject.HOST, "a:587", Severity.WARNING, Cause.CERTIFICATE_EXPIRING), "SmtpcheckWarning"),
        (Key(Subject.AGENT, "smtpcheck", Severity.WARNING, Cause.AGENT_CUT_OFF), "SmtpcheckAgent"),
    ],
)
def test_alerts_have_the_names_of_the_rules(key: Key, name: str) -> None:
    assert as_alert(notification(key), NOW)["labels"]["alertname"] == name


async def test_one_instance_that_takes_it_is_enough() -> None:
    async with Receiver(503) as one, Receiver() as two:
        sender = Alertmanager(urls=(source(one.url()), source(two.url()))).sender()
        assert await sender.send([notification()]) is None
        assert await sender.send([notification()]) is None
        await sender.close()
        assert [(got.path, got.json[0]["labels"]["credential"]) for got in (*one.got, *two.got)] == [
            ("/api/v2/alerts", "contoso")
        ] * 4


async def test_none_that_takes_it_is_a_failure() -> None:
    async with Receiver(503) as one, Receiver(CUT) as two:
        sender = Alertmanager(urls=(source(one.url("/am/")), source(two.url()))).sender()
        assert await sender.send([notification()]) == Failure("127.0.0.1 answered 503 Service Unavailable")
        await sender.close()
        assert one.got[0].path == "/am/api/v2/alerts"


# -- Apprise ----------------------------------------------------------------------------------------------------------


def apprise_url(receiver: Receiver, more: str = "") -> str:
    return receiver.url("/T0PS3CRET").replace("http://", "json://") + more


async def test_apprise_is_told_one_message_for_several_alerts() -> None:
    async with Receiver() as receiver:
        sender = Apprise(url=source(apprise_url(receiver))).sender()
        assert await sender.send([notification()]) is None
        assert (
            await sender.send([notification(), notification(Key(Subject.CHECK, "a", Severity.WARNING, Cause.SLOW))])
            is None
        )
        assert await sender.send([notification(ended=NOW + 60)]) is None
    one, two, end = (got.json for got in receiver.got)
    assert one["title"].startswith("[FIRING] credential contoso: ")
    assert "Fix 1: " in one["message"]
    assert (two["title"], one["type"], end["type"]) == ("[FIRING: 2] smtpcheck", "failure", "success")
    assert two["message"].count("[FIRING]") == 2


class Kept(logging.Handler):
    """What comes to the log."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


async def test_apprise_says_why_it_failed_and_neither_we_nor_the_log_show_the_key() -> None:
    log = Kept()
    logging.getLogger().addHandler(log)
    try:
        async with Receiver(403) as receiver:
            failure = await Apprise(url=source(apprise_url(receiver))).sender().send([notification()])
    finally:
        logging.getLogger().removeHandler(log)
    assert failure is not None and failure.reason.startswith("Apprise says: ")
    assert "T0PS3CRET" not in repr(failure)
    assert [record for record in log.records if record.name.startswith("apprise")] == []


async def test_a_place_that_takes_short_messages_gets_several(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apprise.plugins.custom_json.NotifyJSON.body_maxlen", 300)
    async with Receiver() as receiver:
        assert await Apprise(url=source(apprise_url(receiver))).sender().send([notification()]) is None
    assert len(receiver.got) > 1
    assert "Page: https://mon.example.org" in receiver.got[-1].json["message"]


async def test_apprise_that_hangs_is_not_asked_again_before_it_ends() -> None:
    async with Receiver(HANG) as receiver:
        sender = Apprise(url=source(apprise_url(receiver, "?rto=1&cto=1"))).sender()
        first = asyncio.create_task(sender.send([notification()]))
        await receiver.until(lambda got: got)
        assert await sender.send([notification()]) == Failure("an earlier message is still hanging")
        assert await first is not None


async def test_apprise_follows_no_redirect_and_reads_no_body_without_end() -> None:
    answers = [
        endless(b"HTTP/1.1 307 X\r\nLocation: /elsewhere\r\n\r\n", b"x" * 4096),
        endless(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 4096),
    ]
    with serving(answers) as server:
        sender = Apprise(url=source(server.url.replace("http://", "json://") + "/T0PS3CRET")).sender()
        assert await sender.send([notification()]) is not None
        assert await sender.send([notification()]) is None
    assert [request.split()[1] for request in server.requests] == [b"/T0PS3CRET"] * 2


async def test_an_address_that_apprise_does_not_know_is_a_failure() -> None:
    assert await Apprise(url=source("nonsense://T0PS3CRET")).sender().send([notification()]) == Failure(
        "its address is not one that Apprise knows"
    )


@given(
    parts=st.lists(st.from_regex(r"[A-Za-z0-9]{5,20}", fullmatch=True), min_size=1, max_size=5),
    around=st.text(max_size=30),
)
def test_no_longer_part_of_an_address_is_ever_told(parts: list[str], around: str) -> None:
    url = "slack://" + "/".join(parts)
    assert [part for part in parts if part in redacted(around + url + " ".join(parts), url)] == []


def test_a_message_is_for_people() -> None:
    title, body = message([notification()])
    assert title == notification().title()
    assert body == notification().text()


# -- a try ------------------------------------------------------------------------------------------------------------


def test_a_trial_can_be_told_by_everything() -> None:
    firing, resolved = trial(NOW, "https://mon.example.org")
    assert (firing.status, resolved.status, firing.id) == (Status.FIRING, Status.RESOLVED, resolved.id)
    for each in (firing, resolved):
        assert "nothing is wrong" in each.title()
        assert json.dumps(each.as_json())
        assert as_alert(each, NOW)["labels"]["test"] == "true"
