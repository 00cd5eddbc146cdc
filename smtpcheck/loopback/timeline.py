"""A message's route from the intent to the folder, as a list of what happened: what the page, the API and `check` show.

Rules of this file:
- Pure. Each event has the time by the clock of the server that reports it; where two clocks cannot both be right, the
  event says so.
- What servers say of themselves is shown as it came; it is escaped where it is shown.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from smtpcheck.loopback.bounce_outcome import said
from smtpcheck.loopback.finder import FolderKind
from smtpcheck.loopback.message_state import Message, Stage
from smtpcheck.loopback.returned import Returned
from smtpcheck.mail import headers
from smtpcheck.mail.headers import LATENCY_HEADER
from smtpcheck.mail.junk import Why
from smtpcheck.model.timestamp import span_text


class EventKind(StrEnum):
    """What may happen to a message."""

    INTENDED = "intended"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNCERTAIN = "uncertain"
    HOP = "hop"
    ARRIVED = "arrived"
    LOST = "lost"
    FOUND = "found"
    MISSED = "missed"
    """The last search did not see it."""
    BOUNCED = "bounced"
    DELAYED = "delayed"


@dataclass(frozen=True, slots=True)
class Event:
    """One step of the route."""

    what: EventKind
    at: float | None
    """Unix seconds, by the clock of the server that reports it; None where none does."""
    text: str
    """What happened, in plain words."""
    detail: str = ""
    """What a server said of it."""
    seconds: float | None = None
    """Since the step before; less than none where clocks differ."""
    clocks_differ: bool = False


def timeline(message: Message) -> tuple[Event, ...]:
    """Return what has happened to a message so far, in the order of its route."""
    return tuple(_events(message))


def _events(message: Message) -> Iterator[Event]:
    yield Event(EventKind.INTENDED, message.intended_at, "to be sent; the server accepted sender and recipient")
    if message.sent_at is None:
        return
    yield _handed_over(message, message.sent_at)
    if (notice := message.delay_notice) is not None:
        yield _of_server(EventKind.DELAYED, notice, "delayed", message.sent_at)
    legs = headers.legs(message.hops, message.sent_at)
    for hop, leg in zip(message.hops, legs, strict=True):
        yield Event(
            EventKind.HOP,
            hop.at,
            f"received by {hop.by or 'a server without a name'}",
            "",
            leg.seconds,
            leg.clocks_differ,
        )
    if message.arrived_at is not None:
        before = next((hop.at for hop in reversed(message.hops) if hop.at is not None), message.sent_at)
        seconds = message.arrived_at - before
        text = f"in the mailbox: {message.folder}"
        yield Event(EventKind.ARRIVED, message.arrived_at, text, _latency(message), seconds, seconds <= -1.0)
    waits = message.seen_at is None and message.lost_at is None and message.bounce is None
    if waits and message.missed_at is not None:
        text = f"not there yet, after {message.looks} {'search' if message.looks == 1 else 'searches'}"
        yield Event(EventKind.MISSED, message.missed_at, text, "", message.missed_at - message.sent_at)
    if message.lost_at is not None:
        ended = "considered lost" if message.stage is not Stage.UNCERTAIN else "dropped: it was perhaps never accepted"
        yield Event(EventKind.LOST, message.lost_at, ended, "", message.lost_at - message.sent_at)
    if message.bounce is not None:
        yield _of_server(EventKind.BOUNCED, message.bounce, "returned", message.sent_at)
    if message.seen_at is not None:
        verdicts = "\n".join(_verdicts(message))
        yield Event(EventKind.FOUND, message.seen_at, _found(message), verdicts, message.seen_at - message.sent_at)


def _handed_over(message: Message, at: float) -> Event:
    reply, seconds = message.receipt.reply if message.receipt else "", at - message.intended_at
    if message.stage is Stage.REFUSED:
        return Event(EventKind.REFUSED, at, "refused by the server", reply, seconds)
    if message.uncertain:
        return Event(
            EventKind.UNCERTAIN, at, "sent, and the connection lost before the server answered", reply, seconds
        )
    return Event(EventKind.ACCEPTED, at, "accepted by the server", reply, seconds)


def _latency(message: Message) -> str:
    seconds = message.exchange_seconds
    return "" if seconds is None else f"Exchange Online counts {seconds:.1f} s from end to end ({LATENCY_HEADER})"


def _verdicts(message: Message) -> Iterator[str]:
    """Yield what filters say of a message that they kept from the inbox, and that it was spam when it left."""
    for verdict in message.verdicts:
        if verdict.why is Why.OUTBOUND:
            yield str(verdict)
        elif message.kind is not FolderKind.INBOX:
            yield str(verdict) if verdict.believed else f"{verdict}; anybody can have written that"


def _of_server(what: EventKind, returned: Returned, fate: str, sent_at: float) -> Event:
    """Return what a bounce or a notice of delay says; where the mailbox's clock cannot be right, by our own."""
    at = returned.seen_at if returned.arrived_at is None else returned.arrived_at
    at = max(at, sent_at) if sent_at - 1.0 < at <= returned.seen_at else returned.seen_at  # it counts whole seconds
    gone = ", and the bounce deleted" if returned.deleted and what is EventKind.BOUNCED else ""
    return Event(what, at, f"{fate} by {returned.by}{gone}", said(returned), at - sent_at)


def _found(message: Message) -> str:
    where = {FolderKind.INBOX: "in the inbox", FolderKind.JUNK: "in Junk"}.get(message.kind or FolderKind.OTHER)
    seen = f"found {where or f'in the folder {message.folder}'}"
    if message.moved_by is not None and message.moved_by.why is Why.INBOX_RULE:
        seen += ", moved by an inbox rule"
    more = (
        f", {message.duplicates} more {'copy' if message.duplicates == 1 else 'copies'}" if message.duplicates else ""
    )
    lost_for = 0.0 if message.lost_at is None or message.seen_at is None else message.seen_at - message.lost_at
    late = f", {span_text(lost_for)} after it was considered lost" if lost_for > 0 else ""
    return f"{seen}{more}{late}{', and deleted' if message.deleted else ''}"
