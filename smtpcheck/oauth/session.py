"""The one way in which this room speaks HTTP: a `requests.Session` that every library of a flow is handed.

Rules of this file:
- Every request has a timeout, and an answer, its headers included, an end in time and size: what drips is cut off.
- The environment decides nothing but the proxy, and that only where none is configured (HTTPS_PROXY, NO_PROXY). The
  other habits of requests are off: `~/.netrc` would add credentials, REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE would
  replace the configured CA.
- Certificates are verified against the configured CA file alone, else the system's store, else what requests brings.
- Redirects are not followed: one would carry the secret to another host. Only https:// is spoken, but to the endpoint
  of a managed identity, which is of this machine, without TLS, and never asked by a proxy.
- The last answer is kept for the flow to judge, for a library's exception loses most of it.
"""

import base64
import io
import ssl
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote_plus, urlsplit

import requests
import urllib3.exceptions
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH, get_environ_proxies

from smtpcheck.model.report import TokenError, TokenErrorKind
from smtpcheck.oauth.answer import Answer
from smtpcheck.secrets.redaction import redact

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 20.0
"""How long to wait for the next byte of an answer, and how long for its whole body.

Connecting, sending and waiting for the headers have both together."""
MAX_ANSWER = 1024 * 1024

_KEPT_HEADERS = ("Date", "Retry-After", "Content-Type")
_SECRET_HEADERS = ("Authorization", "X-IDENTITY-HEADER", "secret")
_PUBLIC_FIELDS = frozenset(
    {"client_id", "grant_type", "scope", "client_info", "client_assertion_type", "resource", "audience", "claims"}
)


class CaUnusableError(Exception):
    """The CA file cannot be used. Says which file and why."""


