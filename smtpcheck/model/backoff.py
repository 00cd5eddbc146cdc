"""How long a check that was refused waits before it tries again.

Rules of this file:
- Pure. A breaker is a value; a run makes the next one of it, and a success closes it.
- Only a refusal counts: a reply 4xx or 5xx by a server that has seen a token or a sender, or a mail API's answer. Where
  no connection stood, TLS failed or nobody answered, nothing was refused, and trying again does no harm. What an issuer
  refuses is asked again by the broker's own rules; but an account that it has locked is left alone here too.
- Repeated refusals are penalized: Exchange Online throttles a mailbox for them (550 5.2.251 to 5.2.255,
  https://learn.microsoft.com/exchange/mail-flow-best-practices/non-delivery-reports-in-exchange-online/), and Entra ID
  locks accounts (AADSTS50053) and stops clients that ask in a loop (AADSTS50196;
  https://learn.microsoft.com/entra/identity-platform/reference-error-codes). To try again prolongs it.
"""

from dataclasses import dataclass

from smtpcheck.model.cause import Cause
from smtpcheck.model.check import Phase
from smtpcheck.model.report import ApiAnswer, Outcome, Reply, Report

_MINUTE, _HOUR = 60.0, 3600.0
_SEEN_PHASES = frozenset({Phase.AUTH, Phase.MAIL, Phase.RCPT, Phase.DATA, Phase.REQUEST})
"""In these the server has seen a token or a sender."""
_TOO_MANY_REQUESTS = 429
_LOCK_CODES = frozenset({50053, 50196})


@dataclass(frozen=True, slots=True)
class Breaker:
    """The refusals of one check since its last success."""

    refusals: int = 0
    until: float | None = None
    """While the check waits longer than its interval: until when (Unix seconds)."""


CLOSED = Breaker()


@dataclass(frozen=True, slots=True)
class BackoffPolicy:
    """How one kind of refusal lengthens the interval: twice as long with every further one."""

    tolerated: int
    """So many refusals in a row change nothing."""
    first: float
    """The first wait in seconds; the check's interval twice where that is longer."""
    longest: float
    """The longest wait in seconds; the check's own interval where that is longer."""

    def wait(self, refusals: int, interval: float) -> float:
        """Return how many seconds to wait after so many refusals in a row; the interval for those tolerated."""
        further = min(refusals - self.tolerated, 32)
        if further <= 0:
            return interval
        return max(interval, min(max(self.first, 2 * interval) * 2.0 ** (further - 1), self.longest))


REFUSED = BackoffPolicy(tolerated=2, first=0.0, longest=_HOUR)
"""Any 5xx of SMTP, and any 4xx of a mail API."""
DEFERRED = BackoffPolicy(tolerated=2, first=0.0, longest=15 * _MINUTE)
"""Any 4xx of SMTP, and any 5xx of a mail API: it may be over soon."""
THROTTLED = BackoffPolicy(tolerated=0, first=5 * _MINUTE, longest=2 * _HOUR)
"""Too many logins, connections or messages."""
LOCKED = BackoffPolicy(tolerated=0, first=15 * _MINUTE, longest=4 * _HOUR)
PENALIZED = BackoffPolicy(tolerated=0, first=_HOUR, longest=24 * _HOUR)
"""The mailbox may not send; how long, nobody publishes."""

LONGEST = max(policy.longest for policy in (REFUSED, DEFERRED, THROTTLED, LOCKED, PENALIZED))
"""No wait beyond a check's own interval is longer, in seconds."""

_BY_CAUSE = {
    Cause.THROTTLED_LOGINS: THROTTLED,
    Cause.THROTTLED_CONNECTIONS: THROTTLED,
    Cause.THROTTLED_RATE: THROTTLED,
    Cause.GRAPH_THROTTLED: THROTTLED,
    Cause.ACCOUNT_LOCKED: LOCKED,
    Cause.SENDER_THROTTLED: PENALIZED,
    Cause.ACCOUNT_BLOCKED_OUTBOUND_SPAM: PENALIZED,
}


def after(before: Breaker, report: Report, interval: float) -> Breaker:
    """Return the breaker after a run of a check with this interval in seconds."""
    if report.outcome in (Outcome.OK, Outcome.WARNING):
        return CLOSED
    policy = _policy_for(report) if report.outcome is Outcome.CRITICAL else None
    ended = report.started_at + report.seconds
    if policy is None:
        before = bounded(before, ended)
        return Breaker(before.refusals, before.until if before.until is not None and before.until > ended else None)
    refusals = before.refusals + 1
    wait = max(policy.wait(refusals, interval), _asked_wait(report))
    return Breaker(refusals, ended + wait if wait > interval else None)


def bounded(breaker: Breaker, now: float) -> Breaker:
    """Return the breaker without a wait that no policy gives: its end was stored while the clock was wrong.

    Whoever asks keeps what is returned: such a wait ends `LONGEST` seconds after Unix time `now`.
    """
    if breaker.until is None or breaker.until <= now + LONGEST:
        return breaker
    return Breaker(breaker.refusals, now + LONGEST)


def _policy_for(report: Report) -> BackoffPolicy | None:
    """Return the policy for what refused, None where nothing did that counts."""
    step, reply, error = report.failed_step, report.failed_reply, report.token_error
    if step is None:
        return None
    if step.phase is Phase.TOKEN:
        locked = report.cause is Cause.ACCOUNT_LOCKED or (error and not _LOCK_CODES.isdisjoint(error.error_codes))
        return LOCKED if locked else None
    if step.phase not in _SEEN_PHASES:
        return None
    usual = _by_reply(reply) if reply is not None else _by_answer(report.failed_answer)
    return usual and _BY_CAUSE.get(report.cause or Cause.UNKNOWN, usual)


def _by_reply(reply: Reply) -> BackoffPolicy | None:
    if not 400 <= reply.code <= 599:
        return None
    return REFUSED if reply.code >= 500 else DEFERRED


def _by_answer(answer: ApiAnswer | None) -> BackoffPolicy | None:
    """Return the policy for an answer by HTTP (RFC 9110 15): it is 5xx that may be over soon."""
    if answer is None:
        return None
    if answer.status == _TOO_MANY_REQUESTS:
        return THROTTLED
    return DEFERRED if answer.status >= 500 else REFUSED


def _asked_wait(report: Report) -> float:
    """Return how many seconds a mail API asks to wait, as far as that is believed."""
    answer = report.failed_answer
    return min(answer.retry_after or 0.0, LONGEST) if answer is not None else 0.0
