"""What 1,000 credentials cost an agent: client secrets, certificates and refresh tokens, all of them renewed.

Each is of an application of its own, asked by the real broker and MSAL at the sandbox's issuer. A renewal is made when
the broker's clock has gone on; MSAL's, by which it keeps a signed assertion for nine minutes, has not, so here it signs
at each renewal, as it does where renewals are half an hour apart.
"""

import asyncio
import gc
import os
import time
import timeit
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from msal.oauth2cli.assertion import AutoRefresher

from smtpcheck.agent import collector
from smtpcheck.config import load
from smtpcheck.oauth.broker import SPACING_SECONDS, TokenBroker
from smtpcheck.oauth.credential import Credential
from smtpcheck.oauth.token_cache import AcquiredToken
from smtpcheck.oauth.token_store import TokenStore
from smtpcheck.sandbox.certificates import Authority
from smtpcheck.sandbox.scenario import CredentialKind, Registration, Scenario
from smtpcheck.sandbox.world import World as Sandbox
from smtpcheck.secrets.secret import Secret
from smtpcheck.secrets.source import SecretSource
from tests.bench.event_loop import delays, holds
from tests.bench.http_requests import GOAL_MS
from tests.bench.sandbox import sandbox
from tests.bench.table import Row
from tests.bench.world import World, memory_of, own_process
from tests.worlds.waiting import until

KINDS = {
    CredentialKind.SECRET: "client secret",
    CredentialKind.CERTIFICATE: "certificate",
    CredentialKind.USER: "refresh token",
}
CREDENTIALS = 1000
_CERTIFICATES = 10
"""One of so many is a certificate; of the rest, half are client secrets and half refresh tokens."""
HALF_LIFE = 2000.0
"""Seconds after which every token is due for renewal, and none has expired."""
_AT_ONCE = 32
_SEALED = 50
"""Refresh tokens that are renewed in an encrypted store."""
_SWEEPS = 20
Requests = Callable[[], tuple[int, int]]
"""How often the issuer was asked so far, for its metadata and for tokens."""


def credentials(world: World) -> Iterator[Row]:
    """Yield the rows, measured in a process of its own."""
    with own_process() as process:
        yield from process.submit(measured, world.folder / "credentials", CREDENTIALS).result()


def measured(folder: Path, count: int) -> list[Row]:
    """Return the rows for so many credentials, against a sandbox in a new folder."""
    with (
        sandbox(folder, _Scenarios(count), requests_of) as requests,
        patch.object(AutoRefresher, "__call__", lambda refresher: refresher._factory()),
    ):
        settings = load([folder / "checks.yaml"]).settings
        assert settings is not None
        collector.keep_pauses_short()
        collector.settle()
        return asyncio.run(_Renewals(settings.credentials, folder, requests).rows())


@dataclass(frozen=True)
class _Scenarios:
    """Makes the scenarios, in the sandbox's process."""

    count: int

    def __call__(self) -> Iterator[Scenario]:
        credential = Authority().client_credential("bench")  # one key for all: to make a thousand takes minutes
        Authority.client_credential = lambda *_: credential  # type: ignore[method-assign]
        for number in range(self.count):
            others = (CredentialKind.SECRET, CredentialKind.USER)
            kind = others[number % 2] if number % _CERTIFICATES else CredentialKind.CERTIFICATE
            name = f"{kind}-{number:04}"
            yield Scenario(name, "A mailbox.", registration=Registration(name, kind))


def requests_of(world: Sandbox) -> tuple[int, int]:
    """Return how often the issuer was asked for its metadata, and for tokens."""
    return world.issuer.discovery_requests.total(), world.issuer.token_requests.total()


class _Clock:
    """A monotonic clock that can be put forward."""

    ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


