"""What is known of a check's loopback as JSON: what the API answers, and what `check --loopback --format json` prints.

Rules of this file:
- Names are never renamed and keep their meaning; new ones may come. Times are Unix seconds, durations seconds, what is
  not known is null.

`{"success", "pending", "next_send", "backoff_until", "totals": {"sent", "found", "late", "lost", "found_after_lost",
"uncertain", "duplicates", "bounced"}, "finder": FINDER, "bounces": FINDER, of the search for bounces, "messages":
[MESSAGE, newest first], "last_send": the report of the run that was to send, or null}`.

FINDER: null, or `{"success", "at", "step", "detail", "code", "failures", "since"}`.

MESSAGE: `{"sequence", "slot", "message_id", "stage": intended | accepted | uncertain | refused | delivered | lost |
bounced, "intended_at", "sent_at", "reply", "server_message_id", "queue_id", "lost_at", "seen_at", "arrived_at" by the
mailbox's clock, "delivered_at", "delivery_seconds", "late", "folder", "kind": inbox | junk | other, "deleted",
"duplicates", "authentication": {method: result}, "contradictions": [TEXT], "receiver_id": by what name the receiver
seems to give its results where the plan names none, "junk_reason", "verdicts": [{"filter", "junk", "why", "believed",
"said"}], "exchange_seconds", "bounce": RETURNED, "delay_notice": RETURNED, "timeline": [{"what", "at", "text",
"detail", "seconds", "clocks_differ"}]}`.

RETURNED: null, or `{"seen_at", "arrived_at", "recipient", "code", "enhanced", "reply", "wrapped": the reply that it
quotes, "remote_mta", "reporting_mta", "folder", "deleted", "findings": what the reply means, best first}`.
"""

from dataclasses import asdict

from smtpcheck.diagnosis.catalogue import Catalogue
from smtpcheck.loopback.message_state import Message
from smtpcheck.loopback.returned import Returned
from smtpcheck.loopback.status import FinderState, LoopbackStatus, success
from smtpcheck.loopback.timeline import timeline
from smtpcheck.output.report_json import Json, findings_as_json, report_as_json


def loopback_as_json(loopback_status: LoopbackStatus, catalogue: Catalogue) -> Json:
    """Return all that is known of a check's loopback."""
    record = loopback_status.record
    return {
        "success": success(loopback_status),
        "pending": record.pending(),
        "next_send": loopback_status.next_send,
        "backoff_until": record.breaker.until,
        "totals": asdict(record.totals),
        "finder": _finder(loopback_status.finder) if loopback_status.finder else None,
        "bounces": _finder(loopback_status.bounces) if loopback_status.bounces else None,
        "messages": [_message(message, catalogue) for message in reversed(record.messages)],
        "last_send": report_as_json(record.sending, catalogue) if record.sending else None,
    }


def _finder(state: FinderState) -> Json:
    error = state.error
    return {
        "success": error is None,
        "at": state.at,
        "step": error.step if error else None,
        "detail": error.detail if error else None,
        "code": error.code if error else None,
        "failures": state.failures,
        "since": state.since,
    }


def _message(message: Message, catalogue: Catalogue) -> Json:
    receipt = message.receipt
    return {
        "sequence": message.sequence,
        "slot": message.slot,
        "message_id": message.message_id,
        "stage": message.stage,
        "intended_at": message.intended_at,
        "sent_at": message.sent_at,
        "reply": receipt.reply if receipt else None,
        "server_message_id": (receipt.message_id or None) if receipt else None,
        "queue_id": (receipt.queue_id or None) if receipt else None,
        "lost_at": message.lost_at,
        "seen_at": message.seen_at,
        "arrived_at": message.arrived_at,
        "delivered_at": message.delivered_at,
        "delivery_seconds": message.delivery_seconds,
        "late": message.late,
        "folder": message.folder or None,
        "kind": message.kind,
        "deleted": message.deleted,
        "duplicates": message.duplicates,
        "authentication": dict(message.authentication),
        "bounce": _returned(message.bounce, catalogue),
        "delay_notice": _returned(message.delay_notice, catalogue),
        "contradictions": list(message.contradictions),
        "receiver_id": message.receiver_id,
        "junk_reason": message.junk_reason or None,
        "verdicts": [asdict(verdict) for verdict in message.verdicts],
        "exchange_seconds": message.exchange_seconds,
        "timeline": [asdict(event) for event in timeline(message)],
    }


def _returned(bounce: Returned | None, catalogue: Catalogue) -> Json | None:
    if bounce is None:
        return None
    named = ("recipient", "enhanced", "reply", "wrapped", "remote_mta", "reporting_mta", "folder")
    return {
        "seen_at": bounce.seen_at,
        "arrived_at": bounce.arrived_at,
        "code": bounce.code,
        "deleted": bounce.deleted,
        **{name: getattr(bounce, name) or None for name in named},
        "findings": findings_as_json(bounce.findings, catalogue),
    }
