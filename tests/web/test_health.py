"""The health check of the container: what counts as alive, whatever the page asks of those who call it."""

import asyncio
import json
import socket
import subprocess
import sys
from pathlib import Path

import bcrypt
import pytest
import trustme

from smtpcheck.health import alive, listening_addresses
from smtpcheck.web import create_app, serve
from tests.web.world import World

ROOT = Path(__file__).parent.parent.parent
USERS = f"basic_auth_users: {{anna: {bcrypt.hashpw(b'right', bcrypt.gensalt(4)).decode()}}}\n"
TLS = "tls_server_config: {cert_file: cert.pem, key_file: cert.pem}\n"
MUTUAL = """tls_server_config:
  cert_file: cert.pem
  key_file: cert.pem
  client_ca_file: ca.pem
  client_auth_type: RequireAndVerifyClientCert
"""


@pytest.mark.parametrize(
    "text", ["{}\n", USERS, TLS, TLS + USERS, MUTUAL], ids=["open", "users", "tls", "both", "mutual"]
)
async def test_a_page_that_answers_is_alive_whoever_it_serves(tmp_path: Path, world: World, text: str) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    authority.issue_cert("monitor.example.org").private_key_and_cert_chain_pem.write_to_path(tmp_path / "cert.pem")
    config = tmp_path / "web.yml"
    config.write_text(text)
    async with serve(create_app(world), ("127.0.0.1", 0), config) as (_, port):
        assert await asyncio.to_thread(alive, port)


async def test_what_only_takes_connections_is_not_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent that hangs, one that ends every connection, and none at all."""
    monkeypatch.setattr("smtpcheck.health.SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        hanging = await asyncio.to_thread(alive, port)
    absent = await asyncio.to_thread(alive, port)
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        closing = await asyncio.to_thread(alive, server.sockets[0].getsockname()[1])
    assert (hanging, absent, closing) == (False, False, False)


def test_the_containers_command_is_this_one() -> None:
    """It takes a port, and exits 1 where nobody answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert '"-m", "smtpcheck.health"]' in (ROOT / "Dockerfile").read_text()
    assert subprocess.run([sys.executable, "-m", "smtpcheck.health", str(port)], check=False).returncode == 1


def test_it_asks_where_the_agent_listens(tmp_path: Path) -> None:
    """An agent on a port of its own choice, at one address or all, is found without a word of its configuration."""
    config = tmp_path / "checks.yaml"
    config.write_text(
        f"agent: {{state: {tmp_path / 'state'}, listen: '127.0.0.1:0'}}\n"
        "checks: [{name: a, mailbox: a@example.org, depth: connect, server: {host: 127.0.0.1, port: 9}}]\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "smtpcheck", "run", "-c", str(config), "--log.format", "json"],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr
        address = next(entry["address"] for line in process.stderr if "address" in (entry := json.loads(line)))
        assert ("127.0.0.1", int(address.rpartition(":")[2])) in listening_addresses()
        assert subprocess.run([sys.executable, "-m", "smtpcheck.health"], check=False).returncode == 0
    finally:
        process.kill()
        process.communicate()


def test_the_kernels_tables_are_read(tmp_path: Path) -> None:
    """IPv4 and IPv6, only sockets that listen, only those of an agent."""
    for number, (command, inode) in enumerate(
        [("/opt/smtpcheck/bin/python\0/opt/smtpcheck/bin/smtpcheck\0run\0", 11), ("/usr/sbin/nginx\0", 22)]
    ):
        folder = tmp_path / str(1 + number)
        (folder / "fd").mkdir(parents=True)
        (folder / "cmdline").write_text(command)
        (folder / "fd" / "3").symlink_to(f"socket:[{inode}]")
    (tmp_path / "net").mkdir()
    rest = "00000000:00000000 00:00000000 00000000 65532 0"
    (tmp_path / "net" / "tcp").write_text(
        "head\n"
        f" 0: 0100007F:2573 00000000:0000 0A {rest} 11 1\n"
        f" 1: 00000000:2574 00000000:0000 0A {rest} 11 1\n"
        f" 2: 0100007F:2575 0100007F:0050 01 {rest} 11 1\n"
        f" 3: 0100007F:0050 00000000:0000 0A {rest} 22 1\n"
    )
    (tmp_path / "net" / "tcp6").write_text(
        f"head\n 0: 00000000000000000000000000000000:2576 {'0' * 32}:0000 0A {rest} 11 1\n"
    )
    assert listening_addresses(tmp_path) == [("127.0.0.1", 9587), ("127.0.0.1", 9588), ("::1", 9590)]
