"""What became of each message: from the intent to send it to where it was found, as values.

Rules of this file:
- Pure. A message is never mutated; whatever happens to it makes the next one of it.
- An intent whose outcome is unknown (the connection was lost after the final dot, or the agent was killed) is
  uncertain: it may have been sent, so it is never sent again, and the finder decides.
- A message is lost only when a search that began after its time succeeded and did not see it. A finder that fails says
  nothing of the mail.
- A message that was returned is searched for a while longer: one that is found all the same has arrived.
- When a message arrived is taken from the mailbox's clock only where that agrees with what was observed: after the last
  search that did not see it, and before the one that did.
- The reply to a whole message is untrusted input: what is taken from it is bounded, and holds no character that would
  end a quoted string of an IMAP search or of an OData filter. No standard says how that reply looks (RFC 5321 4.2); the
  forms are those of the servers named below.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum

from smtpcheck.loopback.finder import FolderKind, Match
from smtpcheck.loopback.plan import Loopback
from smtpcheck.loopback.returned import Returned
from smtpcheck.loopback.timing import SEARCH_UNTIL
from smtpcheck.mail.authentication_results import read_authentication, receiver_id
from smtpcheck.mail.headers import Hop, exchange_seconds, hops
from smtpcheck.mail.junk import Verdict, Why, verdicts
from smtpcheck.model.backoff import Breaker
from smtpcheck.model.cause import Cause
from smtpcheck.model.check import Phase
from smtpcheck.model.report import FaultKind, Reply, Report, Step

_MAX_TEXT = 1000
_MESSAGE_ID = re.compile(r"<[A-Za-z0-9.!#$%&*+/=?^_`{|}~-]{1,200}@[A-Za-z0-9.:\[\]-]{1,200}>")
"""Exchange Online: `250 2.0.0 OK <id@host> [Hostname=...]`; it is the message's InternetMessageId."""
_QUEUE_IDS = (
    re.compile(r"\bqueued as ([A-Za-z0-9]{1,40})\b"),  # Postfix
    re.compile(r"\bid=([A-Za-z0-9-]{1,40})"),  # Exim
    re.compile(r"\bInternalId=([0-9]{1,40})\b"),  # Exchange Server
    re.compile(r"([A-Za-z0-9.-]{1,80}) - gsmtp\b"),  # Gmail
)


@dataclass(frozen=True, slots=True)
class Receipt:
    """The reply to a whole message."""

    reply: str
    message_id: str = ""
    """The Message-ID by which the server knows the message, with `<>`; empty where it names none."""
    queue_id: str = ""


def receipt(reply: Reply) -> Receipt:
    """Return what a server's reply to a message says."""
    text = str(reply)[:_MAX_TEXT]
    message_id = _MESSAGE_ID.search(text)
    queue_id = next((found[1] for form in _QUEUE_IDS if (found := form.search(text))), "")
    return Receipt(text, message_id[0] if message_id else "", queue_id)


_UNCERTAIN = frozenset({408, 500, 502, 504})
"""HTTP statuses (RFC 9110 15) after which the message may have been taken."""
KEPT_MESSAGES = 20
"""How many messages of a check are kept that are not searched for any more."""
_MOST_COPIES = 100
"""Of one message; its receivers can send any number."""
_MOST_RESULTS = 20
_REPEATS_WITHIN = 3600.0