class _Renewals:
    """The credentials of one configuration, and what their tokens cost."""

    def __init__(self, configured: Mapping[str, Credential], folder: Path, requests: Requests) -> None:
        self._credentials, self._folder, self._requests = configured, folder, requests
        self._clock = _Clock()
        self._broker = TokenBroker(configured, store=TokenStore(folder / "tokens"), monotonic=self._clock)

    async def rows(self) -> list[Row]:
        """Get a token for each credential, and renew it: kind by kind, then all at once as an agent does."""
        try:
            return [*await self._first(), *await self._by_kind(), *await self._all_at_once(), await self._sweep()]
        finally:
            await self._broker.close()

    async def _first(self) -> list[Row]:
        for kind in KINDS:  # what is loaded for the first of a kind is not one credential's
            await _acquire(self._broker, self._of(kind)[:1])
        gc.collect()
        before, asked = memory_of(os.getpid(), "VmRSS"), sum(self._requests())
        async with delays() as late:
            for kind in KINDS:
                await _acquire(self._broker, self._of(kind)[1:])
        gc.collect()
        count, grown = len(self._credentials) - len(KINDS), memory_of(os.getpid(), "VmRSS") - before
        return [
            Row("credentials", len(self._credentials), ""),
            Row("memory of one with its token", 1024 * grown / count, "KB"),
            Row("first token: requests", (sum(self._requests()) - asked) / count, ""),
            Row("first tokens of all: longest delay of the loop", 1e3 * max(late), "ms"),
        ]

    async def _by_kind(self) -> list[Row]:
        rows, most = [], 0.0
        for kind, title in KINDS.items():
            self._clock.ahead += SPACING_SECONDS
            names, asked = self._of(kind), sum(self._requests())
            rows.append(Row(f"renewal by {title}: CPU", 1e3 * await _renewed(self._broker, names), "ms"))
            most = max(most, (sum(self._requests()) - asked) / len(names))
        rows.insert(2, Row("of that the RSA signature", 1e3 * _signature(), "ms"))
        return [*rows, await self._sealed(), Row("renewal: requests, of any kind at most", most, "", 1)]

    async def _sealed(self) -> Row:
        """Renew some by refresh tokens that are kept encrypted."""
        names = self._of(CredentialKind.USER)[:_SEALED]
        key = SecretSource(value=Secret("a key of the bench's own"))
        chosen = {name: self._credentials[name] for name in names}
        broker = TokenBroker(chosen, store=TokenStore(self._folder / "sealed", key=key), monotonic=self._clock)
        await _acquire(broker, names)
        self._clock.ahead += SPACING_SECONDS
        seconds = await _renewed(broker, names)
        await broker.close()
        return Row("renewal by encrypted refresh token: CPU", 1e3 * seconds, "ms")

    async def _all_at_once(self) -> list[Row]:
        """Renew all as an agent does that finds all of them due."""
        for name in self._credentials:
            self._broker.peek(name, None)
        count, asked = len(self._credentials), sum(self._requests())
        self._clock.ahead += HALF_LIFE
        begin, wanted = time.perf_counter(), self._successes() + count
        with holds() as held:
            async with delays() as late:
                await self._broker.refresh_due()
                await until(lambda: self._successes() == wanted)
        seconds = time.perf_counter() - begin
        return [
            Row("all renewed at once: requests of one", (sum(self._requests()) - asked) / count, "", 1),
            Row("all renewed at once: how long it took", seconds, "s"),
            Row("all renewed at once: longest hold of the loop, CPU", 1e3 * max(held), "ms", GOAL_MS),
            Row("all renewed at once: longest delay of the loop", 1e3 * max(late), "ms"),
        ]

    async def _sweep(self) -> Row:
        """Look what is due where nothing is, as an agent does every five seconds."""
        begin = time.process_time()
        for _ in range(_SWEEPS):
            await self._broker.refresh_due()
        return Row("looking what is due: CPU", 1e3 * (time.process_time() - begin) / _SWEEPS, "ms")

    def _of(self, kind: CredentialKind) -> tuple[str, ...]:
        return tuple(name for name in self._credentials if name.startswith(kind.value))

    def _successes(self) -> int:
        return sum(source.requests["success"] for source in self._broker._sources.values())


async def _acquire(broker: TokenBroker, names: Sequence[str], *, fresh: bool = False) -> None:
    for some in (names[begin : begin + _AT_ONCE] for begin in range(0, len(names), _AT_ONCE)):
        answers = await asyncio.gather(*(broker.token(name, None, timeout=60, fresh=fresh) for name in some))
        failed = [each for each in answers if not isinstance(each, AcquiredToken) or each.renewal_error]
        assert not failed, failed[0]


async def _renewed(broker: TokenBroker, names: Sequence[str]) -> float:
    """Return the seconds of CPU of one renewal."""
    begin = time.process_time()
    await _acquire(broker, names, fresh=True)
    return (time.process_time() - begin) / len(names)


def _signature() -> float:
    """Return the seconds that the signature of an assertion takes (PS256 with 2048 bits)."""
    key = rsa.generate_private_key(65537, 2048)
    scheme = padding.PSS(padding.MGF1(SHA256()), padding.PSS.DIGEST_LENGTH)
    return min(timeit.repeat(lambda: key.sign(b"x" * 600, scheme, SHA256()), number=50)) / 50
