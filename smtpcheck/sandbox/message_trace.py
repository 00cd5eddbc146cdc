"""The message trace of Exchange Online, as Graph and as its own cmdlets show it.

Rule of this file: a row for each recipient; its Message-ID is that of the message, and what became of it is what the
mail store was told (`Delivery.trace`).
"""

import re
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.parser import BytesHeaderParser

from smtpcheck.sandbox.mail_store import MailStore, Trace

_MESSAGE_ID = re.compile(r"messageId eq '((?:[^']|'')*)'")


_QUARANTINE_SECONDS = 30 * 86400.0


class MessageTrace:
    """The trace of one mail store."""

    def __init__(self, store: MailStore) -> None:
        """Show what the store was sent."""
        self._store = store

    def graph_rows(self, text: str) -> list[Mapping[str, object]]:
        """Return the rows that a `$filter` of Graph selects."""
        match = _MESSAGE_ID.search(text)
        wanted = match[1].replace("''", "'") if match else ""
        return [
            {
                "id": _identity(trace),
                "messageId": f"<{wanted}>",
                "senderAddress": trace.sender,
                "recipientAddress": trace.recipient,
                "receivedDateTime": _time(trace.at),
                "subject": "-",
                "status": trace.status,
            }
            for trace in self._found(wanted)
        ]

    def exchange_rows(self, message_id: object) -> list[dict[str, object]]:
        """Return the rows of Get-MessageTraceV2."""
        return [
            {
                "MessageTraceId": _identity(trace),
                "MessageId": message_id,
                "SenderAddress": trace.sender,
                "RecipientAddress": trace.recipient,
                "Status": trace.status[:1].upper() + trace.status[1:],
            }
            for trace in self._found(str(message_id))
        ]

    def quarantine_rows(self, message_id: object) -> list[dict[str, object]]:
        """Return the rows of Get-QuarantineMessage."""
        return [
            {
                "Identity": f"{_identity(trace)}\\{_identity(trace)}",
                "MessageId": message_id,
                "SenderAddress": trace.sender,
                "RecipientAddress": [trace.recipient],
                "RecipientAddress@odata.type": "#Collection(String)",
                "QuarantineTypes": "HighConfPhish",
                "Type": "High Confidence Phish",
                "PolicyType": "HostedContentFilterPolicy",
                "PolicyName": "Standard Preset Security Policy",
                "ReleaseStatus": "NOTRELEASED",
                "Expires": _time(trace.at + _QUARANTINE_SECONDS),
            }
            for trace in self._found(str(message_id))
            if trace.status == "quarantined"
        ]

    def detail(self, identity: object) -> str:
        """Return why a delivery failed."""
        failed = any(_identity(trace) == identity and trace.status == "failed" for trace in self._store.traces)
        return "Reason: [{LED=550 5.1.10 RESOLVER.ADR.RecipientNotFound; not found};{MSG=}]" if failed else ""

    def _found(self, message_id: str) -> Iterator[Trace]:
        wanted = message_id.strip("<>")
        return (trace for trace in self._store.traces if _message_id(trace) == wanted)


def _message_id(trace: Trace) -> str:
    return str(BytesHeaderParser().parsebytes(trace.content).get("Message-ID", "")).strip("<>")


def _identity(trace: Trace) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{_message_id(trace)} {trace.recipient}"))


def _time(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"
