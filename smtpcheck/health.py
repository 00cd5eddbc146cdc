"""`python -m smtpcheck.health [PORT]`: whether the agent in this container answers, as its HEALTHCHECK asks.

Rules of this file:
- Without a port it asks where the agent listens: /proc shows at which addresses a process of smtpcheck does, whatever
  its configuration and options say. Where there is no /proc, or nobody listens, it asks the default port.
- It knows no password: every answer of HTTP below 500 is a sign of life, 401 (RFC 9110 15.5.2) too.
- With TLS the handshake is the sign. The certificate is not verified, for it has the name that others call the agent
  by, and nothing is sent to it. A page that demands client certificates and TLS 1.2 at most ends the handshake itself,
  and so needs a health check of its own.
- It starts every half minute, so it imports nothing but the standard library.
"""

import os
import ssl
import sys
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

PORT = 9587
SECONDS = 4.0
"""How long the agent has for an answer."""
_LISTEN = "0A"
"""The state of a socket in /proc/net/tcp (include/net/tcp_states.h)."""
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def listening_addresses(proc: Path = Path("/proc")) -> list[tuple[str, int]]:
    """Return host and port of the sockets at which other processes of smtpcheck on this machine listen."""
    owned = {inode for process in proc.glob("[0-9]*") if _is_agent(process) for inode in _sockets(process)}
    rows = (row for name in ("tcp", "tcp6") for row in _rows(proc / "net" / name))
    return [(_ANY.get(host, host), port) for host, port, inode in rows if inode in owned]


def _is_agent(process: Path) -> bool:
    try:
        arguments = (process / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    named = any(Path(os.fsdecode(argument)).name in {"smtpcheck", "__main__.py"} for argument in arguments[:4])
    return named and process.name != str(os.getpid())


def _sockets(process: Path) -> Iterator[str]:
    """Yield the inodes of a process's sockets; none of a process of another user."""
    try:
        descriptors = list((process / "fd").iterdir())
    except OSError:
        return
    for descriptor in descriptors:
        try:
            target = str(descriptor.readlink())
        except OSError:
            continue
        if target.startswith("socket:["):
            yield target[8:-1]


def _rows(table: Path) -> Iterator[tuple[str, int, str]]:
    """Yield address, port and inode of each socket of a table of the kernel's that listens."""
    try:
        lines = table.read_text().splitlines()[1:]
    except OSError:
        return
    for line in lines:
        fields = line.split()
        if len(fields) > 9 and fields[3] == _LISTEN:
            address, _, port = fields[1].partition(":")
            yield _address(address), int(port, 16), fields[9]


def _address(text: str) -> str:
    """Return an address that the kernel has written as words in the machine's own order."""
    octets = b"".join(int(text[begin : begin + 8], 16).to_bytes(4, sys.byteorder) for begin in range(0, len(text), 8))
    return str(IPv4Address(octets) if len(octets) == 4 else IPv6Address(octets))


def alive(port: int = PORT, host: str = "127.0.0.1") -> bool:
    """Return whether an agent at a port of this machine answers, with TLS or without."""
    plain = HTTPConnection(host, port, timeout=SECONDS)
    try:
        plain.request("GET", "/-/healthy")
        return plain.getresponse().status < 500
    except TimeoutError:
        return False
    except (HTTPException, OSError):
        return _speaks_tls(host, port)
    finally:
        plain.close()


def _speaks_tls(host: str, port: int) -> bool:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    secure = HTTPSConnection(host, port, timeout=SECONDS, context=context)
    try:
        secure.connect()
    except OSError:
        return False
    finally:
        secure.close()
    return True


def main(arguments: list[str]) -> int:
    """Return 0 if the agent answers, at the port that is given or wherever it listens, else 1."""
    ports = [("127.0.0.1", int(port)) for port in arguments[:1]]
    found = ports or listening_addresses() or [("127.0.0.1", PORT)]
    return int(not any(alive(port, host) for host, port in found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
