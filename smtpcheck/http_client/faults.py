"""What an exception of a library or of the system amounts to: a fault.

Rules of this file:
- The whole chain of an exception is read, by the types of the standard library and by the names of the libraries'
  types: neither library is imported for the sake of the other's errors.
- What the system says is kept rather than what a library makes of it, which would repeat addresses.
"""

import errno
import os
import socket
import ssl
import time
from collections.abc import Iterable

from smtpcheck.http_client.body import BodyError
from smtpcheck.http_client.exchange import MAX_DETAIL, Fault, FaultKind, Limits
from smtpcheck.http_client.trust import CaUnusableError
from smtpcheck.http_client.urls import endpoint_of, user_secrets
from smtpcheck.model.printable import printable
from smtpcheck.secrets.redaction import redact

_LONGEST_CHAIN = 16
_NOT_A_URL = frozenset({"InvalidSchema", "MissingSchema", "InvalidURL", "LocationParseError"})
_OWN_LACKS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EAGAIN})
_OWN_RESOLVER_LACKS = frozenset({socket.EAI_MEMORY, getattr(socket, "EAI_SYSTEM", socket.EAI_MEMORY)})

# In this order: in urllib3 a name that is not found, and a refused connection, descend from a timeout, and in aiohttp
# nearly everything from a failed connection.
_KINDS: tuple[tuple[FaultKind, tuple[type[BaseException], ...], frozenset[str]], ...] = (
    (
        FaultKind.PROXY,
        (),
        frozenset({"ProxyError", "InvalidProxyURL", "ClientProxyConnectionError", "ClientHttpProxyError"}),
    ),
    (
        FaultKind.TLS,
        (ssl.SSLError, ssl.CertificateError, CaUnusableError),
        frozenset({"SSLError", "ClientSSLError", "ClientConnectorCertificateError"}),
    ),
    (
        FaultKind.NAME_NOT_FOUND,
        (socket.gaierror, UnicodeError),
        frozenset({"NameResolutionError", "ClientConnectorDNSError"}),
    ),
    (FaultKind.REFUSED, (ConnectionRefusedError,), frozenset()),
    (FaultKind.CONNECT, (), frozenset({"ConnectTimeout", "ConnectTimeoutError", "ConnectionTimeoutError"})),
    (FaultKind.TIMEOUT, (TimeoutError,), frozenset({"ReadTimeout", "ReadTimeoutError", "ServerTimeoutError"})),
    (FaultKind.REQUEST, (), _NOT_A_URL),
    (FaultKind.CLOSED, (), frozenset({"RemoteDisconnected", "IncompleteRead", "ContentLengthError"})),
    (FaultKind.PROTOCOL, (BodyError,), frozenset({"HTTPException", "HttpProcessingError", "ClientResponseError"})),
    (FaultKind.CLOSED, (), frozenset({"ProtocolError", "ServerDisconnectedError", "ClientPayloadError"})),
    (FaultKind.CONNECT, (), frozenset({"NewConnectionError", "ClientConnectorError"})),
    (FaultKind.CLOSED, (ConnectionError,), frozenset()),
    (FaultKind.REQUEST, (ValueError,), frozenset()),  # a header
)


def fault_of(error: Exception, url: str, unseen: Iterable[str], limits: Limits, *, seconds: float) -> Fault:
    """Return the fault that an exception amounts to, without the values in `unseen`."""
    unseen = {*unseen, *user_secrets(url)}
    kind = kind_of(error)
    detail = f"no complete response within {limits.seconds:g} s" if kind is FaultKind.TIMEOUT else detail_of(error)
    return Fault(
        kind=kind,
        detail=printable(redact(detail, unseen, MAX_DETAIL))[:MAX_DETAIL],
        endpoint=redact(endpoint_of(url), unseen),
        at=time.time(),
        seconds=seconds,
    )


def kind_of(error: BaseException) -> FaultKind:
    """Return where the exchange ended that raised the exception."""
    chain = _chain(error)
    if any(_is_own(link) for link in chain):
        return FaultKind.OUT_OF_RESOURCES
    for kind, types, names in _KINDS:
        if any(isinstance(link, types) or not names.isdisjoint(_names(link)) for link in chain):
            return kind
    return FaultKind.CONNECT


def detail_of(error: BaseException) -> str:
    """Return what the system, or else the library, said at the root of the failure."""
    links = _chain(error)
    if kind_of(error) is FaultKind.REQUEST:  # the libraries would repeat the URL or the header
        is_url = any(not _NOT_A_URL.isdisjoint(_names(link)) for link in links)
        return "not a URL that can be requested" if is_url else "a header cannot be sent as it is"
    for link in links:
        if message := getattr(link, "verify_message", ""):
            return f"certificate verify failed: {message}"
    for link in links:
        if status := getattr(link, "status", None):  # of a proxy
            return f"{status} {getattr(link, 'message', '')}".strip()
    system = [link for link in links if isinstance(link, OSError) and link.strerror]
    named = [link for link in links if str(link)]
    root = (system or named or links)[-1]
    if isinstance(root, OSError) and root.strerror:
        is_of_asyncio = root.strerror.startswith("Connect call failed")
        return os.strerror(root.errno or 0) if is_of_asyncio else root.strerror
    return str(root) or type(root).__name__


def _is_own(link: BaseException) -> bool:
    if isinstance(link, MemoryError) or (isinstance(link, RuntimeError) and "new thread" in str(link)):
        return True
    if isinstance(link, socket.gaierror):  # a resolver without a descriptor says what one without a name server says
        return link.errno in _OWN_RESOLVER_LACKS or not _has_descriptor_left()
    return isinstance(link, OSError) and link.errno in _OWN_LACKS


def _has_descriptor_left() -> bool:
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return error.errno not in _OWN_LACKS
    return True


def _names(link: BaseException) -> set[str]:
    return {kind.__name__ for kind in type(link).__mro__}


def _chain(error: BaseException) -> list[BaseException]:
    """Return the exception and all that it was made of, outermost first."""
    found: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting and len(found) < _LONGEST_CHAIN:
        link = waiting.pop(0)
        if isinstance(link, BaseException) and not any(link is known for known in found):
            found.append(link)
            inner = (getattr(link, name, None) for name in ("reason", "certificate_error", "os_error"))
            waiting += [*link.args, *inner, link.__cause__, link.__context__]
    return found
