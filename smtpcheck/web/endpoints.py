"""What Prometheus and an orchestrator ask: /metrics, /-/healthy, /-/ready, /-/reload.

Rules of this file:
- OpenMetrics only to those who prefer it by `Accept`; everyone else gets Prometheus' text format.
- Rendering (by the agent) and compression are done off the event loop, so that a scrape delays no probe.
"""

import zlib
from collections.abc import Iterable

from aiohttp import web

from smtpcheck.output.metrics import CONTENT_TYPE_OPENMETRICS, CONTENT_TYPE_TEXT, wants_openmetrics
from smtpcheck.web.keys import AGENT

_FASTEST, _GZIP = 1, 16 + zlib.MAX_WBITS
"""The level, and what makes zlib write gzip's header (https://docs.python.org/3/library/zlib.html#zlib.compressobj)."""


async def metrics(request: web.Request) -> web.Response:
    """Answer GET /metrics."""
    openmetrics = wants_openmetrics(request.headers.get("Accept", ""))
    join = gzipped if takes_gzip(request) else b"".join
    body = await request.app[AGENT].exposition(openmetrics=openmetrics, join=join)
    return exposed(body, openmetrics=openmetrics, is_gzip=join is gzipped)


def exposed(body: bytes, *, openmetrics: bool, is_gzip: bool) -> web.Response:
    """Return metrics, joined plain or by `gzipped`, with the headers of their format."""
    content_type = CONTENT_TYPE_OPENMETRICS if openmetrics else CONTENT_TYPE_TEXT
    headers = {"Content-Type": content_type, "Vary": "Accept, Accept-Encoding"}
    if is_gzip:
        headers["Content-Encoding"] = "gzip"
    return web.Response(body=body, headers=headers)


def gzipped(pieces: Iterable[bytes]) -> bytes:
    """Return pieces as one file of gzip (RFC 1952), compressed as they come."""
    compressor = zlib.compressobj(_FASTEST, wbits=_GZIP)
    return b"".join([*map(compressor.compress, pieces), compressor.flush()])


async def healthy(request: web.Request) -> web.Response:
    """Answer GET /-/healthy: 503 with a sentence where only a restart helps, else 200.

    An agent without network or with a full disk does its work: a restart would not help it, and the checks say so.
    """
    if reason := request.app[AGENT].stuck_reason():
        return web.Response(status=503, text=f"smtpcheck is not healthy: {reason}\n")
    return web.Response(text="smtpcheck is healthy\n")


async def ready(request: web.Request) -> web.Response:
    """Answer GET /-/ready: 200 when every check is scheduled, else 503."""
    if request.app[AGENT].ready():
        return web.Response(text="smtpcheck is ready\n")
    return web.Response(status=503, text="smtpcheck is starting\n")


async def reload(request: web.Request) -> web.Response:
    """Answer POST /-/reload: 200 when the new configuration is in force, 500 with what is wrong when it is not."""
    problems = await request.app[AGENT].reload()
    if not problems:
        return web.Response(text="configuration reloaded\n")
    lines = "".join(f"{problem}\n" for problem in problems)
    return web.Response(status=500, text=f"the old configuration stays in effect:\n{lines}")


def takes_gzip(request: web.Request) -> bool:
    """Return whether `Accept-Encoding` (RFC 9110 12.5.3) takes gzip; a weight of zero refuses it."""
    for member in request.headers.get("Accept-Encoding", "").lower().split(","):
        coding, _, weight = (part.strip() for part in member.partition(";"))
        if coding in {"gzip", "*"}:
            return weight.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
    return False
