"""`smtpcheck notify-test`: what it sends, what it says, its exit codes."""

import asyncio
from pathlib import Path

import pytest

from smtpcheck.cli import main, notify_test
from tests.worlds.receiver import HANG, Receiver

CHECKS = "checks: [{name: gateway, depth: connect, server: {host: relay.example.org}}]\n"


@pytest.fixture(autouse=True)
def _leave_the_log_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify_test, "configure", lambda _: None)


async def tried(folder: Path, alerts: str) -> int:
    """Run the command beside the test's own servers, and return its exit code."""
    config = folder / "checks.yaml"
    config.write_text(CHECKS + alerts)
    return await asyncio.to_thread(main, ["notify-test", "-c", str(config)])


async def test_every_notifier_is_told_that_it_fires_and_that_it_is_resolved(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with Receiver() as hook, Receiver() as manager, Receiver() as beat:
        code = await tried(
            tmp_path,
            f"""
alerts:
  notify:
    - {{type: webhook, url: "{hook.url("/T0PS3CRET")}"}}
    - {{type: alertmanager, urls: ["{manager.url()}"]}}
    - {{type: apprise, name: chat, url: "json://127.0.0.1:{hook.url().split(":")[2].strip("/")}/chat"}}
  heartbeat: {{url: "{beat.url("/ping")}"}}
""",
        )
        printed = capsys.readouterr().out
        posted = [one for one in hook.got if one.path == "/T0PS3CRET"]
        assert [alert["status"] for one in posted for alert in one.json["alerts"]] == ["firing", "resolved"]
        assert "nothing is wrong" in posted[0].json["alerts"][0]["summary"]
        assert sum(one.path == "/chat" for one in hook.got) == 2
        assert [one.path for one in manager.got] == ["/api/v2/alerts"] * 2
        assert [one.path for one in beat.got] == ["/ping"]
    assert code == 0
    assert [line.split() for line in printed.splitlines()[1:]] == [
        ["webhook", "webhook", "sent"],
        ["alertmanager", "alertmanager", "sent"],
        ["chat", "apprise", "sent"],
        ["heartbeat", "heartbeat", "sent"],
    ]


async def test_what_is_not_taken_is_told_and_the_others_are_tried(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with Receiver(403) as refuses, Receiver() as takes, Receiver(500) as beat:
        one = f'{{type: webhook, name: one, url: "{refuses.url("/T0PS3CRET")}"}}'
        two = f'{{type: webhook, name: two, url: "{takes.url()}"}}'
        code = await tried(
            tmp_path, f'alerts: {{notify: [{one}, {two}], heartbeat: {{url: "{beat.url("/T0PS3CRET")}"}}}}'
        )
        assert len(takes.got) == 2
    printed = capsys.readouterr().out
    assert code == 2
    assert "firing not sent: 127.0.0.1 answered 403 Forbidden" in printed
    assert "not called: 127.0.0.1 answered 500" in printed
    assert "T0PS3CRET" not in printed


async def test_one_that_hangs_is_given_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smtpcheck.alerts.dispatcher.SEND_SECONDS", 0.2)
    async with Receiver(HANG) as hangs:
        code = await tried(tmp_path, f'alerts: {{notify: [{{type: webhook, url: "{hangs.url()}"}}]}}')
    assert (code, "did not finish within 0.2 s" in capsys.readouterr().out) == (2, True)


async def test_a_secret_that_cannot_be_read_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = await tried(tmp_path, "alerts: {notify: [{type: webhook, url: {file: nowhere}}]}")
    assert (code, "does not exist" in capsys.readouterr().out) == (2, True)


@pytest.mark.parametrize("alerts", ["", "alerts: {}", "alerts: {notify: [{type: pager}]}"])
async def test_without_anyone_to_tell_it_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], alerts: str
) -> None:
    assert await tried(tmp_path, alerts) == 3
    assert capsys.readouterr().err
