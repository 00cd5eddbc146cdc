"""One check from beginning to end: a token, the SMTP dialogue or the requests to a mail API, the outcome.

Rules of this file:
- `check`, `doctor`, `demo`, `/probe` and the agent all call `probe`; there is no second way to run a check.
- Measure first, decide after: the connection is tried up to EHLO (or TLS) even when the token failed, and both are
  reported.
- This is the only place that catches everything: a fault of our own gives outcome `unknown` and a traceback in the log.
"""

import math
from dataclasses import replace

import structlog
from msgspec import Struct, structs

from smtpcheck.check.conversation import talk
from smtpcheck.check.kit import Kit
from smtpcheck.check.outcome import (
    account_warnings,
    expiries,
    fresh_token_failing,
    has_failed,
    internal_error,
    overloaded,
    sent_by_proof,
    token_fault,
    token_was_old,
    with_outcome,
)
from smtpcheck.check.talk import OutgoingMessage, Talk
from smtpcheck.diagnosis.explain import explain
from smtpcheck.diagnosis.observation import observe
from smtpcheck.diagnosis.remedy import values_of
from smtpcheck.limits.connection_limit import NoSlotError
from smtpcheck.model.check import Check, Phase
from smtpcheck.model.expected_refusal import unexpected_success
from smtpcheck.model.report import Finding, Outcome, Report, Step, TokenError
from smtpcheck.oauth.token_cache import AcquiredToken

_log = structlog.get_logger(__name__)


class _Wait(Struct, frozen=True, gc=False):
    """How long a run may wait."""

    until: float
    """When it must have ended (monotonic seconds)."""
    most: float
    """How many seconds for its slot."""


class _Connected(Struct, frozen=True, gc=False):
    """What came of the connection."""

    talk: Talk = Talk()
    waited: float = 0.0
    """How many seconds for the slot."""
    seconds: float = 0.0
    no_slot: tuple[str, ...] = ()
    """Why there was no connection, where the run had no slot in time."""


async def probe(
    check: Check,
    kit: Kit,
    *,
    fresh: bool = False,
    outgoing: OutgoingMessage | None = None,
    until: float = math.inf,
    max_wait: float = math.inf,
) -> Report:
    """Run the check once and return its report; nothing is raised but cancellation, and what `until` brings.

    With `fresh` the token is force-refreshed, bypassing caches, within the broker's budget. `until` (monotonic seconds)
    ends the run before its own time limits do; NoSlotError where it passes before the run has its slot. A run that
    waits for its slot longer than `max_wait` seconds, or for another process longer than its locks wait, is unknown.
    """
    started_at, origin = kit.wall(), kit.monotonic()
    try:
        return await _run(check, kit, started_at, _Wait(until, max_wait), fresh=fresh, outgoing=outgoing)
    except NoSlotError:
        raise
    except Exception as error:  # noqa: BLE001
        _log.exception("internal error", check=check.name)
        return internal_error(check, started_at, kit.monotonic() - origin, error)


async def _run(
    check: Check, kit: Kit, started_at: float, wait: _Wait, *, fresh: bool, outgoing: OutgoingMessage | None
) -> Report:
    answer, steps = await _acquire(check, kit, wait.until, fresh=fresh)
    acquired = answer if isinstance(answer, AcquiredToken) else None
    before = sum([step.seconds for step in steps])
    connected = _Connected()
    if check.depth.needs_connection:
        connected = await _connect(check, kit, acquired, wait, before=before, outgoing=outgoing)
    said = connected.talk
    acquired = said.renewed or acquired
    report = Report(
        check=check.name,
        started_at=started_at,
        seconds=before + connected.seconds,
        outcome=Outcome.OK,
        steps=steps + said.steps,
        token=acquired.facts if acquired else None,
        token_error=answer if isinstance(answer, TokenError) else None,
        tls=said.tls,
        attempts=said.attempts,
        mechanism=said.mechanism,
        auth_line_length=said.auth_line_length,
        waited=connected.waited,
        expect=check.due_refusal,
        account=said.account,
    )
    if connected.no_slot and not has_failed(report):
        return overloaded(report, *connected.no_slot)
    return _with_outcome(check, kit, report, acquired, said)