class Stage(StrEnum):
    """How far a message has come."""

    INTENDED = "intended"
    """It is being sent, or was when the agent ended."""
    ACCEPTED = "accepted"
    UNCERTAIN = "uncertain"
    """Whether it was accepted is unknown."""
    REFUSED = "refused"
    DELIVERED = "delivered"
    LOST = "lost"
    BOUNCED = "bounced"
    """A mail server has returned it."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a check's loopback. Times are Unix seconds."""

    check: str
    slot: int
    """When its slot began."""
    sequence: int
    mark: str
    """Its correlation id; state files have it by this name."""
    message_id: str
    """As it was sent, with `<>`."""
    intended_at: float
    stage: Stage = Stage.INTENDED
    sent_at: float | None = None
    """When the server had accepted or refused it, or when its connection was lost."""
    receipt: Receipt | None = None
    uncertain: bool = False
    """Whether it was ever unknown if it had been accepted."""
    missed_at: float | None = None
    """When the last search began that succeeded and did not see it."""
    looks: int = 0
    lost_at: float | None = None
    """When it was considered lost, or dropped if it was uncertain; it may have been found later."""
    seen_at: float | None = None
    """When the search ended that saw it first."""
    arrived_at: float | None = None
    """When the mailbox took it, by that server's clock."""
    delivered_at: float | None = None
    """When it arrived, as far as that is known here."""
    late: bool = False
    """Whether it arrived after `warn_after`."""
    folder: str = ""
    kind: FolderKind | None = None
    deleted: bool = False
    hops: tuple[Hop, ...] = ()
    authentication: tuple[tuple[str, str], ...] = ()
    """Method and result, as the receiver writes them."""
    contradictions: tuple[str, ...] = ()
    """Methods of which the receiver reports several results, in words."""
    receiver_id: str | None = None
    """By what name the receiver seems to give its results, where the plan believes no server."""
    verdicts: tuple[Verdict, ...] = ()
    """What filters say of it, the most telling first."""
    exchange_seconds: float | None = None
    """How long Exchange Online says that it took from end to end."""
    copies: tuple[str, ...] = ()
    """What distinguishes each copy that was seen."""
    trace_id: str = ""
    """Of the run that sent it (hex); empty where runs are not traced."""
    bounce: Returned | None = None
    """What the server says that has returned it."""
    delay_notice: Returned | None = None
    """What the server said last that could not deliver it yet."""

    @property
    def begun_at(self) -> float:
        """Return when its route began: when it was accepted, else when it was intended."""
        return self.sent_at or self.intended_at

    @property
    def moved_by(self) -> Verdict | None:
        """Return the receiver's own verdict that took the message from the inbox, None where there is none."""
        if self.kind not in {FolderKind.JUNK, FolderKind.OTHER}:
            return None
        believed = (verdict for verdict in self.verdicts if verdict.believed and verdict.junk)
        return next(believed, None)

    @property
    def junk_reason(self) -> str:
        """Return why it is in Junk in one word: a `Why`, or `unknown`; empty where it is not in Junk."""
        if self.kind is not FolderKind.JUNK:
            return ""
        return next((str(verdict.why) for verdict in self.verdicts if verdict.believed), "unknown")

    @property
    def rated_outbound(self) -> Verdict | None:
        """Return Microsoft's verdict that it was spam when it left, None where there is none."""
        return next((verdict for verdict in self.verdicts if verdict.why is Why.OUTBOUND), None)

    @property
    def delivery_seconds(self) -> float | None:
        """Return how long it took to arrive; None while it has not."""
        return None if self.delivered_at is None else max(0.0, self.delivered_at - self.begun_at)

    @property
    def duplicates(self) -> int:
        """Return how many copies were seen beyond the first."""
        return max(0, len(self.copies) - 1)

    def is_searched_for(self, now: float) -> bool:
        """Return whether it is searched for: it may still turn up."""
        if self.stage is Stage.BOUNCED:
            return self.bounce is not None and now - self.bounce.seen_at < _REPEATS_WITHIN
        return self.stage in _WAITING and now - self.begun_at < SEARCH_UNTIL

    def may_be_returned(self, now: float) -> bool:
        """Return whether a bounce of it is searched for: it has not arrived, or a bounce of it is still there."""
        left = [each for each in (self.bounce, self.delay_notice) if each is not None and not each.deleted]
        return self.is_searched_for(now) or any(now - each.seen_at < _REPEATS_WITHIN for each in left)

    def may_repeat(self, now: float) -> bool:
        """Return whether a second copy of it would still be reported."""
        return self.seen_at is not None and now - self.seen_at < _REPEATS_WITHIN

    def moved(self, seconds: float) -> "Message":
        """Return it with the times of its sending and searching moved, as a wall clock that is set moves it."""
        return replace(
            self,
            intended_at=self.intended_at + seconds,
            sent_at=None if self.sent_at is None else self.sent_at + seconds,
            missed_at=None if self.missed_at is None else self.missed_at + seconds,
            lost_at=None if self.lost_at is None else self.lost_at + seconds,
        )

    @property
    def under_way(self) -> bool:
        """Return whether it is neither found nor dropped nor refused."""
        return self.stage in _UNDER_WAY and self.lost_at is None


_UNDER_WAY = frozenset({Stage.INTENDED, Stage.ACCEPTED, Stage.UNCERTAIN})
_WAITING = frozenset({Stage.ACCEPTED, Stage.UNCERTAIN, Stage.LOST})
CONCLUDED = frozenset({Stage.REFUSED, Stage.DELIVERED, Stage.LOST, Stage.BOUNCED})


