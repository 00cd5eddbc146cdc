"""What is known of a check's loopback as exposition text, one fragment for each family of `PER_LOOPBACK`.

Rule of this file: pure. A folder is shown by what it is for, never by its name, and of a result only the known ones.
"""

from collections.abc import Collection

from smtpcheck.loopback.message_state import Message, Stage
from smtpcheck.loopback.status import LoopbackStatus, success
from smtpcheck.mail.authentication_results import best
from smtpcheck.model.cause import Cause
from smtpcheck.model.check import Check
from smtpcheck.output.metrics import families
from smtpcheck.output.metrics.check import Row, Samples, codes_of, written, written_labels


def render_loopback(check: Check, loopback_status: LoopbackStatus, label_names: Collection[str]) -> Row:
    """Return the row of a check that has a loopback."""
    return written(written_labels(check, label_names), _samples(loopback_status), families.PER_LOOPBACK)


def _samples(loopback_status: LoopbackStatus) -> Samples:
    record, totals = loopback_status.record, loopback_status.record.totals
    last = next((message for message in reversed(record.messages) if message.stage is Stage.DELIVERED), None)
    if (arrived := success(loopback_status)) is not None:
        yield (families.LOOPBACK_SUCCESS, ()), int(arrived)
    if last is not None:
        yield (families.LOOPBACK_DELIVERY, ()), last.delivery_seconds or 0.0
    yield (families.LOOPBACK_PENDING, ()), record.pending()
    for family, count in (
        (families.LOOPBACK_SENT, totals.sent),
        (families.LOOPBACK_FOUND, totals.found),
        (families.LOOPBACK_LATE, totals.late),
        (families.LOOPBACK_LOST, totals.lost),
        (families.LOOPBACK_BOUNCED, totals.bounced),
    ):
        yield (family, ()), count
    concluded = loopback_status.concluded
    if concluded is not None and concluded.stage is Stage.BOUNCED and (bounce := concluded.bounce) is not None:
        cause = bounce.findings[0].cause if bounce.findings else Cause.UNKNOWN
        yield (families.LOOPBACK_BOUNCE, (cause, *codes_of(bounce.as_reply))), 1
    yield (families.LOOPBACK_UNCERTAIN, ()), totals.uncertain
    if last is not None:
        yield from _samples_of_delivery(last)
    if loopback_status.finder is not None:
        yield (families.LOOPBACK_FINDER_SUCCESS, ()), int(loopback_status.finder.error is None)


def _samples_of_delivery(message: Message) -> Samples:
    """Yield where a message arrived, and what was found of its origin."""
    if message.kind is not None:
        yield (families.LOOPBACK_FOLDER, (message.kind,)), 1
    if message.junk_reason:
        yield (families.LOOPBACK_JUNK, (message.junk_reason,)), 1
    for method, result in best(message.authentication):
        yield (families.LOOPBACK_AUTHENTICATION, (method, result)), 1
