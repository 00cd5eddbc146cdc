"""Runs on request: what a request to `/probe` or "check now" starts, and what it does not.

Rules of this file:
- A request names a check and nothing else. It sends no message: the run goes as far as `Check.silent`.
- A check that expects a refusal after the recipient cannot be requested, and others that expect one run no more often
  than their interval says: repeated refusals are penalized.
- It does no harm: while the check is in back-off, shortly after a run of it, or within five minutes of a request to a
  mail API, no server is contacted.
- It ends in the time that it was given. Requests for one mailbox wait for each other; where the wait takes all of
  it, the answer is `Busy`, for an agent that is busy says nothing about the server.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from smtpcheck.limits.api_concurrency import next_proof_at
from smtpcheck.limits.connection_limit import ConnectionLimit, NoSlotError
from smtpcheck.model.backoff import Breaker
from smtpcheck.model.check import Check, Depth
from smtpcheck.model.report import FaultKind, Report, TokenErrorKind
from smtpcheck.state.state import State

SPACING = 5.0
"""Seconds from the end of one run of a check to the next that a request may set going; half its interval if shorter."""
CHECK_NOW_SPACING = 10.0
"""Seconds between two runs of one check that a user asked for."""
_MOST_AT_ONCE = 10_000
_GRACE_SECONDS = 0.25
"""A run ends by itself in its time; one that then still waits for a place at the issuer is ended after so much more."""


@dataclass(frozen=True, slots=True)
class Probed:
    """What a request came to."""

    check: Check
    """As it was run."""
    report: Report | None
    """Where the run was suppressed, that of the last run, so that of two scrapers neither stays without a result; None
    while the check waits after refusals."""
    breaker: Breaker
    """As it is now."""
    resumes_at: float | None
    """Until when runs are suppressed, where this one was (Unix seconds)."""


@dataclass(frozen=True, slots=True)
class TooSoon:
    """A run that was asked for too shortly after another one of the same check."""

    seconds: float
    """How long to wait before it may be asked for again."""


@dataclass(frozen=True, slots=True)
class Busy:
    """Other runs of the mailbox, or of the whole agent, took the time; or the agent is starting or stopping."""


Run = Callable[[Check, float, float], Awaitable[Report]]
"""Runs a check that has its slot: the check, until when (monotonic seconds), and how long it has waited.
Raises NoSlotError."""


class Requests:
    """The runs of one agent that requests ask for."""

    def __init__(self, state: State, run: Run, *, wall: Callable[[], float], monotonic: Callable[[], float]) -> None:
        self._state = state
        self._run = run
        self._wall = wall
        self._monotonic = monotonic
        self._slots = ConnectionLimit(_MOST_AT_ONCE)
        self._reports: dict[str, Report] = {}
        self.running: dict[asyncio.Task[Probed | Busy], float] = {}
        """What is running or waits for its slot, each with its time limit in seconds."""

    async def answer(self, check: Check, seconds: float) -> Probed | Busy:
        """Run the check if it may run now, all in so many seconds."""
        task = asyncio.create_task(self._answer(check, seconds), name=f"request for {check.name}")
        self.running[task] = seconds + _GRACE_SECONDS
        task.add_done_callback(self.running.pop)
        return await task

    async def _answer(self, check: Check, seconds: float) -> Probed | Busy:
        begin = self._monotonic()
        reachable = check.silent
        try:
            async with self._slots.slot(check.mailbox or check.name, seconds):
                if (resumes_at := self._resumes_at(check)) is not None:
                    breaker = self._state.breaker(check.name)
                    last = None if resumes_at == breaker.until else self._last_report(check.name)
                    return Probed(reachable, last, breaker, resumes_at)
                waited = self._monotonic() - begin
                async with asyncio.timeout(seconds - waited + _GRACE_SECONDS):
                    report = await self._run(reachable, begin + seconds, waited)
                self._reports[check.name] = report
        except (NoSlotError, TimeoutError):
            return Busy()
        return Probed(reachable, report, self._state.breaker(check.name), None)

    def _resumes_at(self, check: Check) -> float | None:
        """Return until when the check may not be run, None if it may."""
        now = self._wall()
        until = self._state.breaker(check.name).until
        if until is not None and until > now:
            return until
        if (last := self._last_report(check.name)) is None:
            return None
        began, ended = last.started_at, last.started_at + last.seconds
        if (again_at := next_proof_at(check, last)) is not None:
            return again_at if began <= now < again_at else None
        spaced = began + check.interval - SPACING if check.expect else ended + min(SPACING, check.interval / 2)
        return spaced if began <= now < spaced else None

    def _last_report(self, name: str) -> Report | None:
        """Return the report of the last run of a check, scheduled or requested."""
        known = self._state.checks.get(name)
        reports = [report for report in (known.report if known else None, self._reports.get(name)) if report]
        return max(reports, key=lambda report: report.started_at, default=None)


def can_be_requested(check: Check) -> bool:
    """Return whether a request can run the check: not one whose expected refusal is deeper than a request may go."""
    return check.expect is None or check.expect.depth <= Depth.RECIPIENT


def ran_out_of_slots(report: Report, waited: float) -> bool:
    """Return whether a run hit its time limit after waiting longer than it ran: that says nothing about the server."""
    fault, error = (report.failed_step.fault if report.failed_step else None), report.token_error
    out_of_time = (fault is not None and fault.kind is FaultKind.TIMEOUT) or (
        error is not None and error.kind is TokenErrorKind.TIMEOUT
    )
    return out_of_time and waited + report.waited > report.seconds
