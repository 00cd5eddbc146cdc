"""What OpenSSL alone takes of a probe: the client's part of a verified handshake, in memory, without Python's loop.

No client that is built on it can cost less; blackbox_exporter has Go's own TLS.
"""

import contextlib
import ssl
import statistics
import time
from collections.abc import Iterator

from tests.bench.table import Row
from tests.bench.world import World, own_process

ROUNDS = 11
HANDSHAKES = 100


def handshake(world: World) -> Iterator[Row]:
    """Yield the CPU of one handshake."""
    with own_process() as process:
        seconds = process.submit(_measure, world).result()
    yield Row("of a probe: OpenSSL's handshake alone", 1e3 * seconds, "ms")


def _measure(world: World) -> float:
    client, server = ssl.create_default_context(cafile=world.ca_file), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(world.folder / "server.pem")
    _shake_hands(client, server)
    return statistics.median(
        sum(_shake_hands(client, server) for _ in range(HANDSHAKES)) / HANDSHAKES for _ in range(ROUNDS)
    )


def _shake_hands(client: ssl.SSLContext, server: ssl.SSLContext) -> float:
    """Return the seconds of CPU that the client takes from its first message to its last, session tickets included."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    used, begin = 0.0, time.thread_time()
    ours = client.wrap_bio(to_client, to_server, server_hostname="127.0.0.1")
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(2):
        with contextlib.suppress(ssl.SSLWantReadError):
            ours.do_handshake()
        used += time.thread_time() - begin
        with contextlib.suppress(ssl.SSLWantReadError):
            theirs.do_handshake()
        begin = time.thread_time()
    with contextlib.suppress(ssl.SSLWantReadError):
        ours.read()
    return used + time.thread_time() - begin
