"""How often a mail API is asked about one mailbox."""

import asyncio

import pytest

from smtpcheck.limits.api_concurrency import AT_ONCE, LEAST_SPACING, PROOF_SPACING, ApiConcurrency, next_proof_at
from smtpcheck.model.check import Phase, Via
from smtpcheck.model.report import Outcome, Step
from tests.worlds.samples import NOW, SECONDS, check, report

GRAPH = "graph.microsoft.com"


async def test_requests_of_one_mailbox_are_limited_and_others_do_not_wait() -> None:
    apis: ApiConcurrency[str] = ApiConcurrency()
    most = running = 0

    async def ask(mailbox: str) -> None:
        nonlocal most, running
        async with apis.slot(GRAPH, mailbox):
            running += mailbox.lower() == "anna@example.org"
            most = max(most, running)
            await asyncio.sleep(0)
            running -= mailbox.lower() == "anna@example.org"

    await asyncio.gather(*(ask(each) for each in ["anna@example.org", "Anna@Example.org"] * 5))
    assert most == AT_ONCE
    assert apis._slots == {}


async def test_a_request_that_is_cancelled_leaves_its_place() -> None:
    apis: ApiConcurrency[str] = ApiConcurrency()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01), apis.slot(GRAPH, "anna@example.org"):
            await asyncio.sleep(60)
    assert apis._slots == {}


def test_the_last_proof_stands_until_the_next_may_be_made() -> None:
    apis: ApiConcurrency[str] = ApiConcurrency()
    apis.keep_proof(GRAPH, "anna@example.org", "proven", 100.0)
    assert apis.last_proof("Graph.Microsoft.com", "Anna@example.org", 160.0) == (60.0, "proven")
    assert apis.last_proof(GRAPH, "bert@example.org", 160.0) is None
    assert apis.last_proof("gmail.googleapis.com", "anna@example.org", 160.0) is None
    assert apis.last_proof(GRAPH, "anna@example.org", 100.0 + LEAST_SPACING) is None


def test_old_proofs_are_forgotten() -> None:
    apis: ApiConcurrency[str] = ApiConcurrency()
    for number in range(5):
        apis.keep_proof(GRAPH, f"{number}@example.org", "proven", number * PROOF_SPACING)
    assert len(apis._proofs) == 1


def test_an_old_proof_is_forgotten_whoever_was_proven_again_after_it() -> None:
    apis = ApiConcurrency[str]()
    for mailbox, at in (("anna", 0.0), ("bert", 1.0), ("anna", PROOF_SPACING), ("carl", PROOF_SPACING + 1.0)):
        apis.keep_proof(GRAPH, f"{mailbox}@example.org", "proven", at)
    assert [mailbox for _, mailbox in apis._proofs] == ["anna@example.org", "carl@example.org"]


def test_after_a_request_the_next_one_waits_and_after_a_failure_before_it_none_does() -> None:
    by_api = check(via=Via("graph", "https://graph.microsoft.com"))
    asked = report(Outcome.CRITICAL, Step(Phase.REQUEST, 0.0, 0.1))
    assert next_proof_at(by_api, asked) == NOW + SECONDS + LEAST_SPACING
    assert next_proof_at(by_api, report(Outcome.CRITICAL, Step(Phase.TLS, 0.0, 0.1))) is None
    assert next_proof_at(check(), asked) is None
