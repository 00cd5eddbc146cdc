"""What the bounces that a search has seen mean for the messages: each is read by the rules of the diagnosis, and kept.

Rules of this file:
- A bounce counts for the message that it is proven to be about, and only while that has not arrived.
- Of several bounces of one message a failure counts before a notice of delay, and the first failure before later ones.
"""

from collections.abc import Iterable
from dataclasses import replace

from smtpcheck.agent.loopback_intent import Sender
from smtpcheck.check.kit import Kit
from smtpcheck.diagnosis.explain import CERTAIN, explain
from smtpcheck.diagnosis.mail_reading import of_bounce
from smtpcheck.loopback import message_state
from smtpcheck.loopback.finder import BounceMatch
from smtpcheck.loopback.message_state import Message
from smtpcheck.loopback.returned import Returned, is_delay, is_failure, returned
from smtpcheck.mail.bounce import Bounce
from smtpcheck.model.report import Finding

MOST_REMEMBERED = 10_000
"""Keys of foreign bounces that are remembered of a mailbox."""
_MOST_FINDINGS = 3


def after_bounces(
    message: Message, matches: Iterable[BounceMatch], sender: Sender, kit: Kit, seen_at: float
) -> Message:
    """Return a message after a search that saw these bounces of it, and ended at Unix time `seen_at`."""
    for match in sorted(matches, key=lambda each: each.arrived_at or 0.0):
        if is_failure(match) and message.bounce is None:
            message = message_state.after_bounce(message, _kept(match, sender, kit, seen_at))
        elif is_delay(match):
            message = message_state.after_delay_notice(message, _kept(match, sender, kit, seen_at))
    return message


def after_removal(message: Message) -> Message:
    """Return a message whose bounces were deleted."""
    return replace(message, bounce=_deleted(message.bounce), delay_notice=_deleted(message.delay_notice))


def remembered(known: frozenset[str], new: Iterable[str]) -> frozenset[str]:
    """Return the keys of foreign bounces with new ones; where there are too many, the new ones alone."""
    keys = known.union(new)
    return keys if len(keys) <= MOST_REMEMBERED else frozenset(new)


def _deleted(bounce: Returned | None) -> Returned | None:
    return None if bounce is None else replace(bounce, deleted=True)


def _kept(match: BounceMatch, sender: Sender, kit: Kit, seen_at: float) -> Returned:
    return returned(match, _findings(match.bounce, sender, kit), seen_at)


def _findings(bounce: Bounce, sender: Sender, kit: Kit) -> tuple[Finding, ...]:
    """Return what a bounce of a check's message means, best first; one alone that is certain."""
    check = sender.check
    seen = replace(
        of_bounce(bounce),
        provider=check.provider,
        sasl_user=check.mailbox,
        sender=sender.plan.sender,
        recipient=bounce.recipient or sender.plan.recipient,
        host=check.server.host,
        port=check.server.port,
        check=check.name,
        hints=kit.hints.get(check.credential or ""),
    )
    found = explain(seen, kit.catalogue)
    return found[:1] if found[0].certainty >= CERTAIN else found[:_MOST_FINDINGS]
