"""The health check of the container: what counts as alive, whatever the page asks of those who call it."""

import asyncio
import socket
import subprocess
import sys
from pathlib import Path

import bcrypt
import pytest
import trustme

from smtpcheck.health import alive
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
