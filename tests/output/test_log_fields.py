"""What a run is known by in the log: cause, phase, codes, time, and the ids of those who were asked."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from smtpcheck.model.cause import Cause
from smtpcheck.model.check import Expect, Phase
from smtpcheck.model.report import Exchange, Fault, FaultKind, Outcome, Reply, Report, Step, TokenError, TokenErrorKind
from smtpcheck.output.log_fields import facts_of, server_id
from tests.worlds.samples import failed

BANNER = "AM0PR01CA0123.outlook.office365.com Microsoft ESMTP MAIL Service ready at Tue, 12 Sep 2023 20:59:56 +0000"
MARK = "AM6PR0001MB0001.eurprd05.prod.outlook.com 2023-09-12T20:59:57.214Z 08DBB276B7E699C4"


def said(*replies: tuple[int, str]) -> Report:
    """Return a run in which the server said this, last of all to AUTH."""
    steps = [Step(Phase.AUTH, 0.1, 0.1, (Exchange("AUTH", Reply(code, "", (text,))),)) for code, text in replies]
    return Report("billing", 1.0, 0.25, Outcome.OK, tuple(steps))


REFUSED = structs.replace(
    said((220, BANNER + " [08DBB276B7E699C4]"), (535, "Authentication unsuccessful")),
    outcome=Outcome.CRITICAL,
    cause=Cause.USER_MISMATCH,
    steps=(
        Step(Phase.BANNER, 0.0, 0.1, (Exchange("", Reply(220, "", (BANNER + " [08DBB276B7E699C4]",))),)),
        Step(
            Phase.AUTH,
            0.1,
            0.1,
            (Exchange("AUTH XOAUTH2 ...", Reply(535, "5.7.3", (f"Authentication unsuccessful [{MARK}]",))),),
            Fault(FaultKind.REPLY),
        ),
    ),
)
NO_TOKEN = failed(
    FaultKind.TOKEN,
    Phase.TOKEN,
    cause=Cause.SECRET_EXPIRED,
    seconds=0.25,
    token_error=TokenError(
        TokenErrorKind.OAUTH,
        at=1.0,
        error="invalid_client",
        error_codes=(7000222,),
        description="a text that may hold anything",
        correlation_id="11111111-2222-3333-4444-555555555555",
        trace_id="66666666-7777-8888-9999-000000000000",
    ),
)


def test_a_refusal_has_cause_phase_codes_and_the_servers_id() -> None:
    assert facts_of(REFUSED) == {
        "outcome": "critical",
        "seconds": 0.25,
        "cause": "user_mismatch",
        "phase": "auth",
        "smtp_code": 535,
        "enhanced_code": "5.7.3",
        "server_id": MARK,
    }


def test_an_expected_refusal_is_told_as_one() -> None:
    facts = facts_of(structs.replace(REFUSED, outcome=Outcome.OK, cause=None, expect=Expect(Phase.AUTH, ("535",))))
    assert (facts["outcome"], facts["phase"], facts["refused_as_expected"]) == ("ok", "auth", True)
    assert "cause" not in facts


def test_a_token_that_is_not_given_has_the_issuers_codes_and_ids_and_no_text() -> None:
    assert facts_of(NO_TOKEN) == {
        "outcome": "critical",
        "seconds": 0.25,
        "cause": "secret_expired",
        "phase": "token",
        "oauth_error": "invalid_client",
        "oauth_codes": (7000222,),
        "issuer_correlation_id": "11111111-2222-3333-4444-555555555555",
        "issuer_trace_id": "66666666-7777-8888-9999-000000000000",
    }


def test_a_run_that_is_fine_says_little() -> None:
    assert facts_of(said((220, "ready"))) == {"outcome": "ok", "seconds": 0.25}


@pytest.mark.parametrize(
    ("replies", "expected"),
    [
        ([], ""),
        ([(220, BANNER)], ""),
        ([(220, f"{BANNER} [08DBB276B7E699C4]")], "08DBB276B7E699C4"),
        ([(220, f"{BANNER} [08DBB276B7E699C4]"), (235, "2.7.0 ok")], "08DBB276B7E699C4"),
        ([(220, f"{BANNER} [08DBB276B7E699C4]"), (535, f"no [{MARK}]"), (221, "bye")], MARK),
        ([(535, f"no [{MARK}]"), (535, f"no [{MARK.replace('57.214', '59.001')}]")], MARK.replace("57.214", "59.001")),
        ([(250, "AM0.outlook.office365.com Hello [192.0.2.1]")], ""),
        ([(535, f"no [{MARK}] more")], ""),
        ([(535, f"no [billing@example.org {MARK}]")], ""),
        ([(220, "smtp.gmail.com ESMTP 5b1f17b1804b1-4a52sm9.1 - gsmtp")], "5b1f17b1804b1-4a52sm9.1"),
    ],
)
def test_the_servers_id_is_the_last_that_it_sent(replies: list[tuple[int, str]], expected: str) -> None:
    assert server_id(said(*replies)) == expected


@given(st.lists(st.text(max_size=200), max_size=5))
def test_no_reply_breaks_it_and_no_address_comes_through(texts: list[str]) -> None:
    found = server_id(said(*((535, f"{text} [anna@example.org]") for text in texts)))
    assert "@" not in found
