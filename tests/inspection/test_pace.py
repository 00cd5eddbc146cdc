"""The pace of a tenant: one request at once, one a second, and none while it wants to be left alone."""

import asyncio

import pytest

from smtpcheck.inspection.not_readable import NotReadableError
from smtpcheck.inspection.pace import TenantPace
from smtpcheck.model.inspection import Obstacle


class Clock:
    """A clock that moves only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def pace(clock: Clock) -> TenantPace:
    return TenantPace(1.0, monotonic=clock.monotonic, sleep=clock.sleep)


async def test_a_second_is_left_between_two_requests() -> None:
    clock = Clock()
    tenant = pace(clock)
    for _ in range(3):
        async with tenant.slot():
            clock.now += 0.25
    assert clock.slept == [1.0, 1.0]


async def test_two_requests_never_run_at_once() -> None:
    tenant, running, most = TenantPace(0.0), 0, 0

    async def ask() -> None:
        nonlocal running, most
        async with tenant.slot():
            running += 1
            most = max(most, running)
            await asyncio.sleep(0)
            running -= 1

    await asyncio.gather(*(ask() for _ in range(5)))
    assert most == 1


async def test_what_fails_is_left_alone_longer_each_time() -> None:
    clock = Clock()
    tenant = pace(clock)
    for wait in (60.0, 120.0, 240.0):
        tenant.failed()
        clock.now += wait - 1
        with pytest.raises(NotReadableError) as refused:
            async with tenant.slot():
                pass
        assert refused.value.obstacle is Obstacle.THROTTLED
        clock.now += 1
        async with tenant.slot():
            pass


async def test_the_provider_is_left_alone_as_long_as_it_asks_and_no_longer_than_a_day() -> None:
    for asked, wait in ((1800, 1800.0), (10**9, 86400.0)):
        clock = Clock()
        tenant = pace(clock)
        tenant.failed(asked)
        clock.now += wait - 1
        with pytest.raises(NotReadableError):
            async with tenant.slot():
                pass
        clock.now += 1
        async with tenant.slot():
            pass


async def test_a_success_ends_the_pause() -> None:
    clock = Clock()
    tenant = pace(clock)
    tenant.failed()
    tenant.succeeded()
    async with tenant.slot():
        pass
    assert clock.slept == []


async def test_a_request_that_fails_frees_the_slot() -> None:
    tenant = TenantPace(0.0)
    with pytest.raises(RuntimeError):
        async with tenant.slot():
            raise RuntimeError
    async with tenant.slot():
        pass
