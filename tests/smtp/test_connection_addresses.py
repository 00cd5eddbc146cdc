"""Addresses that do not answer: each is an attempt with its fault."""

import asyncio
import errno
import os
import socket

import pytest
import uvloop

from smtpcheck.model.report import Attempt, Fault, FaultKind
from smtpcheck.smtp.connection import _AttemptRecorder, _os_fault, _sum_up


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_refused_address_is_noted(loop_factory: object) -> None:
    attempts: list[Attempt] = []

    async def connect() -> None:
        with socket.socket() as bound, socket.socket() as sock:
            bound.bind(("127.0.0.1", 0))
            sock.setblocking(False)
            await _AttemptRecorder(attempts).sock_connect(sock, bound.getsockname())

    with asyncio.Runner(loop_factory=loop_factory) as runner, pytest.raises(ConnectionRefusedError):  # type: ignore[arg-type]
        runner.run(connect())
    assert attempts == [Attempt("127.0.0.1", 4, Fault(FaultKind.REFUSED, os.strerror(errno.ECONNREFUSED)))]


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENETUNREACH, FaultKind.UNREACHABLE),
        (errno.ETIMEDOUT, FaultKind.TIMEOUT),
        (errno.ECONNRESET, FaultKind.RESET),
        (errno.EMFILE, FaultKind.OS),
    ],
)
def test_an_error_of_the_system_is_named(number: int, kind: FaultKind) -> None:
    assert _os_fault(OSError(number, "text")) == Fault(kind, os.strerror(number))


def test_the_fault_that_tells_most_stands_for_all() -> None:
    attempts = [
        Attempt("::1", 6, Fault(FaultKind.UNREACHABLE, "no route")),
        Attempt("127.0.0.1", 4, Fault(FaultKind.REFUSED, "refused")),
    ]
    assert _sum_up(attempts) == Fault(FaultKind.REFUSED, "::1: no route; 127.0.0.1: refused")
    assert _sum_up([Attempt("127.0.0.1", 4, None)]) is None
