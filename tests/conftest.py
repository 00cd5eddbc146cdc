"""Rules for all tests: nothing reaches beyond loopback, and no test fails because the machine is busy.

Under SMTPCHECK_REQUIRE_REAL=1 what a test would be skipped for is a failure: everything must be there.
"""

import ipaddress
import os
import sys
from collections.abc import Generator

import pytest
from hypothesis import settings

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


def _is_loopback(host: object) -> bool:
    if not isinstance(host, str) or host in {"", "localhost"}:
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _refuse_the_world(event: str, arguments: tuple[object, ...]) -> None:
    if event not in {"socket.connect", "socket.sendto"}:
        return
    address = arguments[1]
    if isinstance(address, tuple) and address and not _is_loopback(address[0]):
        pytest.fail(f"a test tried to reach {address[0]}, beyond loopback")


sys.addaudithook(_refuse_the_world)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Make a failure of what was skipped, where nothing may be."""
    report = yield
    if os.environ.get("SMTPCHECK_REQUIRE_REAL") == "1" and isinstance(report.longrepr, tuple) and report.skipped:
        report.outcome, report.longrepr = "failed", report.longrepr[2]
    return report
