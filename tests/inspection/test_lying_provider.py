"""A provider that answers anything: no question raises, nothing unprintable is kept, and no wrong certainty follows."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpcheck.diagnosis.inspected.defects import defects
from smtpcheck.diagnosis.inspected.view import View
from smtpcheck.inspection.exchange import Cmdlet, ExchangeReader
from smtpcheck.inspection.graph import GraphItem, GraphPath, GraphReader, Listing
from smtpcheck.inspection.not_readable import NotReadableError
from smtpcheck.inspection.question import MICROSOFT, Asked, MicrosoftReaders, Question, Subject
from smtpcheck.inspection.questions import QUESTIONS
from smtpcheck.inspection.questions.message_trace import TRACES
from smtpcheck.inspection.questions.quarantine import QUARANTINE
from smtpcheck.model.inspection import Announcement, Fact, FactName, Incident, Inspection
from smtpcheck.secrets.secret import Secret

CLIENT_ID = "229f932b-7d6c-407a-b4fa-f8380adb6410"
SID = Fact(FactName.REGISTERED_SID, "S-1-5-21-1-2-3-4", "Exchange", "Get-ServicePrincipal", 0.0)
KNOWN = Inspection(
    (
        SID,
        Fact(FactName.PRINCIPAL_ID, CLIENT_ID, "Entra", "GET", 0.0),
        Fact(FactName.REGISTERED_ID, CLIENT_ID, "Exchange", "Get-ServicePrincipal", 0.0),
    )
)
MEMBERS = (
    *("id", "appId", "AppId", "ObjectId", "accountEnabled", "value", "status", "service", "title", "displayName"),
    *("principalId", "resourceId", "scope", "appRoles", "passwordCredentials", "keyId", "hint", "endDateTime"),
    *("Trustee", "AccessControlType", "conditions"),
    *("User", "AccessRights", "Deny", "InScope", "RoleName", "SmtpClientAuthenticationDisabled", "isEnabled"),
    *("MessageId", "RecipientAddress", "QuarantineTypes", "PolicyType", "ReleaseStatus", "Expires"),
    *("lastModifiedDateTime", "actionRequiredByDateTime", "services"),
    *("proxyAddresses", "assignedPlans", "createdDateTime", "messageId", "recipientAddress", "WhenCreatedUTC"),
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=30) | st.sampled_from([CLIENT_ID, "true", "Enabled"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(MEMBERS), inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.sampled_from(MEMBERS), VALUES, max_size=8)


class Liar:
    """Answers every request with the same objects."""

    def __init__(self, objects: list[Mapping[str, Any]]) -> None:
        self._items = tuple(GraphItem(each) for each in objects)

    async def get(self, _path: GraphPath, **_values: str) -> GraphItem | None:
        return self._items[0] if self._items else None

    async def items(self, _path: GraphPath, **_values: str) -> tuple[GraphItem, ...]:
        return self._items

    async def listing(self, _path: GraphPath, **_values: str) -> Listing:
        return Listing(self._items, is_whole=True)

    async def run(self, _cmdlet: Cmdlet, _now: float, /, **_parameters: object) -> tuple[GraphItem, ...]:
        return self._items


OF_MICROSOFT = [question for question in (*QUESTIONS, *TRACES, QUARANTINE) if question.of == MICROSOFT]


@pytest.mark.parametrize("question", OF_MICROSOFT, ids=lambda question: question.name)
@given(objects=st.lists(OBJECTS, max_size=3))
def test_any_answer_is_facts_or_not_readable(question: Question, objects: list[Mapping[str, Any]]) -> None:
    liar = Liar(objects)
    about = Subject(CLIENT_ID, "billing@contoso.example", message_id="<a@b>", since=1e9, until=1e9)
    subject = replace(about, secret=Secret(CLIENT_ID))
    asked = Asked(MicrosoftReaders(cast(GraphReader, liar), cast(ExchangeReader, liar)), subject, KNOWN, 1.8e9)
    try:
        answer = asyncio.run(cast(Any, question.ask(asked)))
    except NotReadableError:
        return
    for each in answer:
        if isinstance(each, Incident | Announcement):
            assert each.title.isprintable()
            continue
        assert each.name in question.gives
        values = each.value if isinstance(each.value, tuple) else (each.value,)
        assert all(value.isprintable() and len(value) <= 700 for value in values if isinstance(value, str))
        json.dumps(each.value)
    facts = tuple(each for each in answer if isinstance(each, Fact))
    defects(View(Inspection((*KNOWN.facts, *facts)), subject.mailbox, 1.8e9))
