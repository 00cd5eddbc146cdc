"""Names to addresses: shared lookups, bounded threads, faults as values."""

import asyncio
import socket
import threading

import pytest

from smtpcheck.model.check import IpVersion
from smtpcheck.model.report import Fault, FaultKind
from smtpcheck.smtp import resolver as room
from smtpcheck.smtp.resolver import Answer, Resolver, lookup


def test_an_address_needs_no_lookup() -> None:
    answer = lookup("127.0.0.1", 587, IpVersion.ANY)
    assert [row[4] for row in answer.addresses] == [("127.0.0.1", 587)]
    assert answer.fault is None


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (socket.gaierror(socket.EAI_NONAME, "no such name"), FaultKind.NAME_NOT_FOUND),
        (socket.gaierror(socket.EAI_AGAIN, "try again"), FaultKind.NAME_SERVER_FAILED),
        (socket.gaierror(socket.EAI_FAIL, "failure"), FaultKind.NAME_SERVER_FAILED),
        (OSError(24, "too many open files"), FaultKind.NAME_SERVER_FAILED),
        (UnicodeError("label too long"), FaultKind.NAME_NOT_FOUND),
    ],
)
def test_a_failed_lookup_is_a_value(monkeypatch: pytest.MonkeyPatch, error: Exception, kind: FaultKind) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    answer = lookup("mail.example.org", 587, IpVersion.ANY)
    assert answer.addresses == ()
    assert answer.fault is not None
    assert answer.fault.kind is kind


async def test_the_answer_for_an_address_is_remembered_unless_it_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver, real = Resolver(), socket.getaddrinfo
    answers = [OSError(24, "too many open files"), None]

    def next_answer(*arguments: object) -> object:
        if error := answers.pop(0):
            raise error
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", next_answer)
    failed, first, again = [await resolver.resolve("127.0.0.1", 587, IpVersion.ANY) for _ in range(3)]
    assert failed.fault is not None
    assert first.addresses[0][4] == ("127.0.0.1", 587)
    assert again is first


async def test_checks_of_one_moment_share_a_lookup(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    answer = Answer((), 0.5, Fault(FaultKind.NAME_NOT_FOUND))

    def note(host: str, *_: object) -> Answer:
        asked.append(host)
        return answer

    monkeypatch.setattr(room, "lookup", note)
    resolver = Resolver()
    many = [resolver.resolve(host, 587, IpVersion.ANY) for host in ["a.example"] * 50 + ["b.example"] * 50]
    assert await asyncio.gather(*many) == [answer] * 100
    assert await resolver.resolve("a.example", 587, IpVersion.ANY) == answer
    assert sorted(asked) == ["a.example", "b.example"]
    monkeypatch.setattr(room, "SHARED_SECONDS", -1.0)
    await resolver.resolve("a.example", 587, IpVersion.ANY)
    assert sorted(asked) == ["a.example", "a.example", "b.example"]


async def test_a_dead_name_server_holds_up_no_more_than_its_places(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    started = threading.Semaphore(0)
    running: list[str] = []

    def hang(host: str, *_: object) -> Answer:
        running.append(host)
        started.release()
        release.wait(10)
        return Answer((), 0.0)

    monkeypatch.setattr(room, "lookup", hang)
    monkeypatch.setattr(room, "MAX_LOOKUPS", 2)
    resolver = Resolver()
    tasks = [asyncio.ensure_future(resolver.resolve(f"{i}.example", 1, IpVersion.ANY)) for i in range(5)]
    for _ in range(2):
        await asyncio.to_thread(started.acquire, timeout=10)
    tasks[0].cancel()
    assert running == ["0.example", "1.example"]
    release.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert results[1:] == [Answer((), 0.0)] * 4
    assert isinstance(results[0], asyncio.CancelledError)
    assert sorted(running) == [f"{i}.example" for i in range(5)]
