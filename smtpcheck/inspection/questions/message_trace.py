"""Where is a message: delivered, quarantined, filtered, failed, pending, or never seen?

Asked by Message-ID, in Graph where it exists, else of Exchange. A trace shows itself after five to ten minutes.
https://learn.microsoft.com/graph/api/messagetracingroot-list-messagetraces
"""

import re
from dataclasses import replace

from smtpcheck.inspection import members
from smtpcheck.inspection.exchange import Cmdlet
from smtpcheck.inspection.graph import GraphItem, GraphPath
from smtpcheck.inspection.plan import Option
from smtpcheck.inspection.question import About, Answer, Api, Asked, Needs, Question, exchange_needs
from smtpcheck.model.inspection import Fact, FactName
from smtpcheck.model.timestamp import rfc3339
from smtpcheck.oauth.clouds import Cloud

_BEFORE, _AFTER = 900.0, 86400.0
"""Seconds around the sending that are searched."""
STATUSES = {
    "delivered": "delivered",
    "quarantined": "quarantined",
    "filteredasspam": "filtered",
    "failed": "failed",
    "pending": "pending",
    "gettingstatus": "pending",
    "expanded": "expanded",
}
"""By the provider's word in lower case; anything else is `other`, and no row at all `unknown`."""
_CODE = re.compile(r"\b([45]\d\d)[ -]+([45]\.\d{1,3}\.\d{1,3})\b")


async def _ask_graph(asked: Asked) -> Answer:
    subject, by = asked.subject, GraphPath.TRACE
    times = {"since": rfc3339(subject.since - _BEFORE), "until": rfc3339(subject.until + _AFTER)}
    rows = await asked.graph.items(by, message_id=subject.message_id.strip("<>"), **times)
    ours = _ours(asked, rows, "messageId", "recipientAddress")
    status = _status(ours, "status")
    facts = [asked.fact(FactName.TRACE_STATUS, by, value=status)]
    identity = members.guid(ours.members, "id") if ours is not None else ""
    if status == "failed" and identity and ours is not None:
        recipient = members.text(ours.members, "recipientAddress", 320)
        details = await asked.graph.items(GraphPath.TRACE_DETAILS, trace_id=identity, recipient=recipient)
        facts += _reason(asked, GraphPath.TRACE_DETAILS, details, "description")
    return tuple(facts)


async def _ask_exchange(asked: Asked) -> Answer:
    subject, by = asked.subject, Cmdlet.MESSAGE_TRACE
    times = {"StartDate": rfc3339(subject.since - _BEFORE), "EndDate": rfc3339(min(subject.until + _AFTER, asked.now))}
    rows = await asked.exchange.run(by, asked.now, MessageId=f"<{subject.message_id.strip('<>')}>", **times)
    ours = _ours(asked, rows, "MessageId", "RecipientAddress")
    facts = [asked.fact(FactName.TRACE_STATUS, by, value=_status(ours, "Status"))]
    identity = members.guid(ours.members, "MessageTraceId") if ours is not None else ""
    if facts[0].value == "failed" and identity and ours is not None:
        recipient = members.text(ours.members, "RecipientAddress", 320)
        given = {"MessageTraceId": identity, "RecipientAddress": recipient}
        detail = Cmdlet.MESSAGE_TRACE_DETAIL
        facts += _reason(asked, detail, await asked.exchange.run(detail, asked.now, **given), "Detail")
    return tuple(facts)


def _ours(asked: Asked, rows: tuple[GraphItem, ...], message: str, recipient: str) -> GraphItem | None:
    """Return the row of the message, to its recipient where there are several; another message's is not looked at."""
    wanted = asked.subject.message_id.strip("<>").casefold()
    same = [row for row in rows if members.text(row.members, message, 500).strip("<>").casefold() == wanted]
    to = asked.subject.mailbox.casefold()
    return next((row for row in same if members.text(row.members, recipient, 320).casefold() == to), None) or next(
        iter(same), None
    )


def _status(row: GraphItem | None, key: str) -> str:
    return "unknown" if row is None else STATUSES.get(members.text(row.members, key, 40).lower(), "other")


def _reason(asked: Asked, by: GraphPath | Cmdlet, details: tuple[GraphItem, ...], key: str) -> list[Fact]:
    """Return the codes of the last refusal; its words name addresses and are not kept."""
    codes = [found for each in details for found in _CODE.findall(members.text(each.members, key, 1000))]
    return [asked.fact(FactName.TRACE_REASON, by, value=" ".join(codes[-1]))] if codes else []


MESSAGE_TRACE = Question(
    "message_trace",
    "what became of a message",
    About.MESSAGE,
    Needs(Api.GRAPH, ("ExchangeMessageTrace.Read.All",), clouds=frozenset({Cloud.GLOBAL}), requests=2),
    _ask_graph,
    (FactName.TRACE_STATUS, FactName.TRACE_REASON),
)
MESSAGE_TRACE_EXCHANGE = replace(
    MESSAGE_TRACE,
    name="message_trace_of_exchange",
    needs=exchange_needs(2),
    ask=_ask_exchange,
    option=Option.EXCHANGE,
)
TRACES = (MESSAGE_TRACE, MESSAGE_TRACE_EXCHANGE)
"""The ways to ask, the documented one first."""
