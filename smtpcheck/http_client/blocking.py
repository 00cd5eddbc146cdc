"""The exchange in a thread: a `requests.Session` for libraries that are synchronous, and for code beside them.

Rules of this file:
- Whatever a library asks for, the limits hold, no redirect is followed and none of its body is read. Cookies and
  `~/.netrc` are not used, and the environment decides nothing but the proxy.
- A failure is raised to a library as one exception that holds nothing of the request, and is a value to all others.
- One exchange at a time: a session is not for two threads.
"""

import io
import time
from collections.abc import Iterable, Mapping
from functools import partial
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any

import requests
import urllib3.exceptions
from requests.adapters import HTTPAdapter

from smtpcheck.http_client.body import ACCEPT_ENCODING, CHUNK, BodyError, BodyReader
from smtpcheck.http_client.exchange import Exchange, Fault, Limits, Response, chosen
from smtpcheck.http_client.faults import fault_of
from smtpcheck.http_client.proxy import proxy_for
from smtpcheck.http_client.sent import secrets_of
from smtpcheck.http_client.trust import CaUnusableError, client_context, own_context
from smtpcheck.http_client.urls import origin_of, user_secrets
from smtpcheck.http_client.wire import Budget, bounded_pool_class
from smtpcheck.log import silence_libraries

_FORM = "application/x-www-form-urlencoded"
silence_libraries()

_WORLD = (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError, BodyError, CaUnusableError)
"""What the libraries raise for failures of the outside world; a URL that cannot be read is a ValueError."""


class ExchangeError(requests.exceptions.ConnectionError):
    """There was no response. To a library it is what requests raises; it holds nothing of the request."""

    def __init__(self, fault: Fault) -> None:
        """Say why."""
        super().__init__(fault.detail)
        self.fault = fault