class IssuerSession(requests.Session):
    """A session for one issuer; not for two threads at once."""

    def __init__(
        self,
        *,
        ca_file: Path | None = None,
        proxy: str | None = None,
        local: bool = False,
        private_headers: tuple[str, ...] = (),
    ) -> None:
        """Trust `ca_file` alone if there is one; ask by `proxy` if there is one. Raises CaUnusableError.

        A `local` one speaks plain HTTP as well, and knows no proxy. What stands in `private_headers` is kept out of all
        that is told of an answer.
        """
        super().__init__()
        self.trust_env = False
        self.last: Answer | None = None
        """The last answer since `forget`."""
        self._proxy = proxy
        self._local = local
        self._private_headers = (*_SECRET_HEADERS, *private_headers)
        self._wires: list[_Wire] = []
        self._sent: frozenset[str] = frozenset()
        self._url = ""
        self.adapters.clear()
        self.mount("https://", _Adapter(_trust(ca_file), self._wires.append))
        if local:
            self.mount("http://", _Adapter(None, self._wires.append))

    def forget(self) -> None:
        """Forget the last answer, and what was sent, and let go of the connections."""
        self.last = None
        self._sent = frozenset()
        self._url = ""
        self.close_connections()

    def close_connections(self) -> None:
        """Close what is open; the session goes on being of use."""
        for adapter in self.adapters.values():
            adapter.close()

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Send the request and read its whole answer, as every method of the session does."""
        self.last = None
        self._url = request.url or ""
        self._sent = self._sent | _secrets(request, self._private_headers)
        proxies = {"https": self._proxy} if self._proxy else {} if self._local else get_environ_proxies(self._url)
        kwargs |= {
            "timeout": (CONNECT_SECONDS, ANSWER_SECONDS),
            "allow_redirects": False,
            "stream": True,
            "proxies": proxies,
            "verify": True,
            "cert": None,
        }
        response = self._answer(request, kwargs)
        response.raw = io.BytesIO(_read(response))
        self.last = Answer(
            method=request.method or "",
            url=self._url,
            status=response.status_code,
            headers={name.lower(): response.headers[name] for name in _KEPT_HEADERS if name in response.headers},
            text=response.content.decode("utf-8", "replace"),
            sent=self._sent,
            at=time.time(),
        )
        return response

    def _answer(self, request: requests.PreparedRequest, kwargs: dict[str, Any]) -> requests.Response:
        """Return the answer with its body unread; what takes too long is cut off, however lively its bytes come."""
        seconds = CONNECT_SECONDS + ANSWER_SECONDS
        late = threading.Event()

        def cut() -> None:
            late.set()
            for wire in tuple(self._wires):
                wire.cut()

        watch = threading.Timer(seconds, cut)
        watch.daemon = True
        watch.start()
        try:
            return super().send(request, **kwargs)
        except requests.RequestException:
            if not late.is_set():
                raise
        finally:
            watch.cancel()
            for wire in self._wires:
                wire.close()
            self._wires.clear()
        raise requests.exceptions.ReadTimeout(f"the answer did not begin within {seconds:g} s")

    def trouble(self, error: requests.RequestException, *, requested_scope: str) -> TokenError:
        """Return the error for a request that got no answer."""
        parts = urlsplit(self._url)
        proxy_password = urlsplit(self._proxy or "").password
        unseen = self._sent | ({proxy_password} if proxy_password else set())
        return TokenError(
            kind=kind_of(error),
            at=time.time(),
            endpoint=redact(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}", unseen),
            description=redact(_innermost_text(error), unseen)[:500],
            requested_scope=requested_scope,
        )


class _Wire:
    """A second handle of a connection, by which another thread can end it."""

    def __init__(self, connection: Any) -> None:
        self._handle = connection.dup()

    def cut(self) -> None:
        with suppress(OSError):
            self._handle.shutdown(2)

    def close(self) -> None:
        self._handle.close()


class _Adapter(HTTPAdapter):
    """Speaks TLS by the given context alone, and tells of each connection that it opens."""

    def __init__(self, context: ssl.SSLContext | None, opened: Callable[[_Wire], None]) -> None:
        self._context = context
        self._opened = opened
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self._context, **kwargs)
        self._watch(self.poolmanager)

    def proxy_manager_for(self, proxy: Any, **kwargs: Any) -> Any:
        context = self._context
        manager = super().proxy_manager_for(proxy, ssl_context=context, proxy_ssl_context=context, **kwargs)
        self._watch(manager)
        return manager

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Leave the context as it is; requests would add its own certificates to it."""

    def _watch(self, manager: Any) -> None:
        manager.pool_classes_by_scheme = {
            scheme: _watched(pool, self._opened) for scheme, pool in manager.pool_classes_by_scheme.items()
        }


def _watched(pool: Any, opened: Callable[[_Wire], None]) -> Any:
    """Return the class of pools with connections that tell of themselves as soon as they stand."""
    if getattr(pool.ConnectionCls, "is_watched", False):
        return pool

    class Connection(pool.ConnectionCls):  # type: ignore[misc]
        is_watched = True

        def _new_conn(self) -> Any:
            made = super()._new_conn()
            opened(_Wire(made))
            return made

    return type(pool.__name__, (pool,), {"ConnectionCls": Connection})


def kind_of(error: BaseException) -> TokenErrorKind:
    """Return what kind of failure an exception of requests is."""
    chain = tuple(_chain(error))
    for kind, types in _KINDS:
        if any(isinstance(link, types) for link in chain):
            return kind
    return TokenErrorKind.CONNECT


# In this order: urllib3 has a name that is not found, and a refused connection, descend from a timeout.
_KINDS: tuple[tuple[TokenErrorKind, tuple[type[BaseException], ...]], ...] = (
    (
        TokenErrorKind.PROXY,
        (requests.exceptions.ProxyError, requests.exceptions.InvalidProxyURL, urllib3.exceptions.ProxyError),
    ),
    (TokenErrorKind.TLS, (requests.exceptions.SSLError, urllib3.exceptions.SSLError, ssl.SSLError)),
    (TokenErrorKind.NAME_NOT_FOUND, (urllib3.exceptions.NameResolutionError,)),
    (TokenErrorKind.CONNECT, (requests.exceptions.ConnectTimeout, urllib3.exceptions.ConnectTimeoutError)),
    (
        TokenErrorKind.TIMEOUT,
        (requests.exceptions.Timeout, urllib3.exceptions.TimeoutError, TimeoutError),
    ),
    (
        TokenErrorKind.DISCOVERY,
        (requests.exceptions.InvalidSchema, requests.exceptions.MissingSchema, requests.exceptions.InvalidURL),
    ),
)


