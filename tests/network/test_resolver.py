"""Names to addresses: shared lookups, bounded threads, faults as values."""

import asyncio
import errno
import os
import resource
import socket
import threading

import pytest

from smtpcheck.model.check import IpVersion
from smtpcheck.model.report import Fault, FaultKind
from smtpcheck.network import resolver as room
from smtpcheck.network.resolver import MAX_LOOKUPS, MAX_OF_ZONE, Answer, Resolver, lookup
from smtpcheck.network.system_faults import has_descriptor_left

GOOD = Answer((), 0.0)


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
        (socket.gaierror(socket.EAI_MEMORY, "out of memory"), FaultKind.OUT_OF_RESOURCES),
        (OSError(errno.EIO, "input/output error"), FaultKind.NAME_SERVER_FAILED),
        (OSError(errno.EMFILE, "too many open files"), FaultKind.OUT_OF_RESOURCES),
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


class NameService:
    """A name service that answers every name at once, but for those that hang until they are released."""

    def __init__(self, *hanging: str) -> None:
        self.released = threading.Event()
        self._hanging = hanging

    def lookup(self, host: str, *_: object) -> Answer:
        if host.endswith(self._hanging):
            self.released.wait(20)
        return GOOD


async def _running(resolver: Resolver, zone: str, number: int) -> None:
    while resolver._running[zone] != number:  # noqa: ASYNC110
        await asyncio.sleep(0)


async def test_names_of_a_dead_zone_leave_room_for_all_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many of them there are."""
    service, resolver = NameService("dead.example"), Resolver()
    monkeypatch.setattr(room, "lookup", service.lookup)
    dead = [f"{number}.dead.example" for number in range(2 * MAX_LOOKUPS)]
    waiting = [asyncio.ensure_future(resolver.resolve(host, 25, IpVersion.ANY)) for host in dead]
    await _running(resolver, "dead.example", MAX_OF_ZONE)
    async with asyncio.timeout(10):
        healthy = [resolver.resolve(f"mail.{number}.example", 25, IpVersion.ANY) for number in range(10)]
        assert await asyncio.gather(*healthy) == [GOOD] * 10
    queued = [resolver.is_queued(host, 25, IpVersion.ANY) for host in dead]
    assert queued == [False] * MAX_OF_ZONE + [True] * (len(dead) - MAX_OF_ZONE)
    service.released.set()
    assert await asyncio.gather(*waiting) == [GOOD] * len(dead)
    assert not any(resolver.is_queued(host, 25, IpVersion.ANY) for host in dead)


async def test_zones_that_wait_are_served_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    release = threading.Event()

    def note(host: str, *_: object) -> Answer:
        release.wait(20)
        asked.append(host)
        return GOOD

    monkeypatch.setattr(room, "lookup", note)
    monkeypatch.setattr(room, "MAX_LOOKUPS", 1)
    resolver = Resolver()
    hosts = ["first.example", "1.many.example", "2.many.example", "3.many.example", "mail.few.example"]
    tasks = [asyncio.ensure_future(resolver.resolve(host, 25, IpVersion.ANY)) for host in hosts]
    await _running(resolver, "first.example", 1)
    release.set()
    await asyncio.gather(*tasks)
    assert asked.index("mail.few.example") < asked.index("2.many.example")


async def test_a_name_that_nobody_waits_for_any_more_is_not_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    service, resolver = NameService("hanging.example"), Resolver()
    monkeypatch.setattr(room, "lookup", service.lookup)
    monkeypatch.setattr(room, "MAX_LOOKUPS", 1)
    first = asyncio.ensure_future(resolver.resolve("hanging.example", 25, IpVersion.ANY))
    await _running(resolver, "hanging.example", 1)
    left = asyncio.ensure_future(resolver.resolve("mail.left.example", 25, IpVersion.ANY))
    await asyncio.sleep(0)
    left.cancel()
    await asyncio.wait([left])
    service.released.set()
    await first
    assert not resolver._queues
    assert await resolver.resolve("mail.left.example", 25, IpVersion.ANY) == GOOD


async def test_a_thread_that_cannot_be_started_is_this_machines_fault_and_costs_no_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The name is looked up again as soon as a thread can be had."""
    monkeypatch.setattr(room, "SHARED_SECONDS", -1.0)
    monkeypatch.setattr(room, "lookup", lambda *_: GOOD)
    resolver = Resolver()

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as without_threads:
        without_threads.setattr(threading.Thread, "start", refuse)
        for _ in range(2 * MAX_LOOKUPS):
            answer = await resolver.resolve("mail.example.org", 25, IpVersion.ANY)
            assert answer.fault == Fault(FaultKind.OUT_OF_RESOURCES, "can't start new thread")
    assert await resolver.resolve("mail.example.org", 25, IpVersion.ANY) == GOOD


@pytest.mark.parametrize(
    ("error", "kind"),
    [(MemoryError(), FaultKind.OUT_OF_RESOURCES), (OverflowError("port"), FaultKind.NAME_SERVER_FAILED)],
)
async def test_a_lookup_that_breaks_returns_its_place(
    monkeypatch: pytest.MonkeyPatch, error: Exception, kind: FaultKind
) -> None:
    def fail(*_: object) -> Answer:
        raise error

    monkeypatch.setattr(room, "lookup", fail)
    resolver = Resolver()
    answer = await resolver.resolve("mail.example.org", 25, IpVersion.ANY)
    assert answer.fault is not None and answer.fault.kind is kind
    assert resolver._running.total() == 0


def test_a_name_service_that_fails_for_want_of_a_descriptor_is_not_to_blame(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's resolver reports a name server that does not answer."""

    def fail(*_: object) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = os.open(os.devnull, os.O_RDONLY)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
        assert not has_descriptor_left()
        answer = lookup("mail.example.org", 25, IpVersion.ANY)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        os.close(taken)
    assert has_descriptor_left()
    assert answer.fault == Fault(FaultKind.OUT_OF_RESOURCES, "Temporary failure in name resolution")