@dataclass(frozen=True, slots=True)
class Totals:
    """How many messages of a check there were."""

    sent: int = 0
    """Handed over: accepted, or perhaps accepted."""
    found: int = 0
    late: int = 0
    """Found after `warn_after`."""
    lost: int = 0
    """Considered lost; some may have been found later."""
    found_after_lost: int = 0
    uncertain: int = 0
    duplicates: int = 0
    bounced: int = 0
    """Returned by a mail server; some may have been lost before, or found all the same."""


@dataclass(frozen=True, slots=True)
class Record:
    """What is remembered of a check's loopback."""

    sequence: int = 0
    """Of the last message that was intended."""
    slot: int = 0
    """Of the last message that was intended."""
    messages: tuple[Message, ...] = ()
    """Those that are searched for and the last others, oldest first."""
    totals: Totals = field(default_factory=Totals)
    sending: Report | None = None
    """The last run that was to send."""
    breaker: Breaker = field(default_factory=Breaker)
    """Whether sending waits because it was refused."""

    @property
    def concluded(self) -> Message | None:
        """Return the newest message of which it is known what became of it."""
        return next((message for message in reversed(self.messages) if message.stage in CONCLUDED), None)

    def pending(self) -> int:
        """Return how many messages are under way: neither found nor lost nor refused."""
        return sum(message.under_way for message in self.messages)

    def with_message(self, message: Message, now: float) -> "Record":
        """Return the record with a message added, or in place of its former self; counted, and not too many kept."""
        before = next((each for each in self.messages if each.slot == message.slot), None)
        others = [each for each in self.messages if each.slot != message.slot]
        messages = sorted((*others, message), key=lambda each: each.sequence)
        done = [each for each in messages if not each.is_searched_for(now) and each is not message]
        dropped = {each.slot for each in done[: max(0, len(done) - KEPT_MESSAGES)]}
        return replace(
            self,
            sequence=max(self.sequence, message.sequence),
            slot=max(self.slot, message.slot),
            messages=tuple(each for each in messages if each.slot not in dropped),
            totals=_counted(self.totals, before, message),
        )

    def without(self, slot: int) -> "Record":
        """Return the record without the message of a slot, of which nothing was sent; the slot stays used."""
        return replace(self, messages=tuple(message for message in self.messages if message.slot != slot))


def after_sending(message: Message, report: Report, at: float) -> Message | None:
    """Return the message after the run that was to send it, which ended at Unix time `at`; None if nothing was sent."""
    if requests := [step for step in report.steps if step.phase is Phase.REQUEST]:
        return _after_request(message, report, requests[-1])
    step = next((step for step in report.steps if step.phase is Phase.DATA), None)
    if step is None:
        return uncertain(message, at) if report.cause is Cause.INTERNAL else None
    if not step.exchanges or (go_ahead := step.exchanges[0].reply) is None or go_ahead.code != 354:
        return None
    at = report.started_at + report.waited + step.start + step.seconds
    reply = step.exchanges[1].reply if len(step.exchanges) > 1 else None
    if reply is None:
        return uncertain(message, at)
    stage = Stage.ACCEPTED if reply.code // 100 == 2 else Stage.REFUSED
    return replace(message, stage=stage, sent_at=at, receipt=receipt(reply))


def _after_request(message: Message, report: Report, step: Step) -> Message | None:
    """Return the message after the request by which a mail API was to send it; see `after_sending`."""
    if step.fault is not None and step.fault.kind is FaultKind.NOT_SENDABLE:
        return None
    at = report.started_at + report.waited + step.start + step.seconds
    answer = step.exchanges[-1].answer if step.exchanges else None
    if answer is None or (step.fault is not None and answer.status in _UNCERTAIN):
        return uncertain(message, at)
    stage = Stage.ACCEPTED if step.fault is None else Stage.REFUSED
    return replace(message, stage=stage, sent_at=at, receipt=Receipt(str(answer)[:_MAX_TEXT], answer.message_id))


def uncertain(message: Message, at: float) -> Message:
    """Return the message after its connection was lost, or an intent that a restart found without its outcome."""
    return replace(message, stage=Stage.UNCERTAIN, sent_at=at, uncertain=True)


