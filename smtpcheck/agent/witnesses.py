"""What this machine itself says of its network: its default route, and the witnesses of `agent.connectivity`.

Rules of this file:
- A witness is connected to and nothing is said; a refusal is an answer. Its name is looked up like a check's.
- Nothing waits for a witness longer than `WITNESS_SECONDS`.
"""

import asyncio
import contextlib
import socket
from collections.abc import Iterable
from pathlib import Path

from smtpcheck.check.connectivity import Try
from smtpcheck.model.check import IpVersion
from smtpcheck.model.report import FaultKind
from smtpcheck.network.network import Network
from smtpcheck.network.resolver import SocketAddress

WITNESS_SECONDS = 3.0
_ROUTES = Path("/proc/net")
_UP, _REJECT = 0x1, 0x200
"""Flags of a route (linux/route.h)."""


def has_default_route(folder: Path = _ROUTES) -> bool:
    """Return whether this machine has a default route, IPv4 or IPv6 (proc(5)); True where the system does not say."""
    try:
        v4 = [line.split() for line in (folder / "route").read_text().splitlines()[1:]]
        v6 = [line.split() for line in (folder / "ipv6_route").read_text().splitlines()]
    except OSError:
        return True
    defaults = [row[3] for row in v4 if len(row) > 7 and row[1] == row[7] == "0" * 8]
    defaults += [row[8] for row in v6 if len(row) > 8 and row[0] == "0" * 32 and row[1] == "00"]
    return any(int(flags, 16) & _UP and not int(flags, 16) & _REJECT for flags in defaults)


async def ask(witnesses: Iterable[tuple[str, int]], network: Network) -> list[Try]:
    """Try every witness (host and port) at once, and return what came of it."""
    return await asyncio.gather(*(_ask(host, port, network) for host, port in witnesses))


async def _ask(host: str, port: int, network: Network) -> Try:
    name, silent = f"{host}:{port}", False
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(WITNESS_SECONDS):
            answer = await network.resolver.resolve(host, port, IpVersion.ANY)
            silent = answer.fault is not None and answer.fault.kind is FaultKind.NAME_SERVER_FAILED
            for row in answer.addresses:
                if await _answers(row[0], row[4]):
                    return Try(name, reached=True)
    return Try(name, reached=False, name_service_silent=silent)


async def _answers(family: int, address: SocketAddress) -> bool:
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(sock, address)
        except (ConnectionRefusedError, ConnectionResetError):
            return True
        except OSError:
            return False
        return True
