"""Debian's servers for all tests of this folder: each started once, on free loopback ports, in a temporary folder."""

import shutil
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
import trustme

from tests.real.daemon import Daemon, free_port, real_binary
from tests.real.mail import Certificates, Dovecot, DovecotPorts, Postfix, PostfixPorts, RefusingPostfix
from tests.real.openid import CLIENTS, KEY_ID, OpenIDProvider
from tests.real.prometheus import Prometheus
from tests.real.tokens import Signer, trust

D = TypeVar("D", bound=Daemon)

_running: list[Daemon] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the servers' logs with a test that failed."""
    report = yield
    if report.failed:
        report.sections.extend((f"log of {type(daemon).__name__}", daemon.tail()) for daemon in _running)
    return report


@pytest.fixture(scope="session")
def folder() -> Iterator[Callable[[str], Path]]:
    """Return a maker of folders that the servers' users may enter, with paths short enough for Unix sockets."""
    root = Path(tempfile.mkdtemp(prefix="smtpcheck-"))
    root.chmod(0o755)

    def make(name: str) -> Path:
        path = root / name
        path.mkdir()
        return path

    yield make
    shutil.rmtree(root)


@pytest.fixture(scope="session")
def certificates(folder: Callable[[str], Path]) -> Certificates:
    """Return a certificate for `localhost` of an authority of our own."""
    path = folder("tls")
    authority = trustme.CA()
    leaf = authority.issue_cert("localhost", "127.0.0.1")
    made = Certificates(ca=path / "ca.pem", chain=path / "chain.pem", key=path / "key.pem")
    authority.cert_pem.write_to_path(str(made.ca))
    leaf.private_key_pem.write_to_path(str(made.key))
    for certificate in leaf.cert_chain_pems:
        certificate.write_to_path(str(made.chain), append=True)
    return made


@pytest.fixture(scope="session")
def signer() -> Signer:
    """Return the issuer's key that the servers trust."""
    return Signer()


@pytest.fixture(scope="session")
def postfix_ports() -> PostfixPorts:
    """Return Postfix's ports, chosen before it runs: Dovecot relays to it, and it asks Dovecot."""
    return PostfixPorts(*(free_port() for _ in range(6)))


def _run_dovecot(
    path: Path, certificates: Certificates, signer: Signer, postfix_ports: PostfixPorts, failure_delay: int
) -> Iterator[Dovecot]:
    ports = DovecotPorts(free_port(), free_port(), free_port(), free_port())
    server = Dovecot(path, certificates, ports, relay_port=postfix_ports.relay, failure_delay=failure_delay)
    trust(server.keys, signer.public_pem)
    yield from _until_the_end(server)


def _until_the_end(server: D) -> Iterator[D]:
    _running.append(server)
    yield server
    _running.remove(server)
    server.stop()


@pytest.fixture(scope="session")
def dovecot(
    folder: Callable[[str], Path], certificates: Certificates, signer: Signer, postfix_ports: PostfixPorts
) -> Iterator[Dovecot]:
    """Return a Dovecot that refuses at once. Its submission needs `postfix` to run."""
    yield from _run_dovecot(folder("dovecot"), certificates, signer, postfix_ports, 0)


@pytest.fixture(scope="session")
def slow_dovecot(
    folder: Callable[[str], Path], certificates: Certificates, signer: Signer, postfix_ports: PostfixPorts
) -> Iterator[Dovecot]:
    """Return a Dovecot that answers a refused login after three seconds, counted in whole ones: two at the least."""
    yield from _run_dovecot(folder("slow"), certificates, signer, postfix_ports, 3)


@pytest.fixture(scope="session")
def openid(folder: Callable[[str], Path], certificates: Certificates) -> Iterator[OpenIDProvider]:
    """Return a certified OpenID provider."""
    yield from _until_the_end(OpenIDProvider(folder("openid"), certificates))


@pytest.fixture(scope="session")
def openid_dovecot(
    folder: Callable[[str], Path], certificates: Certificates, postfix_ports: PostfixPorts, openid: OpenIDProvider
) -> Iterator[Dovecot]:
    """Return a Dovecot that takes the tokens of `openid`."""
    ports = DovecotPorts(free_port(), free_port(), free_port(), free_port())
    path, relay = folder("openid-dovecot"), postfix_ports.relay
    server = Dovecot(path, certificates, ports, relay_port=relay, issuer=openid.issuer)
    for client in CLIENTS:
        trust(server.keys, openid.public_pem, kid=KEY_ID, azp=client)
    yield from _until_the_end(server)


@pytest.fixture(scope="session")
def postfix(
    folder: Callable[[str], Path], certificates: Certificates, postfix_ports: PostfixPorts, dovecot: Dovecot
) -> Iterator[Postfix]:
    """Return a Postfix that asks `dovecot` about logins and delivers to it."""
    yield from _until_the_end(Postfix(folder("postfix"), certificates, postfix_ports, dovecot))


@pytest.fixture(scope="session")
def refusing_postfix(folder: Callable[[str], Path], postfix_ports: PostfixPorts) -> Iterator[RefusingPostfix]:
    """Return the Postfix that refuses what `postfix` brings to refusing.test."""
    yield from _until_the_end(RefusingPostfix(folder("refusing-postfix"), postfix_ports.refusing))


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[Callable[..., Prometheus]]:
    """Return a starter of a Prometheus that scrapes a target (`host:port`) each second, and by further `jobs`."""
    started: list[Prometheus] = []

    def start(target: str, jobs: str = "") -> Prometheus:
        path = tmp_path / f"prometheus{len(started)}"
        path.mkdir()
        server = Prometheus(path, target, jobs=jobs)
        started.append(server)
        _running.append(server)
        return server

    yield start
    for server in started:
        _running.remove(server)
        server.stop()


@pytest.fixture(scope="session")
def promtool() -> str:
    """Return the path of Prometheus's own checker."""
    return real_binary("promtool")
