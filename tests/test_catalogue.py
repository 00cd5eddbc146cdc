"""The catalogue is well formed: reachable, unshadowed, cited, linear."""

import re
from itertools import combinations

import pytest

from smtpcheck.cause import Cause
from smtpcheck.diagnosis.catalogue import load
from smtpcheck.diagnosis.explain import Catalogue, Explanation, Rule, describe
from smtpcheck.model import FaultKind, Finding, TokenErrorKind

# Named by a check's judgement, by the search for a message or by the agent, not by the reading of a failure.
ELSEWHERE = {
    Cause.FINDER_FAILED,
    Cause.MAIL_LOST,
    Cause.MAIL_LATE,
    Cause.MAIL_IN_JUNK,
    Cause.UNEXPECTED_SUCCESS,
    Cause.CERTIFICATE_EXPIRING,
    Cause.SECRET_EXPIRING,
    Cause.CLIENT_CERTIFICATE_EXPIRING,
    Cause.REFRESH_TOKEN_EXPIRING,
    Cause.FRESH_TOKEN_FAILING,
    Cause.SLOW,
    Cause.AGENT_CUT_OFF,
    Cause.INTERNAL,
}


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load()


def test_every_cause_is_named_by_a_rule(catalogue: Catalogue) -> None:
    named = {cause for rule in catalogue.rules for cause in (rule.cause, *(cause for cause, _ in rule.also))}
    assert set(Cause) - named == ELSEWHERE


def test_rule_ids_are_unique(catalogue: Catalogue) -> None:
    ids = [rule.id for rule in catalogue.rules]
    assert sorted(set(ids)) == sorted(ids)


def _conditions(rule: Rule) -> tuple[object, ...]:
    pattern = rule.text.pattern if rule.text else None
    return rule.sets, rule.enhanced, rule.aadsts, pattern, rule.seen, rule.not_seen


def test_no_rule_repeats_the_conditions_of_another(catalogue: Catalogue) -> None:
    pairs = combinations(catalogue.rules, 2)
    assert [(a.id, b.id) for a, b in pairs if _conditions(a) == _conditions(b)] == []


def test_every_reference_is_a_url_or_an_rfc(catalogue: Catalogue) -> None:
    references = {*(entry.reference for entry in catalogue.entries.values())}
    references |= {rule.reference for rule in catalogue.rules if rule.reference}
    assert [text for text in references if not re.fullmatch(r"https://\S+|RFC \d+", text)] == []


def test_no_pattern_repeats_without_bound(catalogue: Catalogue) -> None:
    unbounded = re.compile(r"(?<!\\)[*+]|\{\d*,\}")
    assert [rule.id for rule in catalogue.rules if rule.text and unbounded.search(rule.text.pattern)] == []


def test_patterns_are_lower_case_as_the_text_is(catalogue: Catalogue) -> None:
    patterns = [rule.text.pattern for rule in catalogue.rules if rule.text]
    assert [pattern for pattern in patterns if pattern != pattern.lower()] == []


def test_every_fault_and_token_error_has_a_rule(catalogue: Catalogue) -> None:
    known = {
        value for rule in catalogue.rules for name, values in rule.sets if name in {"fault", "kind"} for value in values
    }
    assert {*FaultKind, *TokenErrorKind} - known == {FaultKind.TOKEN}


def test_every_cause_can_be_described(catalogue: Catalogue) -> None:
    told = [describe(Finding(cause, 1.0, f"judge.{cause}"), catalogue) for cause in Cause]
    assert [item.cause for item in told if not (item.summary and item.remedy and item.tell_apart)] == []


def test_a_remedy_is_filled_with_what_is_known(catalogue: Catalogue) -> None:
    finding = Finding(Cause.SMTP_AUTH_DISABLED_MAILBOX, 0.9, "none", ("seen",), {"mailbox": "a@example.org"})
    told = describe(finding, catalogue)
    assert told == Explanation(
        Cause.SMTP_AUTH_DISABLED_MAILBOX,
        0.9,
        "SMTP AUTH is off for the mailbox.",
        ("seen",),
        (
            (
                "Enable it for this mailbox alone: Set-CASMailbox -Identity a@example.org"
                " -SmtpClientAuthenticationDisabled $false"
            ),
            "Look at the result: Get-CASMailbox -Identity a@example.org | Format-List SmtpClientAuthenticationDisabled",
        ),
        catalogue.entries[finding.cause].tell_apart,
        catalogue.entries[finding.cause].reference,
        retry=False,
    )


def test_what_is_not_known_is_a_placeholder(catalogue: Catalogue) -> None:
    told = describe(Finding(Cause.SECRET_EXPIRED, 0.9, "none"), catalogue)
    assert "<client id> (tenant <tenant id>)" in told.remedy[0]
