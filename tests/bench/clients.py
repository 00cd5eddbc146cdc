"""The clients that are compared. Each connects, does STARTTLS, logs in by XOAUTH2 (but blackbox_exporter) and quits.

smtpcheck and the bare dialogue send the token after the 334, as RFC 4954 wants it; the libraries send it in one line.
Each runs in a process of its own with an event loop (or threads) of its own that lives from batch to batch; its TLS
context is made once, also where the library would make one for each connection.
"""

import asyncio
import functools
import resource
import smtplib
import ssl
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

import aiosmtplib
import uvloop

from smtpcheck.agent.agent import Agent
from smtpcheck.log import LogFormat, LogLevel, configure
from smtpcheck.model.report import Outcome, Report
from tests.bench.bare import BareDialogue
from tests.bench.world import World, configured


def batch(client: str, world: World, count: int, at_once: int) -> float:
    """Do `count` probes with the client that is so called; return seconds of CPU for each, user and system."""
    run = CLIENTS[client](world)
    before = _cpu()
    run(count, at_once)
    return (_cpu() - before) / count


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


_Batch = Callable[[int, int], None]
"""Does a number of probes, so many at once."""


@functools.cache
def _runner() -> asyncio.Runner:
    return asyncio.Runner(loop_factory=uvloop.new_event_loop)


@functools.cache
def _context(world: World) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=world.ca_file)


async def _many(probe: Callable[[int], Awaitable[None]], count: int, at_once: int) -> None:
    numbers = iter(range(count))

    async def one_after_the_other() -> None:
        for number in numbers:
            await probe(number)

    await asyncio.gather(*(one_after_the_other() for _ in range(at_once)))


def _smtpcheck(world: World) -> _Batch:
    """Return the agent's whole work for a check: token, probe, judgement, state, metrics and log."""
    agent = _agent(world)
    checks = agent.settings.checks

    async def probe(number: int) -> None:
        report = await agent._runner.run(checks[number % len(checks)].name, time.monotonic())
        assert isinstance(report, Report), report
        assert report.outcome is Outcome.OK, report

    return lambda count, at_once: _runner().run(_many(probe, count, at_once))


@functools.cache
def _agent(world: World) -> Agent:
    configure(LogLevel.WARNING, LogFormat.JSON)
    settings, again = configured(world, 100)
    agent = _runner().run(Agent.create(settings, again))
    agent._plan()
    return agent


def _aiosmtplib(world: World) -> _Batch:
    async def token() -> str:
        return world.token

    async def probe(number: int) -> None:
        client = aiosmtplib.SMTP(hostname="127.0.0.1", port=world.port, local_hostname="localhost", timeout=20)
        await client.connect(
            start_tls=True, tls_context=_context(world), username=_mailbox(number), oauth_token_generator=token
        )
        await client.quit()

    return lambda count, at_once: _runner().run(_many(probe, count, at_once))


def _bare(world: World) -> _Batch:
    async def probe(number: int) -> None:
        loop, context = asyncio.get_running_loop(), _context(world)
        _, dialogue = await loop.create_connection(
            lambda: BareDialogue(context, _mailbox(number), world.token), "127.0.0.1", world.port
        )
        await dialogue.done

    return lambda count, at_once: _runner().run(_many(probe, count, at_once))


def _smtplib(world: World) -> _Batch:
    def probe(number: int) -> None:
        response = f"user={_mailbox(number)}\x01auth=Bearer {world.token}\x01\x01"
        with smtplib.SMTP("127.0.0.1", world.port, local_hostname="localhost", timeout=20) as client:
            client.starttls(context=_context(world))
            client.ehlo()
            client.auth("XOAUTH2", lambda _=None: response)

    def run(count: int, at_once: int) -> None:
        for _ in _threads(at_once).map(probe, range(count)):
            pass

    return run


@functools.cache
def _threads(number: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(number)


def _mailbox(number: int) -> str:
    return f"mailbox-{number:05}@example.org"


CLIENTS: dict[str, Callable[[World], _Batch]] = {
    "smtpcheck": _smtpcheck,
    "aiosmtplib": _aiosmtplib,
    "smtplib in threads": _smtplib,
    "a bare dialogue": _bare,
}
