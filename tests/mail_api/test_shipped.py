"""The descriptions that are shipped, against the services of the sandbox: proof, message, and what refusals mean."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from smtpcheck.diagnosis.catalogue import load
from smtpcheck.diagnosis.explain import explain
from smtpcheck.diagnosis.observation import Observation
from smtpcheck.mail_api.call import Call
from smtpcheck.mail_api.described import Described
from smtpcheck.mail_api.description import ErrorRow
from smtpcheck.mail_api.shipped import SHIPPED, shipped
from smtpcheck.model.cause import Cause
from smtpcheck.model.check import Phase
from smtpcheck.model.report import FaultKind
from smtpcheck.sandbox.api_account import ApiAccount
from tests.worlds.mail_apis import Apis, mail_apis

PROVABLE = tuple(api for api in SHIPPED if shipped(api).proof)
CATALOGUE = load()


@pytest.fixture
async def apis(tmp_path: Path) -> AsyncIterator[Apis]:
    async with mail_apis(SHIPPED, tmp_path) as found:
        yield found


def described(api: str) -> Described:
    return Described(shipped(api))


def ended(made: Call) -> tuple[FaultKind | None, Cause | None]:
    """Return how the last request ended: the fault, and the cause that the description names."""
    step = made.steps[-1]
    answer = step.exchanges[-1].answer
    causes = answer.causes if answer else ()
    return step.fault.kind if step.fault else None, causes[0][0] if causes else None


DONE = (None, None)


def test_what_is_shipped() -> None:
    assert SHIPPED == ("aotsend", "brevo", "mailgun", "mailjet", "postmark", "resend", "sendgrid")


@pytest.mark.parametrize("api", PROVABLE)
async def test_a_good_key_is_proven_and_nothing_is_sent(apis: Apis, api: str) -> None:
    made = await apis.prove(described(api))
    assert ended(made) == DONE
    assert [step.phase for step in made.steps[:4]] == [Phase.DNS, Phase.CONNECT, Phase.TLS, Phase.REQUEST]
    assert list(apis.services.messages) == []


@pytest.mark.parametrize("api", PROVABLE)
async def test_a_proof_reaches_nobody_even_where_a_test_flag_is_ignored(apis: Apis, api: str) -> None:
    """The worst service delivers what it gets; then no address of ours is in it, and the check must stop."""
    apis.account(api).keeps_test_mode = False
    made = await apis.prove(described(api))
    assert {message.recipient.rpartition(".")[2] for message in apis.services.messages} <= {"invalid"}
    took = bool(apis.services.messages)
    assert (ended(made)[0] is FaultKind.ACCEPTED) == (took and api != "mailjet")


@pytest.mark.parametrize("api", PROVABLE)
async def test_a_wrong_key_is_refused_for_that_reason(apis: Apis, api: str) -> None:
    made = await apis.prove(described(api), "another-key\nanother")
    assert ended(made) == (FaultKind.REPLY, Cause.API_KEY_INVALID)
    assert "another" not in str(made)


@pytest.mark.parametrize("api", SHIPPED)
async def test_a_message_is_sent_once_with_its_id(apis: Apis, api: str) -> None:
    made = await apis.send(described(api))
    assert ended(made) == DONE
    (message,) = apis.services.messages
    assert message.recipient == "probe@contoso.example"
    answer = made.steps[-1].exchanges[-1].answer
    assert answer is not None
    assert bool(answer.message_id) is (api != "aotsend")
    assert (b"X-Smtpcheck-Id: abc123" in message.content) is shipped(api).send.carries_headers


async def test_a_repeated_message_with_the_same_key_is_one(apis: Apis) -> None:
    answers = [(await apis.send(described("resend"))).steps[-1].exchanges[-1].answer for _ in range(2)]
    assert len({answer.message_id for answer in answers if answer}) == 1
    assert len(apis.services.messages) == 1


def no_scope(account: ApiAccount) -> None:
    account.may_send = False


def no_credits(account: ApiAccount) -> None:
    account.credits = 0


def unverified(account: ApiAccount) -> None:
    account.verified = frozenset({"another.example"})


def in_sandbox(account: ApiAccount) -> None:
    account.in_sandbox = True


def unknown_address(account: ApiAccount) -> None:
    account.knows_address = False


def blocked(account: ApiAccount) -> None:
    account.blocked = True


def throttled(account: ApiAccount) -> None:
    account.throttled = 9


@pytest.mark.parametrize(
    ("api", "harm", "cause"),
    [
        ("sendgrid", no_scope, Cause.API_KEY_NOT_PERMITTED),
        ("sendgrid", no_credits, Cause.QUOTA_EXHAUSTED),
        ("sendgrid", unverified, Cause.SENDER_UNVERIFIED),
        ("mailgun", in_sandbox, Cause.API_ACCOUNT_IN_SANDBOX),
        ("mailgun", unverified, Cause.API_REGION_MISMATCH),
        ("postmark", unverified, Cause.SENDER_UNVERIFIED),
        ("postmark", no_credits, Cause.QUOTA_EXHAUSTED),
        ("postmark", blocked, Cause.ACCOUNT_BLOCKED_OUTBOUND_SPAM),
        ("resend", unverified, Cause.SENDER_UNVERIFIED),
        ("resend", no_credits, Cause.QUOTA_EXHAUSTED),
        ("brevo", unknown_address, Cause.CLIENT_ADDRESS_NOT_ALLOWED),
        ("brevo", no_credits, Cause.QUOTA_EXHAUSTED),
        ("brevo", unverified, Cause.SENDER_UNVERIFIED),
        ("mailjet", unverified, Cause.SENDER_UNVERIFIED),
        ("aotsend", no_credits, Cause.QUOTA_EXHAUSTED),
        *((api, throttled, Cause.THROTTLED_RATE) for api in SHIPPED if api != "aotsend"),
    ],
)
async def test_a_refusal_to_send_has_its_cause(
    apis: Apis, api: str, harm: Callable[[ApiAccount], None], cause: Cause
) -> None:
    harm(apis.account(api))
    assert ended(await apis.send(described(api))) == (FaultKind.REPLY, cause)
    assert not apis.services.messages


async def test_the_key_without_the_right_to_send_is_seen_without_sending(apis: Apis) -> None:
    no_scope(apis.account("sendgrid"))
    assert ended(await apis.prove(described("sendgrid"))) == (FaultKind.REPLY, Cause.API_KEY_NOT_PERMITTED)


async def test_a_key_that_may_only_send_is_proven_by_its_refusal(apis: Apis) -> None:
    apis.account("resend").may_read = False
    made = await apis.prove(described("resend"))
    answer = made.steps[-1].exchanges[-1].answer
    assert answer is not None
    assert (made.steps[-1].fault, answer.error) == (None, "restricted_api_key")


async def test_the_address_that_is_not_on_the_list_is_seen_without_sending(apis: Apis) -> None:
    unknown_address(apis.account("brevo"))
    assert ended(await apis.prove(described("brevo"))) == (FaultKind.REPLY, Cause.CLIENT_ADDRESS_NOT_ALLOWED)


# -- the table and the rules of explain say the same ------------------------------------------------------------------

ROWS = [
    (api, row)
    for api in SHIPPED
    for row in shipped(api).errors
    if row.code or row.text or set(row.status) & {401, 402, 429}
]


def _observed(api: str, row: ErrorRow) -> Observation:
    host = shipped(api).send.path
    first: dict[str, Any] = {"http_status": row.status[0]} if row.status else {}
    label = '"ErrorCode": ' if api == "postmark" else ""
    words = (f"{label}{row.code[0]}" if row.code else "", row.text[0] if row.text else "")
    address = next(iter(shipped(api).regions.values())).removeprefix("https://")
    return Observation(phase="request", host=address, exception=" ".join((host, *filter(None, words))), **first)


@pytest.mark.parametrize(("api", "row"), ROWS, ids=lambda value: value if isinstance(value, str) else "")
def test_explain_names_the_cause_that_the_table_names(api: str, row: ErrorRow) -> None:
    causes = [finding.cause for finding in explain(_observed(api, row), CATALOGUE)]
    assert row.cause in causes[:2]
