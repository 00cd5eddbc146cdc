"""Addresses that do not answer: each is an attempt with its fault."""

import asyncio
import errno
import os
import resource
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
import uvloop

from smtpcheck.model.check import Check, Depth, Phase, Security
from smtpcheck.model.report import Attempt, Fault, FaultKind
from smtpcheck.network import resolver as resolver_room
from smtpcheck.network.connecting import AttemptRecorder, summed_up
from smtpcheck.network.network import Network
from smtpcheck.network.system_faults import os_fault
from smtpcheck.smtp.connection import Conversation, converse
from tests.worlds.samples import BILLING


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_refused_address_is_noted(loop_factory: object) -> None:
    attempts: list[Attempt] = []

    async def connect() -> None:
        with socket.socket() as bound, socket.socket() as sock:
            bound.bind(("127.0.0.1", 0))
            sock.setblocking(False)
            await AttemptRecorder(attempts).sock_connect(sock, bound.getsockname())

    with asyncio.Runner(loop_factory=loop_factory) as runner, pytest.raises(ConnectionRefusedError):  # type: ignore[arg-type]
        runner.run(connect())
    assert attempts == [Attempt("127.0.0.1", 4, Fault(FaultKind.REFUSED, os.strerror(errno.ECONNREFUSED)))]


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENETUNREACH, FaultKind.UNREACHABLE),
        (errno.ETIMEDOUT, FaultKind.TIMEOUT),
        (errno.ECONNRESET, FaultKind.RESET),
        (errno.EMFILE, FaultKind.OUT_OF_RESOURCES),
        (errno.ENOMEM, FaultKind.OUT_OF_RESOURCES),
        (errno.EAGAIN, FaultKind.OUT_OF_RESOURCES),
        (errno.EPERM, FaultKind.OS),
    ],
)
def test_an_error_of_the_system_is_named(number: int, kind: FaultKind) -> None:
    assert os_fault(OSError(number, "text")) == Fault(kind, os.strerror(number))


def test_the_most_specific_fault_represents_all_addresses() -> None:
    attempts = [
        Attempt("::1", 6, Fault(FaultKind.UNREACHABLE, "no route")),
        Attempt("127.0.0.1", 4, Fault(FaultKind.REFUSED, "refused")),
    ]
    assert summed_up(attempts) == Fault(FaultKind.REFUSED, "::1: no route; 127.0.0.1: refused")
    assert summed_up([Attempt("127.0.0.1", 4, None)]) is None


def _check(host: str, port: int, seconds: float) -> Check:
    server = replace(BILLING.server, host=host, port=port, security=Security.NONE)
    return replace(BILLING, server=server, timeout=seconds)


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_without_a_descriptor_the_server_is_not_to_blame(loop_factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def run() -> Conversation:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        network = Network.for_servers([])
        check = _check("127.0.0.1", 25, 5)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
        try:
            return await converse(check, Depth.CONNECT, None, origin=time.monotonic(), network=network)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        step = runner.run(run()).steps[-1]
    assert (step.phase, step.fault) == (
        Phase.CONNECT,
        Fault(FaultKind.OUT_OF_RESOURCES, f"127.0.0.1: {os.strerror(errno.EMFILE)}"),
    )


async def test_waiting_for_a_lookups_place_is_not_the_servers_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was learnt of the name; a lookup that is under way and does not end is a timeout."""
    released = threading.Event()
    monkeypatch.setattr(resolver_room, "MAX_LOOKUPS", 1)
    monkeypatch.setattr(resolver_room, "lookup", lambda *_: released.wait(20) and None)
    network = Network.for_servers([])
    talks = [
        converse(_check(host, 25, seconds), Depth.CONNECT, None, origin=time.monotonic(), network=network)
        for host, seconds in (("mail.first.example", 0.5), ("mail.second.example", 0.1))
    ]
    first, second = await asyncio.gather(*talks)
    released.set()
    assert [step.fault for step in first.steps] == [Fault(FaultKind.TIMEOUT, "not done within 0.5 s")]
    assert [step.fault for step in second.steps] == [
        Fault(FaultKind.OUT_OF_RESOURCES, "no slot for a name lookup became free within 0.1 s")
    ]
