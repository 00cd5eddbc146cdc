"""Whoever is told: an HTTP server that answers as a test wants it, and keeps what it was sent."""

import asyncio
import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.worlds.waiting import HANG_SECONDS

HANG = "hang"
CUT = "cut"


@dataclass(frozen=True)
class Got:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Receiver:
    """Answers 200, or first what is in `answers`: a status, a status with headers, `HANG` or `CUT`."""

    def __init__(self, *answers: int | str | tuple[int, dict[str, str]]) -> None:
        self.answers = deque(answers)
        self.got: list[Got] = []
        self.taken: list[Got] = []
        """Those that were answered 200."""
        self.refuse: Callable[[Got], bool] = lambda _: False
        """Which requests are answered 400."""
        self._changed = asyncio.Event()
        self._end = asyncio.Event()
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._server = TestServer(app)

    async def __aenter__(self) -> Self:
        await self._server.start_server()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._end.set()
        await self._server.close()

    def url(self, path: str = "/") -> str:
        return str(self._server.make_url(path))

    async def until(self, true: Callable[[list[Got]], object]) -> list[Got]:
        """Return what came, once it is enough."""
        async with asyncio.timeout(HANG_SECONDS):
            while not true(self.got):
                self._changed.clear()
                await self._changed.wait()
        return self.got

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        got = Got(request.method, request.path_qs, dict(request.headers), await request.read())
        self.got.append(got)
        self._changed.set()
        answer = 400 if self.refuse(got) else self.answers.popleft() if self.answers else 200
        if answer == HANG:
            await self._end.wait()
        if answer == CUT and request.transport is not None:
            request.transport.abort()
        if answer == 200:
            self.taken.append(got)
        status, headers = answer if isinstance(answer, tuple) else (answer if isinstance(answer, int) else 200, {})
        return web.Response(status=status, headers=headers)