async def _connect(
    check: Check,
    kit: Kit,
    acquired: AcquiredToken | None,
    wait: _Wait,
    *,
    before: float,
    outgoing: OutgoingMessage | None,
) -> _Connected:
    """Wait for the slot, and talk to the server; `before` is for how many seconds the run has been measured."""
    begin = kit.monotonic()
    try:
        async with kit.connections.slot(check.mailbox or check.name, min(wait.until - begin, wait.most)):
            slot_at = kit.monotonic()
            left = wait.until - slot_at
            said = await talk(
                replace(check, timeout=left) if left < check.timeout else check,
                kit,
                acquired,
                origin=slot_at - before,
                outgoing=outgoing,
            )
            return _Connected(said, slot_at - begin, kit.monotonic() - slot_at)
    except NoSlotError as error:
        if wait.until - begin <= wait.most and wait.until < math.inf:
            raise
        waited = kit.monotonic() - begin
        others = f"{kit.connections.waiting} other runs wait for a slot"
        return _Connected(waited=waited, no_slot=(f"the run had no slot within {waited:.0f} s", str(error), others))


async def _acquire(
    check: Check, kit: Kit, until: float, *, fresh: bool
) -> tuple[AcquiredToken | TokenError | None, tuple[Step, ...]]:
    """Return the token or why there is none, and the step of phase token if the run waited or failed."""
    if check.credential is None or not check.uses_credential:
        return None, ()
    begin = kit.monotonic()
    held = None if fresh else kit.tokens.peek(check.credential, check.mailbox, check.scope)
    answer: AcquiredToken | TokenError
    if held is not None:
        answer = held
    else:
        timeout = max(0.0, min(check.token_timeout, until - begin))
        answer = await kit.tokens.token(
            check.credential, check.mailbox, timeout=timeout, fresh=fresh, scope=check.scope
        )
    seconds = kit.monotonic() - begin
    if isinstance(answer, TokenError):
        return answer, (Step(Phase.TOKEN, 0.0, seconds, fault=token_fault(answer)),)
    waited = answer.facts is not None and not answer.facts.from_cache
    return answer, (Step(Phase.TOKEN, 0.0, seconds),) if waited else ()


def _with_outcome(check: Check, kit: Kit, report: Report, acquired: AcquiredToken | None, said: Talk) -> Report:
    now = kit.wall()
    if has_failed(report):
        return with_outcome(report, _explain(check, kit, report, said.ehlo, now), ())
    lifetime = kit.tokens.lifetime(check.credential) if check.credential else None
    warnings = (*account_warnings(check, report), *expiries(check, report, lifetime, now))
    if said.renewed is not None:
        warnings = (token_was_old(report), *warnings)
    if acquired is not None and acquired.renewal_error is not None:
        step = Step(Phase.TOKEN, 0.0, 0.0, fault=token_fault(acquired.renewal_error))
        refused = structs.replace(report, token_error=acquired.renewal_error, steps=(step,))
        since = acquired.renewal_error.at if acquired.failing_since is None else acquired.failing_since
        warnings = fresh_token_failing(since, _explain(check, kit, refused, (), now)[0]) + warnings
    return with_outcome(report, (), warnings)


def _explain(check: Check, kit: Kit, report: Report, ehlo: tuple[str, ...], now: float) -> tuple[Finding, ...]:
    seen = observe(check, report, kit.hints.get(check.credential or ""), ehlo=ehlo, now=now)
    if passed := unexpected_success(report) or sent_by_proof(report):
        return (structs.replace(passed, values=values_of(seen)),)
    return explain(seen, kit.catalogue)
