"""Hands out tokens: one request for all who need the same token, and a new one before the old one expires.

Rules of this file:
- A token is identified by its credential, its scope and, where each mailbox has its own, the subject. A caller that
  asks while a request is under way waits for that one; no caller ends it, and a token that comes too late serves the
  next run.
- Refresh ahead is the fresh check: at half of a token's life, and at most `fresh_every` apart, the issuer is asked past
  every cache while the old token serves on. That is at most two requests per token life (for lives up to twice
  `fresh_every`), and a dead secret shows while checks still succeed.
- A failure is an answer too: it is remembered for a growing time and given to all who ask. It ends at once when a file
  of the credential changes or a user logs in. What the issuer asks to wait is kept to in any case.
- A token for another scope than the credential's own says nothing of the credential's state, where the own one is asked
  for too; a refusal of it holds back nobody who asks for the own one, unless it surely concerns the client.
- Where each mailbox has its own token, a refusal is the mailbox's own, unless it surely concerns the client, or no
  mailbox has a token and several have been refused: a dead key costs one request at a time, not one for each mailbox.
- A refresh token that no check needs is used now and then all the same, before it expires of disuse.
- Everything but the flows' requests runs on the event loop; there is no other lock than that of a credential.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from math import inf
from typing import Any

import structlog
from msgspec import structs

from smtpcheck.model.credential import CredentialState
from smtpcheck.model.report import TokenError, TokenErrorKind, TokenFacts
from smtpcheck.model.timestamp import is_plausible_expiry
from smtpcheck.oauth.answer import concerns_client
from smtpcheck.oauth.claims import token_facts
from smtpcheck.oauth.credential import Credential
from smtpcheck.oauth.flow import CredentialLifetime, IssuedToken
from smtpcheck.oauth.request_slots import HANGING, RequestSlots
from smtpcheck.oauth.token_cache import (
    AcquiredToken,
    CredentialTokens,
    PendingRequest,
    TokenOrError,
    TokenSlot,
    spread_fraction,
    states_on_disk,
)
from smtpcheck.oauth.token_store import TokenStore

MARGIN_SECONDS = 90.0
SHORT_MARGIN_SECONDS = 5.0
"""A token is not used when it expires sooner than the first; of a short lifetime, than a tenth or the second."""
SPACING_SECONDS = 10.0
"""The least time between two requests for one token, by any caller."""
FORGET_SECONDS = 86400.0
"""After how long without being asked for a token's place, and its last error with it, is forgotten."""
QUEUE_SECONDS = 60.0
"""How long to wait at most until a request begins, when all threads are busy."""

SEVERAL = 3
"""After how many refused mailboxes, and none that has a token, the client is held to be refused."""

_SPREAD = 0.1
_AT_ONCE = 100
"""Of how many credentials it is looked at once what is due."""
_NOT_ASKED = frozenset({TokenErrorKind.SECRET_UNREADABLE, TokenErrorKind.CERTIFICATE_UNUSABLE})

_log = structlog.get_logger(__name__)


