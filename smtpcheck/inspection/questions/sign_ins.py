"""What does Entra's sign-in log say of the application's last request for a token?

It says whether Entra or Exchange refuses, which policy, from which address, and which of the application's keys is in
use. Rows come late: that there is none proves nothing. Only the beta has rows of applications.
https://learn.microsoft.com/graph/api/resources/signin
"""

from collections.abc import Iterator, Mapping
from typing import Any

from smtpcheck.inspection import members
from smtpcheck.inspection.graph import GraphItem, GraphPath
from smtpcheck.inspection.plan import Option
from smtpcheck.inspection.question import About, Answer, Api, Asked, Needs, Question
from smtpcheck.model.inspection import Fact, FactName
from smtpcheck.model.timestamp import rfc3339

_AROUND = 120.0
"""Seconds before and after the time that a sign-in is looked for in."""
_DAY = 86400.0
_BY = GraphPath.SIGN_INS


async def _ask(asked: Asked) -> Answer:
    rows: tuple[GraphItem, ...] = ()
    correlation_id = asked.subject.correlation_id.lower()
    if members.is_guid(correlation_id):
        found = await asked.graph.items(GraphPath.SIGN_INS_BY_CORRELATION, correlation_id=correlation_id)
        rows = tuple(row for row in found if members.guid(row.members, "correlationId") == correlation_id)
    if not rows:
        since = asked.subject.since - _AROUND if asked.subject.since else asked.now - _DAY
        until = asked.subject.until + _AROUND if asked.subject.until else asked.now
        times = {"since": rfc3339(since), "until": rfc3339(until)}
        rows = await asked.graph.items(_BY, client_id=asked.subject.client_id, **times)
    ours = [row for row in rows if members.text(row.members, "appId").lower() == asked.subject.client_id.lower()]
    last = max(ours, key=lambda row: members.moment(row.members, "createdDateTime") or 0.0, default=None)
    return tuple(_facts(asked, last)) if last is not None else ()


def _facts(asked: Asked, row: GraphItem) -> Iterator[Fact]:
    sign_in = row.members
    status = sign_in.get("status")
    code = members.number(status, "errorCode") if isinstance(status, Mapping) else None
    if code is None or not isinstance(status, Mapping):
        return
    at = members.moment(sign_in, "createdDateTime", row.offset)
    yield asked.fact(FactName.SIGN_IN_CODE, _BY, value=str(code), changed_at=at)
    if reason := members.text(status, "failureReason"):
        yield asked.fact(FactName.SIGN_IN_REASON, _BY, value=reason, personal=True)
    if resource := members.text(sign_in, "resourceDisplayName", 100):
        yield asked.fact(FactName.SIGN_IN_RESOURCE, _BY, value=resource)
    if address := members.text(sign_in, "ipAddress", 60):
        yield asked.fact(FactName.SIGN_IN_ADDRESS, _BY, value=address, personal=True)
    if key := members.guid(sign_in, "servicePrincipalCredentialKeyId"):
        yield asked.fact(FactName.SIGN_IN_KEY, _BY, value=key)
    yield from _policies(asked, sign_in)


def _policies(asked: Asked, sign_in: Mapping[str, Any]) -> Iterator[Fact]:
    for policy in members.objects(sign_in, "appliedConditionalAccessPolicies"):
        if members.text(policy, "result", 40) == "failure" and (identity := members.guid(policy, "id")):
            name = members.text(policy, "displayName", 120)
            yield asked.fact(FactName.SIGN_IN_POLICY, _BY, value=name, item=identity, personal=True)


SIGN_INS = Question(
    "sign_ins",
    "the application's last sign-in",
    About.APPLICATION,
    Needs(Api.GRAPH, ("AuditLog.Read.All", "Policy.Read.All"), licence="Entra ID P1", requests=2),
    _ask,
    (
        *(FactName.SIGN_IN_CODE, FactName.SIGN_IN_REASON, FactName.SIGN_IN_RESOURCE, FactName.SIGN_IN_ADDRESS),
        *(FactName.SIGN_IN_KEY, FactName.SIGN_IN_POLICY),
    ),
    Option.SIGN_INS,
)
