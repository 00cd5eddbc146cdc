"""A Google that answers anything: no question raises, nothing unprintable is kept, and no wrong certainty follows."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpcheck.diagnosis.inspected.defects import defects
from smtpcheck.diagnosis.inspected.view import View
from smtpcheck.inspection.google import GoogleItem, GooglePath, GoogleReader
from smtpcheck.inspection.not_readable import NotReadableError
from smtpcheck.inspection.question import GOOGLE, Asked, Question, Subject
from smtpcheck.inspection.questions import QUESTIONS
from smtpcheck.model.inspection import Fact, FactName, Incident, Inspection
from smtpcheck.model.report import TokenError, TokenErrorKind
from smtpcheck.oauth.google_key_file import AccountIdentity
from smtpcheck.oauth.token_cache import TokenOrError

MAILBOX, KEY = "billing@contoso.example", "a1b2c3"
ACCOUNT = AccountIdentity("robot@project.iam.gserviceaccount.com", "104711", KEY)
NAME = f"projects/-/serviceAccounts/x/keys/{KEY}"
MEMBERS = (
    *("primaryEmail", "aliases", "nonEditableAliases", "suspended", "suspensionReason", "archived", "isMailboxSetup"),
    *("email", "disabled", "uniqueId", "keys", "name", "validBeforeTime", "validAfterTime", "disableReason"),
    *("enabled", "emailAddress", "sendAs", "sendAsEmail", "verificationStatus", "nextPageToken"),
    *("id", "begin", "end", "modified", "service_name", "affected_products", "title", "most_recent_update", "status"),
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=30)
    | st.sampled_from([MAILBOX, ACCOUNT.address, NAME, "Gmail", "pending", "true", "2026-11-27T02:30:00+00:00"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(MEMBERS), inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.sampled_from(MEMBERS), VALUES, max_size=8)
OF_GOOGLE = [question for question in QUESTIONS if question.of <= GOOGLE]


@dataclass(frozen=True)
class Liar(GoogleReader):
    """Answers every request with the same objects, and one for a token with the same error."""

    objects: list[Mapping[str, Any]] = field(default_factory=list)

    async def get(self, path: GooglePath, scope: str, **values: str) -> GoogleItem | None:
        del path, scope, values
        return GoogleItem(self.objects[0]) if self.objects else None

    async def get_of_mailbox(self, path: GooglePath, mailbox: str) -> GoogleItem | None:
        del path, mailbox
        return GoogleItem(self.objects[-1]) if self.objects else None

    async def public(self, path: GooglePath) -> tuple[GoogleItem, ...]:
        del path
        return tuple(GoogleItem(each) for each in self.objects)


def liar(objects: list[Mapping[str, Any]], error: str) -> Liar:
    async def refuse(_mailbox: str) -> TokenOrError:
        return TokenError(TokenErrorKind.OAUTH, 1.8e9, error=error)

    return Liar(cast(Any, None), "", cast(Any, refuse), refuse, objects)


@pytest.mark.parametrize("question", OF_GOOGLE, ids=lambda question: question.name)
@given(
    objects=st.lists(OBJECTS, max_size=3),
    error=st.sampled_from(["unauthorized_client", "invalid_grant", ""]) | st.text(max_size=20),
)
def test_any_answer_is_facts_or_not_readable(question: Question, objects: list[Mapping[str, Any]], error: str) -> None:
    subject = Subject("104711", MAILBOX, account=ACCOUNT, scope="https://mail.google.com/")
    try:
        answer = asyncio.run(cast(Any, question.ask(Asked(liar(objects, error), subject, Inspection(), 1.8e9))))
    except NotReadableError:
        return
    for each in answer:
        if isinstance(each, Incident):
            assert each.title.isprintable()
            continue
        assert each.name in question.gives
        values = each.value if isinstance(each.value, tuple) else (each.value,)
        assert all(value.isprintable() and len(value) <= 700 for value in values if isinstance(value, str))
        json.dumps(each.value)
    facts = {each.name: each for each in answer if isinstance(each, Fact)}
    defects(View(Inspection(tuple(facts.values())), MAILBOX, 1.8e9))
    if FactName.USER_SUSPENDED in facts:  # never of somebody else
        user = objects[0]
        named = [user.get("primaryEmail"), user.get("aliases"), user.get("nonEditableAliases")]
        assert MAILBOX in json.dumps(named).casefold()
    if FactName.SERVICE_ACCOUNT_ENABLED in facts:
        assert str(objects[0].get("email")).casefold() == ACCOUNT.address
    if FactName.DELEGATED in facts:
        assert error in {"unauthorized_client", "access_denied"}
