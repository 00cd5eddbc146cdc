"""Asks Microsoft Graph by HTTP, with every failure in Graph's own words.

Rules of this file:
- The token goes to the host of Graph alone: a further page is asked for only at the same address.
- The exchange is that of `http_client`; the caller bounds the whole search.
- Where Graph asks to wait a moment (429, 503, 504 with Retry-After), that is done once; a longer wait is reported.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from smtpcheck.http_client.client import Client
from smtpcheck.http_client.exchange import Fault, FaultKind, Limits, Response
from smtpcheck.http_client.urls import is_same_origin
from smtpcheck.loopback.finder import FinderError, FinderStep
from smtpcheck.model.printable import printable
from smtpcheck.secrets.secret import Secret

LIMITS = Limits(seconds=30.0, connect_seconds=10.0, octets=2 * 1024 * 1024)
CONTENT_LIMITS = Limits(seconds=30.0, connect_seconds=10.0, octets=128 * 1024)
"""Of a whole message, of which the beginning is enough."""
MOST_PAGES = 50
LONGEST_WAIT = 5.0
"""Seconds that are waited at Graph's word; a longer wait is reported instead."""

_LONGEST_DETAIL = 300
_BUSY = frozenset({429, 503, 504})
_STEPS = {
    FaultKind.TLS: FinderStep.TLS,
    FaultKind.PROXY: FinderStep.CONNECT,
    FaultKind.NAME_NOT_FOUND: FinderStep.CONNECT,
    FaultKind.REFUSED: FinderStep.CONNECT,
    FaultKind.CONNECT: FinderStep.CONNECT,
    FaultKind.OUT_OF_RESOURCES: FinderStep.AGENT,
}
"""Where a search ends that got no response; any other fault is of the step itself."""


class GraphError(Exception):
    """A request that did not succeed."""

    def __init__(self, error: FinderError, status: int | None = None) -> None:
        """Hold what is reported of it, and the status of the answer if there was one."""
        super().__init__(error.detail)
        self.error = error
        self.status = status


class GraphClient:
    """One connection to Graph, and one more for the content of messages, which is cut where there is enough of it."""

    def __init__(self, root: str, token: Secret, *, context: ssl.SSLContext, proxy: str | None) -> None:
        """Ask the URL `root`; by `proxy`, or by what the environment names."""
        self._root = root
        headers = {"Authorization": f"Bearer {token.reveal()}", "Prefer": 'IdType="ImmutableId"'}
        json = {**headers, "Accept": "application/json"}
        self._client = Client(context=context, proxy=proxy, limits=LIMITS, headers=json, connections=1)
        self._contents = Client(context=context, proxy=proxy, limits=CONTENT_LIMITS, headers=headers, connections=1)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.close()
        await self._contents.close()

    async def beginning(self, path: str) -> bytes:
        """Return what is at a path, no more of it than `CONTENT_LIMITS` allow. Raises GraphError."""
        exchange = await self._contents.request("GET", f"{self._root}{path}", keep=("request-id",))
        if isinstance(exchange, Fault):
            raise _no_answer(exchange, FinderStep.SEARCH)
        if exchange.status // 100 != 2:
            raise GraphError(_refusal(exchange, FinderStep.SEARCH), exchange.status)
        return exchange.body

    async def get(self, path: str) -> Mapping[str, Any]:
        """Return the object at a path below the root, query included. Raises GraphError."""
        return await self._ask("GET", f"{self._root}{path}", FinderStep.SEARCH)

    async def pages(self, path: str) -> AsyncIterator[Mapping[str, Any]]:
        """Yield each object of a collection, page after page. Raises GraphError."""
        url: str | None = f"{self._root}{path}"
        for _ in range(MOST_PAGES):
            if url is None:
                return
            page = await self._ask("GET", url, FinderStep.SEARCH)
            values, url = page.get("value"), page.get("@odata.nextLink")
            for value in values if isinstance(values, list) else ():
                if isinstance(value, Mapping):
                    yield value
            if url is not None and not is_same_origin(url, self._root):
                raise GraphError(FinderError(FinderStep.SEARCH, "the next page is at another address"))

    async def delete(self, path: str, *, method: str = "DELETE") -> None:
        """Delete the object at a path. Raises GraphError."""
        await self._ask(method, f"{self._root}{path}", FinderStep.DELETE)

    async def _ask(self, method: str, url: str, step: FinderStep) -> Mapping[str, Any]:
        try:
            return await self._once(method, url, step)
        except GraphError as refused:
            wait = refused.error.retry_after
            if refused.status not in _BUSY or wait is None or wait > LONGEST_WAIT:
                raise
            await asyncio.sleep(wait)
        return await self._once(method, url, step)

    async def _once(self, method: str, url: str, step: FinderStep) -> Mapping[str, Any]:
        exchange = await self._client.request(method, url, keep=("request-id",))
        if isinstance(exchange, Fault):
            raise _no_answer(exchange, step)
        if exchange.status // 100 != 2:
            raise GraphError(_refusal(exchange, step), exchange.status)
        if not exchange.is_whole:
            raise GraphError(FinderError(step, f"the answer has more than {LIMITS.octets} octets"))
        answer = exchange.json if exchange.body else {}
        if answer is None:
            raise GraphError(FinderError(step, "the answer is not a JSON object"))
        return answer


def _no_answer(fault: Fault, step: FinderStep) -> GraphError:
    detail = "Graph does not answer" if fault.kind is FaultKind.TIMEOUT else fault.detail[:_LONGEST_DETAIL]
    return GraphError(FinderError(_STEPS.get(fault.kind, step), detail))


def _refusal(response: Response, step: FinderStep) -> FinderError:
    error = (response.json or {}).get("error")
    inner = error if isinstance(error, Mapping) else {}
    code, message = str(inner.get("code") or ""), str(inner.get("message") or f"HTTP {response.status}")
    request_id = response.headers.get("request-id", "")
    detail = f"{message} (request-id {request_id})" if request_id else message
    if step is FinderStep.SEARCH and response.status in {401, 403}:
        step = FinderStep.LOGIN
    return FinderError(step, _text(response, detail, _LONGEST_DETAIL), _text(response, code, 80), response.retry_after)


def _text(response: Response, text: str, limit: int) -> str:
    return printable(response.shown(text, limit)).strip()


def timestamp(text: object) -> float | None:
    """Return a time as Graph writes it as Unix seconds; None for anything else."""
    try:
        moment = datetime.fromisoformat(str(text))
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