class BlockingSession(requests.Session):
    """A session of which every exchange is bounded and recorded."""

    def __init__(
        self,
        *,
        ca_file: Path | None = None,
        proxy: str | None = None,
        limits: Limits | None = None,
        local: bool = False,
        public_fields: frozenset[str] = frozenset(),
        library_chooses_tls: bool = False,
    ) -> None:
        """Trust `ca_file` alone if there is one; ask by `proxy` if there is one. Raises CaUnusableError.

        Only https is spoken, but a `local` session speaks http as well and knows no proxy. Of a form all values are
        secret but those of `public_fields`. Where the library chooses, http is spoken too, and its `verify` and `cert`
        count in place of `ca_file`.
        """
        super().__init__()
        self.trust_env = False
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self.last: Exchange | None = None
        """What the last exchange came to, since `forget`."""
        self._proxy, self._local = proxy, local
        self._budget = Budget(limits or Limits())
        self._public_fields = public_fields
        self._library_chooses_tls = library_chooses_tls
        self._chosen_tls: tuple[object, object] = (True, None)
        self._sent: frozenset[str] = frozenset()
        self._extra: frozenset[str] = frozenset()
        self._keep: tuple[str, ...] = ()
        self._begin = 0.0
        self.adapters.clear()
        self.mount("https://", _Adapter(client_context(ca_file), self._budget))
        if local or library_chooses_tls:
            self.mount("http://", _Adapter(None, self._budget))

    def exchange(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | Mapping[str, str] | None = None,
        keep: Iterable[str] = (),
        secrets: Iterable[str] = (),
    ) -> Exchange:
        """Make one exchange; `body` is sent as it is, or as a form.

        Of the response the headers in `keep` (lower case) are kept beside the usual ones. What is in `secrets` is not
        shown, nor is any header that is not known to be public.
        """
        self._keep, self._extra = tuple(keep), frozenset(secrets)
        try:
            self.request(method, url, headers=headers, data=body)
        except ExchangeError as error:
            return error.fault
        finally:
            self._keep, self._extra = (), frozenset()
        assert self.last is not None  # noqa: S101 - the request has just returned
        return self.last

    @property
    def response(self) -> Response | None:
        """Return the last response since `forget`; None where the last exchange brought none."""
        return self.last if isinstance(self.last, Response) else None

    def forget(self) -> None:
        """Forget the last exchange, and what was sent, and close the connections; the session can still be used."""
        self.last = None
        self._sent = frozenset()
        self.close()

    def request(self, method: Any, url: Any, *args: Any, **kwargs: Any) -> requests.Response:
        """Send a request and read its response, as every method of the session does. Raises ExchangeError."""
        self._begin = time.monotonic()
        try:
            if origin_of(url) is None:
                raise requests.exceptions.InvalidURL
            return super().request(method, url, *args, **kwargs)
        except ExchangeError:
            raise
        except _WORLD as error:  # the URL or a header cannot be sent
            raise self._failed(url if isinstance(url, str) else "", error) from None

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Send a prepared request and read its response. Raises ExchangeError."""
        url, self.last = request.url or "", None
        proxy = None if self._local else proxy_for(url, self._proxy)
        self._sent |= self._extra | self._secrets_of(request) | user_secrets(proxy or "")
        request.headers["Accept-Encoding"] = ACCEPT_ENCODING
        limits = self._budget.limits
        try:
            self._choose_tls(kwargs)
            asked = self._seconds(kwargs.get("timeout"))
            self._budget.start(min(limits.seconds, asked))
            kwargs |= {
                "timeout": (limits.connect_seconds, None),  # the budget has the rest
                "allow_redirects": False,
                "stream": True,
                "proxies": {"http": proxy, "https": proxy} if proxy else {},
                "verify": True,
                "cert": None,
            }
            response = super().send(request, **kwargs)
            body = self._read(response)
        except _WORLD as error:
            raise self._failed(url, error) from None
        response.raw = io.BytesIO(body.finish())
        self.last = Response(
            method=request.method or "",
            url=url,
            status=response.status_code,
            headers=chosen(response.headers.items(), self._keep),
            body=response.content,
            sent=self._sent,
            at=time.time(),
            seconds=time.monotonic() - self._begin,
            is_whole=not body.is_full,
        )
        return response

    def get_redirect_target(self, resp: requests.Response) -> str | None:  # noqa: ARG002
        """Return None: requests would read the body of a redirect to find the next request, though none is made."""
        return None

    def _read(self, response: requests.Response) -> BodyReader:
        raw, limit = response.raw, self._budget.limits.octets
        try:
            if limit == 0 or 300 <= response.status_code < 400:
                return BodyReader("", limit)
            body = BodyReader(response.headers.get("Content-Encoding", ""), limit)
            while not body.is_full and (chunk := raw.read1(CHUNK, decode_content=False)):
                body.feed(chunk)
            body.finish()
            return body
        finally:
            raw.close()

    def _failed(self, url: str, error: Exception) -> ExchangeError:
        self.last = fault_of(
            error, url, self._sent | self._extra, self._budget.limits, seconds=time.monotonic() - self._begin
        )
        return ExchangeError(self.last)

    def _secrets_of(self, request: requests.PreparedRequest) -> frozenset[str]:
        headers = [(str(name), _text(value)) for name, value in request.headers.items()]
        is_form = _text(request.headers.get("Content-Type", "")).startswith(_FORM)
        return secrets_of(request.url or "", headers, request.body, self._public_fields if is_form else None)

    def _seconds(self, timeout: Any) -> float:
        """Return how long the library itself would wait: for all, or to connect and for the next octet."""
        parts = timeout if isinstance(timeout, tuple) else (timeout,)
        if all(isinstance(part, int | float) and part > 0 for part in parts):
            return float(sum(parts))
        return self._budget.limits.seconds

    def _choose_tls(self, kwargs: Mapping[str, Any]) -> None:
        verify, certificate = kwargs.get("verify", True), kwargs.get("cert")
        if self._library_chooses_tls and (verify, certificate) != self._chosen_tls:
            self._chosen_tls = (verify, certificate)
            ca_file = Path(verify) if isinstance(verify, str) else None
            context = own_context(ca_file, verify=verify is not False, certificate=certificate)
            self.mount("https://", _Adapter(context, self._budget, verify=verify is not False))


class _Adapter(HTTPAdapter):
    """Speaks TLS by the given context alone, over connections that keep to the budget."""

    def __init__(self, context: Any, budget: Budget, *, verify: bool = True) -> None:
        self._context = context
        self._budget = budget
        self._verify = verify
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self._context, **kwargs)
        self._bound(self.poolmanager)

    def proxy_manager_for(self, proxy: Any, **kwargs: Any) -> Any:
        context = self._context
        if not str(proxy).lower().startswith("socks"):  # that one has no TLS of its own
            kwargs["proxy_ssl_context"] = context
        manager = super().proxy_manager_for(proxy, ssl_context=context, **kwargs)
        self._bound(manager)
        return manager

    def send(self, request: Any, *args: Any, **kwargs: Any) -> requests.Response:
        return super().send(request, *args, **(kwargs | {"verify": self._verify}))

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Leave the context as it is; requests would add its own certificates to it."""

    def _bound(self, manager: Any) -> None:
        manager.pool_classes_by_scheme = {
            scheme: made if isinstance(made, partial) else partial(bounded_pool_class(made), budget=self._budget)
            for scheme, made in manager.pool_classes_by_scheme.items()
        }


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value
