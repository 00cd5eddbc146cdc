"""Azure Communication Services by REST: a proof that asks for nothing that exists, and messages that are sent once."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from smtpcheck.mail_api.acs import Acs
from smtpcheck.mail_api.call import Call
from smtpcheck.model.report import ApiAnswer, FaultKind
from tests.worlds.mail_apis import Apis, mail_apis

TOKEN = "eyJ.a-token.of-an-application"


@pytest.fixture
async def apis(tmp_path: Path) -> AsyncIterator[Apis]:
    claims = {TOKEN: {"appid": "app"}}
    async with mail_apis((), tmp_path, claims.get) as found:
        found.services.acs.permitted = {"app"}
        yield found


def answer_of(made: Call) -> ApiAnswer:
    answer = made.steps[-1].exchanges[-1].answer
    assert answer is not None
    return answer


async def test_a_good_token_is_proven_by_what_is_not_found(apis: Apis) -> None:
    made = await apis.prove(Acs(), TOKEN)
    assert (made.steps[-1].fault, answer_of(made).status) == (None, 404)
    assert not apis.services.acs.messages


async def test_a_good_key_signs(apis: Apis) -> None:
    made = await apis.prove(Acs(), apis.services.acs.key)
    assert (made.steps[-1].fault, answer_of(made).status) == (None, 404)


@pytest.mark.parametrize(("secret", "status", "error"), [("eyJ.another.token", 401, "Denied"), ("QUJD", 401, "Denied")])
async def test_a_wrong_credential_is_refused(apis: Apis, secret: str, status: int, error: str) -> None:
    made = await apis.prove(Acs(), secret)
    assert made.steps[-1].fault is not None
    assert (made.steps[-1].fault.kind, answer_of(made).status, answer_of(made).error) == (
        FaultKind.REPLY,
        status,
        error,
    )


async def test_a_role_that_is_missing_may_be_one_that_the_token_is_older_than(apis: Apis) -> None:
    apis.services.acs.permitted.clear()
    answer = answer_of(await apis.prove(Acs(), TOKEN))
    assert (answer.status, Acs().may_be_stale(answer)) == (403, True)


async def test_a_message_that_is_repeated_is_sent_once(apis: Apis) -> None:
    made = [await apis.send(Acs(), TOKEN) for _ in range(2)]
    assert [one.steps[-1].fault for one in made] == [None, None]
    assert len({answer_of(one).message_id for one in made}) == 1
    (message,) = apis.services.acs.messages
    assert b"X-Smtpcheck-Id: abc123" in message.content


async def test_a_domain_that_is_not_linked_is_named(apis: Apis) -> None:
    apis.services.acs.domains = {"another.example"}
    answer = answer_of(await apis.send(Acs(), TOKEN))
    assert (answer.status, answer.error) == (404, "DomainNotLinked")


async def test_a_throttled_request_says_how_long_to_wait(apis: Apis) -> None:
    apis.services.acs.throttled = 1
    answer = answer_of(await apis.prove(Acs(), TOKEN))
    assert (answer.status, answer.retry_after) == (429, 1.0)
