"""Who may ask what: the origin of a POST, the host that is asked for, and the headers of every answer.

Rules of this file:
- A POST acts, so it comes from our own pages or from no page at all. Browsers send `Sec-Fetch-Site` to trustworthy
  addresses and `Origin` with every POST; what sends neither is no browser, holds no one's cookies, and may post.
- DNS rebinding: the page of a third party can make its own name resolve to our address and then is "same origin" with
  us. So a request must name a host that no third party can own: an IP address, a name that public DNS does not know, or
  one that the operator configured. Behind authentication this is not asked: another origin has no credentials for us.
- A GET of /probe acts too: Prometheus sends it, and a person may; a page of another origin may not.
- No page uses anything from elsewhere, and nothing inline; the policy says so.
"""

import ipaddress
from collections.abc import Awaitable, Callable, Collection, Mapping

from aiohttp import web

_PRIVATE_DOMAINS = (".localhost", ".local", ".internal", ".home.arpa", ".svc")
"""Names that are never in public DNS (RFC 6761, 6762, 8375), and those of services in a Kubernetes cluster."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def refuse_cross_origin(request: web.Request) -> None:
    """Refuse a request that a page of another origin makes, as a browser says; an address that is typed is welcome."""
    if request.headers.get("Sec-Fetch-Site", "none") not in {"none", "same-origin"}:
        raise web.HTTPForbidden(text="refused: the request comes from a page of another origin\n")


@web.middleware
async def same_origin_posts(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse whatever is no GET or HEAD and comes from a page that is not ours."""
    if request.method not in {"GET", "HEAD"} and not _same_origin(request):
        raise web.HTTPForbidden(text="refused: the request comes from a page of another origin\n")
    return await handler(request)


def harden(response: web.StreamResponse, configured: Mapping[str, str]) -> None:
    """Add the headers that every answer has, if it has none of its own; those of the operator win over all."""
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.update(configured)
    response.headers.setdefault("Cache-Control", "no-store")


def is_allowed_host(host: str, configured: Collection[str]) -> bool:
    """Return whether the Host header's `host` is an address, a private name or one of the `configured` names."""
    name = _without_port(host).rstrip(".").casefold()
    is_private = "." not in name or name.endswith(_PRIVATE_DOMAINS)
    return (is_private and bool(name)) or _is_address(name) or name in {each.casefold() for each in configured}


def network_of(address: str) -> str:
    """Return what limits count as one client: an IPv4 address, or the /64 of an IPv6 one."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if ip.version == 4 or ip.ipv4_mapped:
        return str(getattr(ip, "ipv4_mapped", None) or ip)
    return str(ipaddress.ip_network((ip, 64), strict=False))


def is_loopback(address: str) -> bool:
    """Return whether an address is one of this machine's own, also when IPv6 wraps an IPv4 one."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(ip, "ipv4_mapped", None)
    return (mapped or ip).is_loopback


def _same_origin(request: web.Request) -> bool:
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    origin = request.headers.get("Origin")
    return origin is None or origin.partition("://")[2].casefold() == request.host.casefold()


def _without_port(host: str) -> str:
    """Return the host of `host:port`; an IPv6 address without its brackets (RFC 3986 3.2.2)."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