@lru_cache(maxsize=64)
def _context(ca_file: Path | None, stamp: object) -> ssl.SSLContext:  # noqa: ARG001 - a part of the cache's key
    context = ssl.create_default_context(cafile=ca_file)
    store = ssl.get_default_verify_paths()
    if ca_file is None and sys.platform != "win32" and not (store.cafile or store.capath):
        context.load_verify_locations(cafile=DEFAULT_CA_BUNDLE_PATH)
    return context


def _trust(ca_file: Path | None) -> ssl.SSLContext:
    """Return a context, built once for each state of a CA file: building one costs some 20 ms."""
    try:
        found = ca_file.stat() if ca_file else None
        return _context(ca_file, (found.st_mtime_ns, found.st_size, found.st_ino) if found else None)
    except ssl.SSLError:
        raise CaUnusableError(f"CA file {ca_file} holds no certificate in PEM form") from None
    except OSError as error:
        raise CaUnusableError(f"CA file {ca_file} cannot be read ({(error.strerror or '').lower()})") from None


def _secrets(request: requests.PreparedRequest, headers: tuple[str, ...]) -> frozenset[str]:
    """Return the values of the request that nobody may see."""
    body = request.body.decode("utf-8", "replace") if isinstance(request.body, bytes) else request.body
    fields = parse_qsl(body if isinstance(body, str) else "", keep_blank_values=True)
    values = {value for name, value in fields if name not in _PUBLIC_FIELDS}
    header = request.headers.get("Authorization", "")
    scheme, _, proof = header.partition(" ")
    values |= {proof, *(request.headers.get(name, "") for name in headers)}
    if scheme == "Basic":
        values.add(unquote_plus(base64.b64decode(proof).decode("utf-8", "replace").partition(":")[2]))
    return frozenset(value for value in values if value)


def _read(response: requests.Response) -> bytes:
    """Return the body, at most `MAX_ANSWER` of it, within `ANSWER_SECONDS`."""
    body = bytearray()
    end = time.monotonic() + ANSWER_SECONDS
    try:
        while len(body) <= MAX_ANSWER and (chunk := response.raw.read1(65536, decode_content=True)):
            body += chunk
            if time.monotonic() > end:
                raise requests.exceptions.ReadTimeout(f"the answer did not end within {ANSWER_SECONDS:g} s")
    except urllib3.exceptions.ReadTimeoutError as error:
        raise requests.exceptions.ReadTimeout(error) from error
    except urllib3.exceptions.HTTPError as error:
        raise requests.exceptions.ConnectionError(error) from error
    finally:
        response.raw.close()
    return bytes(body[:MAX_ANSWER])


def _chain(error: BaseException) -> list[BaseException]:
    """Return the exception and all that it was made of, outermost first."""
    found: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting and len(found) < 16:
        link = waiting.pop(0)
        if isinstance(link, BaseException) and link not in found:
            found.append(link)
            waiting += [*link.args, getattr(link, "reason", None), link.__cause__, link.__context__]
    return found


def _innermost_text(error: BaseException) -> str:
    """Return what the system or library said at the root of the failure."""
    links = [link for link in _chain(error) if isinstance(link, OSError | urllib3.exceptions.HTTPError | ssl.SSLError)]
    system = [link for link in links if isinstance(link, OSError) and link.strerror]
    root = (system or links or [error])[-1]
    return str(root.strerror) if isinstance(root, OSError) and root.strerror else str(root)
