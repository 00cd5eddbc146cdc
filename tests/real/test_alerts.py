"""Alerts on real parts: two Alertmanagers as amtool shows them, and an agent that is killed with SIGKILL."""

import asyncio
import json
import signal
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from smtpcheck.alerts import dispatcher
from smtpcheck.alerts.notifiers.alertmanager import Alertmanager as ToAlertmanager
from smtpcheck.alerts.notifiers.alertmanager import AlertmanagerSender
from tests.agent.test_alerting import alerts, settings, source
from tests.real.alertmanager import Alertmanager
from tests.real.daemon import free_port
from tests.worlds.receiver import Got, Receiver
from tests.worlds.samples import bad, good
from tests.worlds.waiting import HANG_SECONDS

CONFIG = """
agent: {{listen: "127.0.0.1:{port}", state: state}}
defaults: {{interval: 1s, timeout: 2s, depth: connect}}
checks:
  - {{name: gateway, server: {{host: 127.0.0.1, port: {smtp}, security: none}}}}
alerts:
  fail_after: 2
  recover_after: 2
  notify: [{{type: webhook, url: "{hook}"}}]
"""


@pytest.fixture
def managers(tmp_path: Path) -> Iterator[list[Alertmanager]]:
    started: list[Alertmanager] = []
    try:
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            started.append(Alertmanager(tmp_path / name))
        yield started
    finally:
        for each in started:
            each.stop()


async def until(condition: Callable[[], object]) -> None:
    """Return once a condition holds that blocks; fail the test when it never does."""
    async with asyncio.timeout(HANG_SECONDS):
        while not await asyncio.to_thread(condition):  # noqa: ASYNC110
            await asyncio.sleep(0.1)


def summarised(manager: Alertmanager, end: str) -> bool:
    return manager.alerts()[0]["annotations"]["summary"].endswith(end) is True


def quiet(manager: Alertmanager) -> bool:
    return not manager.alerts()


async def test_alertmanager_shows_an_alert_while_it_fires_and_no_longer(
    managers: list[Alertmanager], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every instance knows it; one that forgot it is told again; when it is over none shows it."""
    monkeypatch.setattr(dispatcher, "POLL_SECONDS", 0.1)
    monkeypatch.setattr(AlertmanagerSender, "refresh_every", 0.5)
    notifier = ToAlertmanager(urls=tuple(source(each.url) for each in managers))
    async with alerts(settings(notifier), clock=time.time) as world:
        world.run(bad, "a")
        for each in managers:
            await until(each.alerts)
        world.run(bad, "b")
        for each in managers:
            await until(partial(summarised, each, "(2 of 3 checks)"))
            (alert,) = each.alerts()
            assert alert["labels"] == {
                "alertname": "SmtpcheckFailing",
                "severity": "critical",
                "credential": "contoso",
                "cause": "secret_expired",
                "instance": "mon.example.org",
            }
            assert alert["annotations"]["runbook"].startswith("1. ")
            assert alert["generatorURL"] == "https://mon.example.org/?outcome=critical&cause=secret_expired"
        world.run(good, "a", "b")
        for each in managers:
            await until(partial(quiet, each))


# -- an agent that is killed ------------------------------------------------------------------------------------------


class Gateway:
    """An SMTP server that can be opened and closed, as a host that is down and up again."""

    def __init__(self) -> None:
        self.port = free_port()
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._talk, "127.0.0.1", self.port)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 gateway ESMTP\r\n")
        while line := await reader.readline():
            quits = line.upper().startswith(b"QUIT")
            writer.write(b"221 2.0.0 bye\r\n" if quits else b"250 gateway\r\n")
            if quits:
                break
        writer.close()


class Agent:
    """A running `smtpcheck run`, with what it says of its alerts."""

    def __init__(self, folder: Path, port: int) -> None:
        self._command = [sys.executable, "-m", "smtpcheck", "run", "-c", str(folder / "checks.yaml")]
        self._url = f"http://127.0.0.1:{port}/api/v1/alerts"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run it until the block ends; then kill it."""
        process = await asyncio.create_subprocess_exec(
            *self._command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )
        try:
            await until(lambda: self.shown() is not None)
            yield
        finally:
            process.send_signal(signal.SIGKILL)
            await process.wait()

    def shown(self) -> dict[str, Any] | None:
        """Return what the API says, None before it answers."""
        try:
            with urllib.request.urlopen(self._url, timeout=5) as answer:
                found: dict[str, Any] = json.load(answer)
                return found
        except OSError:
            return None

    def counts(self) -> dict[str, int]:
        """Return how many alerts the webhook took, refused, and did not get."""
        shown = self.shown() or {"notifiers": []}
        return next((dict(each["counts"]) for each in shown["notifiers"]), {})


def told(got: list[Got]) -> list[tuple[str, str]]:
    return [(alert["status"], alert["reason"]) for one in got for alert in one.json["alerts"]]


async def test_an_agent_that_is_killed_tells_nothing_twice_and_forgets_nothing(tmp_path: Path) -> None:
    """Killed once while the alert fires, and once while its end could not be told."""
    gateway, port = Gateway(), free_port()
    async with Receiver() as hook:
        agent = Agent(tmp_path, port)
        (tmp_path / "checks.yaml").write_text(CONFIG.format(port=port, smtp=gateway.port, hook=hook.url("/hook")))
        async with agent.running():
            await until(lambda: agent.counts().get("success") == 1)
        async with agent.running():
            hook.answers.extend([503] * 1000)
            await gateway.open()
            await until(lambda: agent.counts().get("error"))
            assert told(hook.got[:1]) == [("firing", "new")]
            assert {status for status, _ in told(hook.got[1:])} == {"resolved"}
        hook.answers.clear()
        before = len(hook.got)
        async with agent.running():
            await until(lambda: agent.counts().get("success") == 1)
            assert told(hook.got[before:]) == [("resolved", "resolved")]
            assert len({alert["id"] for one in hook.got for alert in one.json["alerts"]}) == 1
            shown = agent.shown()
            assert shown is not None and shown["alerts"] == []
        await gateway.close()