class TokenBroker:
    """Hands out the tokens of all credentials. Belongs to one event loop."""

    def __init__(
        self,
        credentials: Mapping[str, Credential],
        *,
        store: TokenStore | None = None,
        fresh_every: float = 3600,
        threads: int = 64,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Serve the credentials by their names: at most `threads` requests at once, renewals `fresh_every` s apart.

        The refresh tokens of users are kept in `store`, which `close` closes too.
        """
        self._store = store
        self._fresh_every = fresh_every
        self._wall = wall
        self._monotonic = monotonic
        self._slots = RequestSlots(threads)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="token")
        self._sources: dict[str, CredentialTokens] = {}
        self.replace(credentials)

    # -- asking -------------------------------------------------------------------------------------------------------

    def peek(self, credential: str, subject: str | None, scope: str = "") -> AcquiredToken | None:
        """Return the token in memory, None where there is none that can be used. KeyError: no such credential.

        It is for the credential's own scope unless another `scope` is named.
        """
        source = self._sources[credential]
        slot = source.slots.get(source.key(subject, scope))
        return None if slot is None else self._held(slot)

    async def token(
        self,
        credential: str,
        subject: str | None,
        *,
        timeout: float,  # noqa: ASYNC109 - its end does not cancel the request
        fresh: bool = False,
        scope: str = "",
    ) -> TokenOrError:
        """Return a token, or why there is none, waiting at most `timeout` seconds for the issuer's answer.

        It is for the credential's own scope unless another `scope` is named.

        With `fresh` the issuer is asked even though a token or a failure is in memory, unless it was asked a moment
        ago or wants to be left alone. A token that still holds is returned, with its `renewal_error`, when a new one is
        refused. KeyError: no such credential.
        """
        source = self._sources[credential]
        slot = source.slot(subject, scope)
        start = self._monotonic()
        slot.used, slot.wanted_at = True, start
        if slot.pending is None or not fresh:
            known = None if fresh and self._may_request_now(source, slot, start) else self._known(source, slot, start)
            if known is not None:
                return known
        pending = slot.pending or self._start_request(source, slot)
        answer = await self._answer(source, slot, pending, timeout)
        if isinstance(answer, AcquiredToken):
            return replace(answer, waited=self._monotonic() - start, start=start)
        held = self._held(slot)
        return replace(held, renewal_error=answer, failing_since=slot.failing_since) if held else answer

    async def refresh_due(self) -> None:
        """Begin to renew what is due, and look for changed files; returns without waiting for any issuer."""
        for source in await self._changed():
            source.backoff.reset()
            for slot in source.slots.values():
                slot.backoff.reset()
                slot.refresh_at, slot.used = -inf, True
        now = self._monotonic()
        for place, source in enumerate(tuple(self._sources.values()), 1):
            if place % _AT_ONCE == 0:
                await asyncio.sleep(0)  # of thousands that are due, the others of the loop get their turn
            if self._sources.get(source.name) is not source:
                continue
            self._keep_alive(source, now)
            self._begin_side_request(source)
            for key, slot in tuple(source.slots.items()):
                if self._is_due(source, slot, now):
                    self._start_request(source, slot)
                elif self._is_forgotten(slot):
                    del source.slots[key]

    async def side_request(self, credential: str) -> None:
        """Let the credential do now what can wait, if there is something, and wait for it. KeyError: no such one."""
        side_request = self._begin_side_request(self._sources[credential])
        if side_request is not None:
            await asyncio.wait({side_request})

    # -- what is known of the credentials -----------------------------------------------------------------------------

    def issuer(self, credential: str) -> str:
        """Return the host that the credential asks, empty where it asks none. KeyError: no such credential."""
        return self._sources[credential].flow.issuer

    def lifetime(self, credential: str) -> CredentialLifetime | None:
        """Return what is known of a credential's own expiry, None where there is none of that name.

        For every run: what it costs does not grow with the number of tokens, as that of `state` does.
        """
        source = self._sources.get(credential)
        return source.flow.lifetime if source else None

    def state(self, credential: str) -> CredentialState | None:
        """Return what is known of a credential's life, None where there is none of that name."""
        source = self._sources.get(credential)
        return self._state(source) if source else None

    def states(self) -> tuple[CredentialState, ...]:
        """Return what is known of every credential's life."""
        return tuple(self._state(source) for source in self._sources.values())

    @property
    def error(self) -> str:
        """What keeps tokens from outliving a restart, empty where nothing does."""
        names = self._store.unwritten if self._store else ()
        return f"the refresh token of {', '.join(names)} cannot be written and is in memory alone" if names else ""

    # -- life cycle ----------------------------------------------------------------------------------------------------

    def replace(self, credentials: Mapping[str, Credential]) -> None:
        """Serve these credentials from now on; an unchanged one keeps its tokens.

        A request under way for another one ends by itself, for those who wait for it.
        """
        old = self._sources
        self._sources = {
            name: old[name]
            if name in old and old[name].credential == credential
            else CredentialTokens(name, credential, self._store)
            for name, credential in credentials.items()
        }

    async def close(self) -> None:
        """Cancel what is under way; a request that has been sent ends by itself within its own time limits."""
        sources = self._sources.values()
        tasks: list[asyncio.Task[Any]] = [each.side_request for each in sources if each.side_request]
        tasks += [slot.pending.task for each in sources for slot in each.slots.values() if slot.pending]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self._store is not None:
            self._store.close()

    # -- inside -------------------------------------------------------------------------------------------------------

    def _held(self, slot: TokenSlot, *, touch: bool = True) -> AcquiredToken | None:
        """Return the token in memory if both clocks allow it: one may be set, the other stands still in suspension."""
        if slot.acquired is None or self._monotonic() >= slot.usable_until or self._wall() >= slot.usable_until_wall:
            return None
        slot.used = slot.used or touch
        return slot.acquired

    def _known(self, source: CredentialTokens, slot: TokenSlot, now: float) -> TokenOrError | None:
        """Return the answer from memory, None where the issuer must be asked."""
        held = self._held(slot)
        if held is not None:
            return held
        for backoff in (source.backoff, slot.backoff):
            if backoff.is_active(now):
                if backoff.error is None:
                    raise RuntimeError(f"the last request for a token of {source.name} failed inside smtpcheck")
                slot.error = backoff.error
                return backoff.error
        return None

    def _may_request(self, source: CredentialTokens, slot: TokenSlot, now: float, *, unasked: bool = False) -> bool:
        """Return whether the issuer may be asked past a token in memory, and past a failure unless `unasked`."""
        backoffs = (source.backoff, slot.backoff)
        forbidden = any(each.is_active(now) if unasked else each.forbids(now) for each in backoffs)
        return slot.pending is None and not forbidden and now >= slot.asked_at + SPACING_SECONDS

    def _may_request_now(self, source: CredentialTokens, slot: TokenSlot, now: float) -> bool:
        """Return whether a user may have the issuer asked: even while it wants to be left alone, but then once."""
        if slot.pending is not None or now < slot.asked_at + SPACING_SECONDS:
            return False
        forbidding = [backoff for backoff in (source.backoff, slot.backoff) if backoff.forbids(now)]
        return all(backoff.take_exception() for backoff in forbidding)

    def _is_due(self, source: CredentialTokens, slot: TokenSlot, now: float) -> bool:
        if not slot.used or now < slot.refresh_at or self._held(slot, touch=False) is None:
            return False
        return self._may_request(source, slot, now, unasked=True)

    def _keep_alive(self, source: CredentialTokens, now: float) -> None:
        """Begin to use a refresh token that has not been used for too long."""
        due = source.flow.lifetime.keep_alive_at
        if due is None or self._wall() < due:
            return
        slot = source.slot(None)
        slot.wanted_at = now
        if self._may_request(source, slot, now, unasked=True):
            self._start_request(source, slot)

    def _begin_side_request(self, source: CredentialTokens) -> "asyncio.Task[None] | None":
        if source.side_request is None and source.flow.side_request_due:
            source.side_request = asyncio.create_task(self._side_request(source), name=f"side request of {source.name}")
        return source.side_request

    async def _side_request(self, source: CredentialTokens) -> None:
        try:
            async with self._slots.slot(source.flow.issuer):
                await asyncio.get_running_loop().run_in_executor(self._pool, source.flow.side_request)
        except Exception:  # noqa: BLE001 - nobody waits for it
            _log.exception("side request failed inside smtpcheck", credential=source.name)
        finally:
            source.side_request = None

    def _is_forgotten(self, slot: TokenSlot) -> bool:
        """Return whether nobody has asked for the token for long: a mailbox that is checked no more."""
        wanted = slot.pending is not None or self._held(slot, touch=False) is not None
        return not wanted and self._monotonic() - slot.wanted_at > FORGET_SECONDS

    async def _answer(
        self, source: CredentialTokens, slot: TokenSlot, pending: PendingRequest, seconds: float
    ) -> TokenOrError:
        """Wait for a request as one of many: neither our time limit nor our cancellation ends it."""
        try:
            async with asyncio.timeout(QUEUE_SECONDS):
                await pending.begun.wait()
            async with asyncio.timeout(seconds):
                await pending.ended.wait()
        except TimeoutError:
            if pending.begun.is_set():
                return self._unanswered(source, slot, TokenErrorKind.TIMEOUT, f"no answer within {seconds:g} s")
            waited = f"no slot for the request became free within {QUEUE_SECONDS:g} s; the issuer was not asked"
            return slot.error or self._unanswered(source, slot, TokenErrorKind.NO_SLOT, waited)
        return pending.task.result()

    def _unanswered(
        self, source: CredentialTokens, slot: TokenSlot, kind: TokenErrorKind, description: str
    ) -> TokenError:
        return TokenError(
            kind,
            at=self._wall(),
            endpoint=f"https://{source.flow.issuer}" if source.flow.issuer else "",
            description=description,
            requested_scope=slot.scope or source.credential.scope,
        )

    def _start_request(self, source: CredentialTokens, slot: TokenSlot) -> PendingRequest:
        begun, ended = asyncio.Event(), asyncio.Event()
        task = asyncio.create_task(self._request(source, slot, begun), name=f"token {source.name}")

        def finish(task: asyncio.Task[TokenOrError]) -> None:
            begun.set()
            ended.set()
            if not task.cancelled():
                task.exception()

        task.add_done_callback(finish)
        slot.pending = PendingRequest(task, begun, ended)
        slot.asked_at = self._monotonic()
        return slot.pending

    async def _request(self, source: CredentialTokens, slot: TokenSlot, begun: asyncio.Event) -> TokenOrError:
        try:
            async with source.lock, self._slots.slot(source.flow.issuer):
                is_one_of_many = slot.subject is not None or slot.scope != ""
                if source.backoff.is_active(self._monotonic()) and source.backoff.error is not None and is_one_of_many:
                    slot.error = source.backoff.error
                    return source.backoff.error
                begun.set()
                slot.asked_at = self._monotonic()
                loop = asyncio.get_running_loop()
                answer = await loop.run_in_executor(self._pool, source.flow.request, slot.subject, slot.scope)
            hanging = isinstance(answer, TokenError) and answer.kind in HANGING
            self._slots.ended(source.flow.issuer, hanging=hanging)
            return self._settle(source, slot, answer)
        except Exception:
            _log.exception("token request failed inside smtpcheck", credential=source.name)
            slot.backoff.failed(None, self._monotonic())
            raise
        finally:
            slot.pending = None

    def _settle(self, source: CredentialTokens, slot: TokenSlot, answer: IssuedToken | TokenError) -> TokenOrError:
        now = self._monotonic()
        failed = isinstance(answer, TokenError)
        if source.flow.issuer and not (isinstance(answer, TokenError) and answer.kind in _NOT_ASKED):
            source.requests["error" if failed else "success"] += 1
            source.seconds = now - slot.asked_at
        if not slot.scope or slot in source.telling():
            source.fresh_success = not failed
        if isinstance(answer, TokenError):
            (slot if self._is_own(source, slot, answer) else source).backoff.failed(answer, now)
            slot.error = answer
            slot.failing_since = answer.at if slot.failing_since is None else slot.failing_since
            if slot.acquired:
                slot.refresh_at = now  # as soon as the back-off allows
                slot.acquired = replace(slot.acquired, renewal_error=answer, failing_since=slot.failing_since)
            return answer
        slot.error = slot.failing_since = None
        slot.backoff.reset()
        source.backoff.reset()
        source.refused.clear()
        return self._keep(source, slot, answer)

    def _is_own(self, source: CredentialTokens, slot: TokenSlot, error: TokenError) -> bool:
        """Return whether the refusal concerns this mailbox or scope alone rather than the whole credential."""
        if error.kind is not TokenErrorKind.OAUTH or concerns_client(error):
            return False
        if slot.scope or slot.subject is None:
            return slot.scope != ""
        source.refused.add(slot.subject)
        some_valid = any(self._held(slot, touch=False) is not None for slot in source.slots.values())
        return some_valid or len(source.refused) < SEVERAL

    def _keep(self, source: CredentialTokens, slot: TokenSlot, issued: IssuedToken) -> AcquiredToken:
        """Put the token into its slot and return it as acquired by this request."""
        asked_at, now = self._wall() - (self._monotonic() - slot.asked_at), self._monotonic()
        again = issued.refresh_in if issued.refresh_in is not None else self._fresh_every
        lifetime = 2 * again if issued.expires_at is None else max(issued.expires_at - asked_at, 0.0)
        usable = _usable_seconds(lifetime)
        scope = slot.scope or source.credential.scope
        facts: TokenFacts | None = None
        if source.credential.gives_tokens:
            facts = token_facts(issued.token, scope=scope, acquired_at=asked_at, expires_at=issued.expires_at)
            if isinstance(exp := facts.claims.get("exp"), int | float) and not is_plausible_expiry(exp):
                _log.warning("expiry in the token ignored: it is not in seconds", credential=source.name, exp=exp)
        slot.expires_at = issued.expires_at
        slot.usable_until_wall, slot.usable_until = asked_at + usable, slot.asked_at + usable
        slot.refresh_at = slot.asked_at + min(
            lifetime / 2 * (1 + _SPREAD * spread_fraction(source.name, slot.subject)), again, self._fresh_every
        )
        slot.acquired = AcquiredToken(
            issued.token, facts and structs.replace(facts, from_cache=True), 0.0, slot.asked_at
        )
        slot.used = False
        return AcquiredToken(issued.token, facts, now - slot.asked_at, slot.asked_at)

    async def _changed(self) -> list[CredentialTokens]:
        """Return the credentials of which a file has changed since the last look."""
        sources = tuple(self._sources.values())
        found = await asyncio.to_thread(states_on_disk, sources)
        changed = []
        for source, stamps in zip(sources, found, strict=True):
            if source.stamps is not None and source.stamps != stamps:
                changed.append(source)
            source.stamps = stamps
        return changed

    def _state(self, source: CredentialTokens) -> CredentialState:
        slots = source.telling()
        held = [slot for slot in slots if self._held(slot, touch=False) is not None]
        failing = any(slot.error is not None and slot not in held for slot in slots)
        errors = [slot.error for slot in slots if slot.error is not None]
        lifetime = source.flow.lifetime
        return CredentialState(
            name=source.name,
            type=source.credential.type,
            success=None if source.fresh_success is None else not failing,
            expires_at=min((slot.expires_at for slot in held if slot.expires_at is not None), default=None),
            acquisition_seconds=source.seconds,
            requests=dict(source.requests),
            fresh_success=None if source.fresh_success is None else not errors,
            error=max(errors, key=lambda error: error.at, default=None),
            client_secret_expires_at=lifetime.client_secret_expires_at,
            client_secret_name=lifetime.client_secret_name,
            client_certificate_expires_at=lifetime.client_certificate_expires_at,
            refresh_token_last_refresh_at=lifetime.refresh_token_last_refresh_at,
            refresh_token_expires_at=lifetime.refresh_token_expires_at,
        )


def _usable_seconds(lifetime: float) -> float:
    """Return how long a new token is used. One that says it has expired is used all the same: the clocks may differ."""
    if lifetime <= 0:
        return SPACING_SECONDS
    return lifetime - min(MARGIN_SECONDS, max(lifetime / 10, min(SHORT_MARGIN_SECONDS, lifetime / 2)))
