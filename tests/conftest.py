"""Rules for all tests: nothing reaches beyond loopback, and no test fails because the machine is busy.

`make test` runs them in several processes and in any order: each must be able to run beside any other, and has the same
name in every process. Files whose tests share what is expensive to start are the exception: `TOGETHER`.

Under SMTPCHECK_REQUIRE_REAL=1 what a test would be skipped for is a failure: everything must be there.
"""

import gc
import ipaddress
import os
import sys
from collections.abc import Generator

import pytest
import structlog
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

from smtpcheck.config.loading import default_state_folder

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")

# Without this a traceback that is logged before the log is configured shows every local variable, for seconds.
_console = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
structlog.configure([*structlog.get_config()["processors"][:-1], _console])


def _is_loopback(host: object) -> bool:
    if not isinstance(host, str) or host in {"", "localhost"}:
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


_OF_THIS_MACHINE = str(default_state_folder())
_WRITES = {"open", "os.mkdir", "sqlite3.connect"}


def _refuse_the_state_of_this_machine(event: str, arguments: tuple[object, ...]) -> None:
    """A test that kept something where an agent of this machine does would find it with its next run."""
    if event not in _WRITES or not isinstance(arguments[0], str | bytes | os.PathLike):
        return
    path = os.fsdecode(arguments[0])
    if _OF_THIS_MACHINE in path:
        pytest.fail(f"a test uses {path}: its configuration needs agent.state")


def _refuse_the_world(event: str, arguments: tuple[object, ...]) -> None:
    if event not in {"socket.connect", "socket.sendto"}:
        return
    address = arguments[1]
    if isinstance(address, tuple) and address and not _is_loopback(address[0]):
        pytest.fail(f"a test tried to reach {address[0]}, beyond loopback")


sys.addaudithook(_refuse_the_world)
sys.addaudithook(_refuse_the_state_of_this_machine)


_REAL = "tests/real"
TOGETHER = {
    f"{_REAL}/test_agent.py": "mail servers",
    f"{_REAL}/test_conversation.py": "mail servers",
    f"{_REAL}/test_expected_refusals.py": "mail servers",
    f"{_REAL}/test_finding.py": "mail servers",
    f"{_REAL}/test_servers.py": "mail servers",
    f"{_REAL}/test_oauth_flows.py": "an OpenID provider",
    f"{_REAL}/test_openid.py": "an OpenID provider",
    f"{_REAL}/test_own_identity_provider.py": "an OpenID provider",
    f"{_REAL}/test_debian.py": "fresh Debians",
    f"{_REAL}/test_board.py": "a Prometheus with a month of history",
    "tests/cli/test_windows.py": "another site in the sandbox",
    "tests/docs/test_commands.py": "a site in the sandbox",
    "tests/test_packaging.py": "a wheel",
    "tests/web/test_accessibility.py": "a browser with axe-core",
    "tests/web/test_browser.py": "a browser",
    "tests/web/test_history_browser.py": "another browser",
}
"""By file: what its tests share. One process runs all tests that share the same."""


class _Scheduler(LoadScopeScheduling):  # type: ignore[misc] # it comes without types
    """Gives each process one test after another, and what belongs together to one process, first."""

    def _split_scope(self, nodeid: str) -> str:
        return TOGETHER.get(nodeid.partition("::")[0], nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadScopeScheduling:
    """Have tests that share something run in one process."""
    return _Scheduler(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Use two processes a core: most tests wait, for a time limit or for a server."""
    return 2 * (os.cpu_count() or 1)


def pytest_collection_finish() -> None:
    """Exempt what was imported and collected from garbage collection: each one would search all of it."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Make a failure of what was skipped, where nothing may be."""
    report = yield
    if os.environ.get("SMTPCHECK_REQUIRE_REAL") == "1" and isinstance(report.longrepr, tuple) and report.skipped:
        report.outcome, report.longrepr = "failed", report.longrepr[2]
    return report
