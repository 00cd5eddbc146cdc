"""A run as spans: when each phase was, what it bears, and what it never bears."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from smtpcheck.model.check import Expect, Phase
from smtpcheck.model.report import Attempt, Fault, FaultKind, Outcome, Report, Step, TlsFacts
from smtpcheck.output.tracing.spans import spans_of
from tests.output.metrics.test_metrics import CHECK
from tests.output.test_log_fields import MARK, NO_TOKEN, REFUSED

GOOD = Report(
    "billing",
    1_700_000_000.0,
    0.75,
    Outcome.OK,
    (
        Step(Phase.TOKEN, 0.0, 0.25),
        Step(Phase.CONNECT, 0.25, 0.125),
        Step(Phase.AUTH, 0.375, 0.375),
    ),
    tls=TlsFacts("TLSv1.3", "TLS_AES_256_GCM_SHA384", None),
    attempts=(Attempt("192.0.2.1", 4, None),),
    waited=2.0,
)


def test_each_phase_is_where_it_was_and_the_wait_for_a_place_comes_after_the_token() -> None:
    at = GOOD.started_at
    assert [(span.name, span.start - at, span.end - at) for span in spans_of(CHECK, GOOD)] == [
        ("smtpcheck run", 0.0, 2.75),
        ("token", 0.0, 0.25),
        ("connect", 2.25, 2.375),
        ("auth", 2.375, 2.75),
    ]


def test_the_run_bears_what_it_is_found_by() -> None:
    root, _, connect, _ = spans_of(CHECK, GOOD)
    assert root.attributes == {
        "smtpcheck.check": "billing",
        "smtpcheck.provider": "microsoft",
        "smtpcheck.depth": "auth",
        "smtpcheck.outcome": "ok",
        "smtpcheck.waited": 2.0,
        "smtpcheck.credential": "contoso",
        "smtpcheck.label.site": "north",
        "smtpcheck.label.team": "finance",
        "server.address": "smtp.office365.com",
        "server.port": 587,
        "tls.protocol.version": "1.3",
        "tls.cipher": "TLS_AES_256_GCM_SHA384",
    }
    assert connect.attributes["smtpcheck.addresses"] == ("192.0.2.1",)
    assert (root.error, root.is_client, connect.is_client) == ("", False, True)


def test_a_refusal_is_an_error_of_its_phase_and_of_the_run() -> None:
    root, banner, auth = spans_of(CHECK, REFUSED)
    assert (root.error, banner.error, auth.error) == ("user_mismatch", "", "reply")
    assert root.attributes["smtpcheck.server_id"] == MARK
    assert (auth.attributes["smtpcheck.smtp_code"], auth.attributes["smtpcheck.enhanced_code"]) == (535, "5.7.3")


def test_an_expected_refusal_is_no_error() -> None:
    report = structs.replace(REFUSED, outcome=Outcome.OK, cause=None, expect=Expect(Phase.AUTH, ("535",)))
    root, _, auth = spans_of(CHECK, report)
    assert (root.error, auth.error, auth.attributes["smtpcheck.smtp_code"]) == ("", "", 535)


def test_a_token_that_is_not_given_is_an_error_with_the_issuers_codes() -> None:
    root, token = spans_of(CHECK, NO_TOKEN)
    assert root.attributes["smtpcheck.issuer_correlation_id"] == "11111111-2222-3333-4444-555555555555"
    assert token.attributes["smtpcheck.oauth_codes"] == ("7000222",)
    assert token.error == "token"


def test_no_address_and_no_text_of_a_server_is_in_a_span() -> None:
    texts = str([spans_of(CHECK, report) for report in (GOOD, REFUSED, NO_TOKEN)])
    assert "@" not in texts
    assert "unsuccessful" not in texts
    assert "anything" not in texts


SECONDS = st.floats(0, 1_000)
STEPS = st.lists(st.tuples(st.sampled_from(Phase), SECONDS, SECONDS, st.sampled_from([None, *FaultKind])), max_size=14)


@given(STEPS, SECONDS, SECONDS, st.sampled_from(Outcome))
def test_every_phase_lies_within_its_run(
    steps: list[tuple[Phase, float, float, FaultKind | None]], seconds: float, waited: float, outcome: Outcome
) -> None:
    made = tuple(Step(phase, at, long, (), Fault(kind) if kind else None) for phase, at, long, kind in steps)
    report = structs.replace(GOOD, seconds=seconds, waited=waited, outcome=outcome, steps=made)
    root, *phases = spans_of(CHECK, report)
    assert [span.name for span in phases] == [step.phase.value for step in made]
    for span in phases:
        assert root.start <= span.start <= span.end <= root.end + 1e-6
    assert bool(root.error) == (outcome in {Outcome.CRITICAL, Outcome.UNKNOWN})
