"""Amazon SES: what the account's state says before any message, and requests that are signed as AWS describes it."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from smtpcheck.mail_api.call import Call
from smtpcheck.mail_api.ses import Ses
from smtpcheck.model.cause import Cause
from smtpcheck.model.report import ApiAnswer, FaultKind
from smtpcheck.sandbox.ses import SesAccount
from tests.worlds.mail_apis import Apis, mail_apis

KEY_ID, SECRET, REGION = "AKIA" + "A" * 16, "secret/access+key", "eu-central-1"
KEY = f"{KEY_ID}\n{SECRET}"


@pytest.fixture
async def apis(tmp_path: Path) -> AsyncIterator[Apis]:
    async with mail_apis((), tmp_path) as found:
        found.services.ses.add(SesAccount(KEY_ID, SECRET))
        yield found


def answer_of(made: Call) -> ApiAnswer:
    answer = made.steps[-1].exchanges[-1].answer
    assert answer is not None
    return answer


def account(apis: Apis) -> SesAccount:
    return apis.services.ses.accounts[KEY_ID]


async def test_the_state_of_the_account_is_read_and_nothing_is_sent(apis: Apis) -> None:
    made = await apis.prove(Ses(), KEY, region=REGION)
    assert made.steps[-1].fault is None
    assert made.facts == {
        "sending_enabled": 1.0,
        "production_access": 1.0,
        "enforcement_status": "HEALTHY",
        "quota_in_24_hours": 50_000.0,
        "rate_a_second": 14.0,
        "sent_in_24_hours": 12.0,
        "identity_verified": 1.0,
        "dkim_status": "SUCCESS",
    }
    assert {method for method, _ in apis.services.ses.asked} == {"GET"}
    assert not apis.services.ses.messages


async def test_an_address_that_is_verified_without_its_domain_may_send(apis: Apis) -> None:
    account(apis).identities = {"billing@contoso.example": True}
    made = await apis.prove(Ses(), KEY, region=REGION)
    assert (made.steps[-1].fault, made.facts["identity_verified"]) == (None, 1.0)


async def test_a_session_token_is_signed_with_the_rest(apis: Apis) -> None:
    assert (await apis.prove(Ses(), f"{KEY}\nsession+token==", region=REGION)).steps[-1].fault is None


async def test_a_message_goes_as_it_is(apis: Apis) -> None:
    made = await apis.send(Ses(), KEY, region=REGION)
    assert made.steps[-1].fault is None
    (message,) = apis.services.ses.messages
    assert (message.recipient, b"X-Smtpcheck-Id: abc123" in message.content) == ("probe@contoso.example", True)
    assert answer_of(made).message_id.startswith("0102")


def set_to(**values: object) -> Callable[[SesAccount], None]:
    def harm(one: SesAccount) -> None:
        for name, value in values.items():
            setattr(one, name, value)

    return harm


@pytest.mark.parametrize(
    ("harm", "cause"),
    [
        (set_to(sending=False, enforcement="SHUTDOWN"), Cause.ACCOUNT_BLOCKED_OUTBOUND_SPAM),
        (set_to(sending=False), Cause.ACCOUNT_BLOCKED_OUTBOUND_SPAM),
        (set_to(sent=50_000.0), Cause.QUOTA_EXHAUSTED),
        (set_to(identities={"contoso.example": False}), Cause.SENDER_UNVERIFIED),
        (set_to(identities={}), Cause.SENDER_UNVERIFIED),
    ],
)
async def test_what_the_state_says_against_sending_has_its_cause(
    apis: Apis, harm: Callable[[SesAccount], None], cause: Cause
) -> None:
    harm(account(apis))
    made = await apis.prove(Ses(), KEY, region=REGION)
    assert made.steps[-1].fault is not None
    assert (made.steps[-1].fault.kind, answer_of(made).causes[0][0]) == (FaultKind.REPLY, cause)


@pytest.mark.parametrize(
    ("key", "region", "error"),
    [
        (f"AKIA{'B' * 16}\n{SECRET}", REGION, "UnrecognizedClientException"),
        (f"{KEY_ID}\nanother", REGION, "SignatureDoesNotMatch"),
        (KEY, "us-east-1", "SignatureDoesNotMatch"),
    ],
)
async def test_a_key_that_is_refused_is_not_shown(apis: Apis, key: str, region: str, error: str) -> None:
    made = await apis.prove(Ses(), key, region=region)
    assert answer_of(made).error == error
    assert key.partition("\n")[2] not in str(made)


async def test_a_clock_that_is_off_is_named(apis: Apis) -> None:
    clock = apis.services.ses.clock
    apis.services.ses.clock = lambda: clock() + 900
    assert answer_of(await apis.prove(Ses(), KEY, region=REGION)).error == "RequestExpired"


async def test_a_right_that_is_missing_is_named(apis: Apis) -> None:
    account(apis).allowed = frozenset({"ses:SendEmail"})
    assert answer_of(await apis.prove(Ses(), KEY, region=REGION)).error == "AccessDeniedException"


async def test_in_the_sandbox_a_recipient_must_be_verified_too(apis: Apis) -> None:
    account(apis).production = False
    account(apis).identities = {"billing@contoso.example": True}
    assert (await apis.prove(Ses(), KEY, region=REGION)).facts["production_access"] == 0.0
    answer = answer_of(await apis.send(Ses(), KEY, region=REGION))
    assert (answer.status, answer.error) == (400, "MessageRejected")
    assert "probe@contoso.example" in answer.text