def after_search(
    message: Message, matches: Iterable[Match], plan: Loopback, *, began: float, ended: float, whole: bool
) -> Message:
    """Return the message after a search for it, which took from `began` to `ended` (Unix seconds).

    `matches` are those of this message, and `whole` says whether the search succeeded in every part.
    """
    arrivals = sorted((each for each in matches if each.kind is not FolderKind.SENT), key=_preference)
    if arrivals:
        found = message if message.stage is Stage.DELIVERED else _found(message, arrivals[0], plan, ended)
        copies = dict.fromkeys((*found.copies, *map(_fingerprint, arrivals)))
        return replace(found, looks=message.looks + 1, copies=tuple(copies)[:_MOST_COPIES])
    message = replace(message, looks=message.looks + 1)
    if not whole or message.stage in {Stage.DELIVERED, Stage.BOUNCED}:
        return message
    message = replace(message, missed_at=began)
    if began - message.begun_at < plan.lost_after or message.lost_at is not None:
        return message
    return replace(message, stage=Stage.LOST if message.stage is Stage.ACCEPTED else message.stage, lost_at=ended)


def after_bounce(message: Message, returned: Returned) -> Message:
    """Return the message after a mail server has returned it; one that has arrived stays delivered."""
    stage = Stage.BOUNCED if message.stage in _WAITING else message.stage
    return replace(message, stage=stage, bounce=message.bounce or returned)


def after_delay_notice(message: Message, returned: Returned) -> Message:
    """Return the message after a mail server has said that it still tries."""
    known = message.delay_notice
    newer = known is None or known.arrived_at is None or (returned.arrived_at or 0.0) > known.arrived_at
    return replace(message, delay_notice=returned) if newer else message


def after_missing_bounce(message: Message, began: float) -> Message:
    """Return a message without a finder after a search, begun at `began` (Unix seconds), that saw no bounce of it."""
    return replace(message, missed_at=began, looks=message.looks + 1) if message.stage is Stage.ACCEPTED else message


def _found(message: Message, match: Match, plan: Loopback, ended: float) -> Message:
    earliest = message.missed_at or message.begun_at
    arrived = ended if match.arrived_at is None else match.arrived_at
    delivered_at = min(max(arrived, earliest), ended)
    authentication = read_authentication(match.headers, plan.authserv_id)
    return replace(
        message,
        stage=Stage.DELIVERED,
        seen_at=ended,
        arrived_at=match.arrived_at,
        delivered_at=delivered_at,
        late=delivered_at - message.begun_at > plan.warn_after,
        folder=match.folder,
        kind=match.kind,
        hops=hops(match.headers),
        authentication=authentication.pairs[:_MOST_RESULTS],
        contradictions=authentication.contradictions,
        receiver_id=receiver_id(match.headers) if plan.authserv_id is None else None,
        verdicts=verdicts(match.headers, authserv_id=plan.authserv_id, exchange_online=plan.exchange_online),
        exchange_seconds=exchange_seconds(match.headers) if plan.exchange_online else None,
    )


_ORDER = (FolderKind.INBOX, FolderKind.JUNK, FolderKind.OTHER)


def _preference(match: Match) -> tuple[int, float]:
    """Return what orders matches: where one message is in several folders, as Gmail's labels have it."""
    return _ORDER.index(match.kind), match.arrived_at or 0.0


def _fingerprint(match: Match) -> str:
    """Return what distinguishes a copy: its own route; one copy may be seen in several folders."""
    way = [value for name, value in match.headers if name.lower() == "received"] or [repr(match.arrived_at)]
    return hashlib.sha256("\n".join(way).encode("utf-8", "replace")).hexdigest()[:16]


def _counted(totals: Totals, before: Message | None, after: Message) -> Totals:
    """Return the totals after a message became another stage of itself."""

    def became(stage: Stage) -> bool:
        return after.stage is stage and (before is None or before.stage is not stage)

    handed_over = after.sent_at is not None and after.stage is not Stage.REFUSED
    found, was_lost = became(Stage.DELIVERED), before is not None and before.stage is Stage.LOST
    return Totals(
        sent=totals.sent + (handed_over and (before is None or before.sent_at is None)),
        found=totals.found + found,
        late=totals.late + (found and after.late),
        lost=totals.lost + became(Stage.LOST),
        found_after_lost=totals.found_after_lost + (found and was_lost),
        uncertain=totals.uncertain + became(Stage.UNCERTAIN),
        duplicates=totals.duplicates + after.duplicates - (before.duplicates if before else 0),
        bounced=totals.bounced + became(Stage.BOUNCED),
    )
