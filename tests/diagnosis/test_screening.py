"""Screening leaves out only what cannot match."""

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpcheck.diagnosis import evidence, masking, quoted, reading, remedy
from smtpcheck.diagnosis.catalogue import load
from smtpcheck.diagnosis.matching import holds, signals_of
from smtpcheck.diagnosis.observation import from_case, from_text
from smtpcheck.diagnosis.screening import Expression, Screen, pieces_of, words_of
from tests.diagnosis.corpus import cases, pasted

CATALOGUE = load()
TEXTS = [pasted(case) for case in cases("pasted")]
EXPRESSIONS = [expression for expression, _ in quoted.WRAPPERS] + [
    value for module in (quoted, reading, remedy) for value in vars(module).values() if isinstance(value, Expression)
]


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("connection refused", ("connection refused",)),
        ("relay(?:ing)? denied", (" denied",)),
        ("unknown|refused", ("unknown", "refused")),
        ("(?:unknown|refused)x", ("unknown", "refused")),
        ("(?:unknown|no)", ()),
        ("(?:unknown)?refused", ("refused",)),
        ("unknown{2,3}", ("unknow",)),
        ("[a-z]{5}", ()),
        (r"\bquota\b.{0,9}over", ("quota",)),
        ("(?!unknown)", ()),
    ],
)
def test_the_words_of_an_expression(pattern: str, words: tuple[str, ...]) -> None:
    assert words_of(pattern) == words


def test_items_pass_in_their_order_and_those_without_a_condition_always() -> None:
    screen = Screen([("third", ("refused",)), ("always", ()), ("code", {("code", "535")}), ("absent", ("unknown",))])
    assert list(screen.passing({*pieces_of("was refused"), ("code", "535")})) == ["third", "always", "code"]


def test_no_rule_that_matches_a_real_failure_is_left_out() -> None:
    seen = [from_text(text) for text in TEXTS] + [from_case(case) for case in cases("observed")]
    for signals in map(signals_of, seen):
        tried = list(CATALOGUE.screen.passing(signals.pieces))
        matching = [rule for rule in CATALOGUE.rules if holds(rule.conditions, signals)]
        assert [rule for rule in tried if holds(rule.conditions, signals)] == matching


def test_no_evidence_of_a_real_failure_is_left_out() -> None:
    for text in map(reading.plain_text, TEXTS):
        shown = {(word.table, word.value) for word in evidence.WORDS if word.pattern.search(text)}
        found = evidence.evidence_of(text)
        assert {value for table, value in shown if table == "kinds"} == found.kinds
        assert {value for table, value in shown if table == "servers"} == found.servers
        assert {value for table, value in shown if table == "issuers"} in (found.issuers, found.issuers - {"other"})


@pytest.mark.parametrize("expression", EXPRESSIONS, ids=lambda expression: expression.pattern.pattern[:40])
def test_an_expression_finds_what_its_pattern_finds(expression: Expression) -> None:
    for text in TEXTS:
        found, plain = expression.search(text), expression.pattern.search(text)
        assert (found and found.span()) == (plain and plain.span())


def _masked_by_every_step(text: str) -> str:
    for pattern, shown in masking._STEPS:
        text = pattern.sub(shown, text)
    return text


WORDS = (
    "secret",
    "PASSWORD",
    "Bearer",
    "authorization: Basic",
    "334 ",
    "auth login ",
    "client_",
    "token",
    "eyJ",
    "Ew",
    "\N{LATIN SMALL LETTER LONG S}ecret",
)
SIGNS = st.text(
    alphabet=string.ascii_letters + string.digits + "=:.~/_- \n\"'&\N{LATIN SMALL LETTER DOTLESS I}", max_size=40
)


@given(st.lists(st.one_of(st.sampled_from(WORDS), SIGNS), max_size=12).map("".join))
def test_masking_hides_what_each_of_its_steps_hides(text: str) -> None:
    assert masking.mask(text) == _masked_by_every_step(text)


def test_masking_hides_what_each_of_its_steps_hides_in_real_failures() -> None:
    assert [text for text in TEXTS if masking.mask(text) != _masked_by_every_step(text)] == []


def test_the_words_of_a_step_of_masking_are_in_small_letters() -> None:
    assert [word for words in masking._WORDS for word in words if re.search(r"[A-Z]", word)] == []
