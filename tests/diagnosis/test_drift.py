"""Drift: what has changed since the last reading, and what is kept of one."""

import json
from dataclasses import asdict, replace
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpcheck.diagnosis.drift import CHANGE_SECONDS, Warnings, causes_of, digest, expiring, next_reading
from smtpcheck.model.cause import Cause
from smtpcheck.model.inspection import Fact, FactName, Inspection, Value
from smtpcheck.model.inspection_reading import KeptReading, Note

NOW = 1_795_748_400.0  # 2026-11-27 03:00 UTC
DAY = 86400.0
MAILBOX, OTHER = "billing@contoso.example", "orders@contoso.example"
ALL = frozenset(FactName)
FAR = "2028-01-01T00:00:00Z"


def fact(name: FactName, value: Value, *, at: float = NOW, item: str = "", subject: str = MAILBOX) -> Fact:
    about = subject if name.is_of_mailbox else ""
    personal = name in {FactName.USER_NAME, FactName.MAILBOX_FORWARDS_TO, FactName.POLICY}
    return Fact(name, value, "Exchange", "Get-Something", at, about, item, personal=personal)


def read(before: KeptReading | None, *facts: Fact, at: float = NOW, answered: frozenset[FactName] = ALL) -> KeptReading:
    return next_reading(
        before, Inspection(facts), (MAILBOX, OTHER), answered=answered, app_only=True, now=at, every=DAY
    )


def said(reading: KeptReading, mailbox: str = MAILBOX, at: float = NOW + DAY) -> list[tuple[Cause, str]]:
    return [(each.cause, " ".join(each.evidence)) for each in Warnings(reading).of(mailbox, {}, at)]


HARMFUL = [
    (FactName.SMTP_AUTH_OFF_TENANT, False, True, "tenant smtp auth disabled was no"),
    (FactName.SECURITY_DEFAULTS, False, True, "tenant security defaults was no"),
    (FactName.MAILBOX_FORWARDS, False, True, "mailbox forwards was no"),
    (FactName.MAILBOX_KIND, "UserMailbox", "SharedMailbox", "mailbox type was UserMailbox"),
    (FactName.APPLICATION_ROLES, ("IMAP.AccessAsApp", "SMTP.SendAsApp"), ("SMTP.SendAsApp",), "IMAP.AccessAsApp"),
    (FactName.ASSIGNMENT_REQUIRED, False, True, "enterprise application assignment required was no"),
    (FactName.SEND_AS, True, False, "mailbox send as was yes"),
    (FactName.USER_LICENCE, "Enabled", "Suspended", "user exchange licence was Enabled"),
]


@pytest.mark.parametrize(("name", "before", "after", "words"), HARMFUL)
def test_a_change_that_may_harm_is_a_warning_with_both_values_and_times(
    name: FactName, before: Value, after: Value, words: str
) -> None:
    first = read(None, fact(name, before))
    second = read(first, fact(name, after, at=NOW + DAY), at=NOW + DAY)
    evidence = dict(said(second))[Cause.SETTING_CHANGED]
    assert words in evidence
    assert "2026-11-27 03:00 UTC" in evidence
    assert "2026-11-28 03:00 UTC" in evidence
    assert said(first) == [each for each in said(first) if each[0] is not Cause.SETTING_CHANGED]


@pytest.mark.parametrize(("name", "before", "after", "words"), HARMFUL[:3] + HARMFUL[4:])
def test_the_way_back_is_good_news(name: FactName, before: Value, after: Value, words: str) -> None:
    del words
    second = read(read(None, fact(name, after)), fact(name, before, at=NOW + DAY), at=NOW + DAY)
    assert Cause.SETTING_CHANGED not in dict(said(second))


def test_what_cannot_work_is_a_warning_as_long_as_a_reading_says_so() -> None:
    first = read(None, fact(FactName.SMTP_AUTH_OFF_MAILBOX, True))
    ((cause, evidence),) = said(first, at=NOW + 30 * DAY)
    assert cause is Cause.SMTP_AUTH_DISABLED_MAILBOX
    assert "SmtpClientAuthenticationDisabled is True for this mailbox" in evidence
    assert said(first, OTHER) == []
    second = read(first, fact(FactName.SMTP_AUTH_OFF_MAILBOX, False, at=NOW + DAY), at=NOW + DAY)
    assert said(second) == []


def test_a_change_is_reported_for_a_day() -> None:
    first = read(None, fact(FactName.SECURITY_DEFAULTS, False))
    second = read(first, fact(FactName.SECURITY_DEFAULTS, True), at=NOW + 3600)
    assert causes_of(second, NOW + 3600 + CHANGE_SECONDS - 1) == {Cause.SETTING_CHANGED}
    assert causes_of(second, NOW + 3600 + CHANGE_SECONDS) == frozenset()


def test_a_certificate_that_comes_or_goes_is_a_change() -> None:
    one, two = (fact(FactName.CERTIFICATE_EXPIRES, FAR, item=item) for item in "ab")
    added = read(read(None, one), one, two, at=NOW + DAY)
    assert "a new one was added: application certificate expires 2028" in dict(said(added))[Cause.SETTING_CHANGED]
    assert "not there on 2026-11-27 03:00 UTC" in dict(said(added))[Cause.SETTING_CHANGED]
    removed = read(read(None, one, two), one, at=NOW + DAY)
    assert "one was removed" in dict(said(removed))[Cause.SETTING_CHANGED]


def test_what_was_not_read_has_not_changed() -> None:
    """A permission that is taken from the inspector removes no secret of the application."""
    first = read(None, fact(FactName.SECRET_EXPIRES, FAR, item="a"), fact(FactName.SECURITY_DEFAULTS, False))
    blind = read(first, fact(FactName.SECURITY_DEFAULTS, False), answered=frozenset({FactName.SECURITY_DEFAULTS}))
    assert said(blind) == []
    again = read(blind, fact(FactName.SECRET_EXPIRES, FAR, item="a"), at=NOW + DAY)
    assert said(again) == []


def test_what_is_read_for_the_first_time_is_no_change() -> None:
    first = read(None, fact(FactName.SECURITY_DEFAULTS, True), answered=frozenset({FactName.SECURITY_DEFAULTS}))
    second = read(first, fact(FactName.SECRET_EXPIRES, FAR, item="a"), at=NOW + DAY)
    assert said(first) == said(second) == []


def test_a_mailbox_that_a_reading_did_not_come_to_is_not_forgotten() -> None:
    first = read(None, fact(FactName.MAILBOX_FORWARDS, False, subject=OTHER))
    between = next_reading(
        *(first, Inspection((fact(FactName.MAILBOX_FORWARDS, False),)), (MAILBOX,)),
        answered=ALL,
        app_only=True,
        now=NOW + DAY,
        every=DAY,
    )
    third = read(between, fact(FactName.MAILBOX_FORWARDS, True, subject=OTHER), at=NOW + 2 * DAY)
    assert Cause.SETTING_CHANGED in dict(said(third, OTHER, NOW + 2 * DAY))


@given(
    st.text(min_size=3, max_size=40),
    st.sampled_from([FactName.USER_NAME, FactName.MAILBOX_FORWARDS_TO, FactName.POLICY, FactName.SIGN_IN_ADDRESS]),
)
def test_what_is_kept_names_nobody(value: str, name: FactName) -> None:
    personal = replace(fact(name, f"{value}@contoso.example"), personal=True)
    kept = read(read(None, personal), replace(personal, value="x@contoso.example"))
    assert "contoso" not in json.dumps(asdict(kept), default=str)


def test_the_key_in_use_counts_where_it_is_known() -> None:
    soon = fact(FactName.SECRET_EXPIRES, "2026-12-01T00:00:00Z", item="a")
    later = fact(FactName.SECRET_EXPIRES, FAR, item="b")
    assert expiring(Inspection((soon, later)), 30 * DAY, NOW) is None
    in_use = fact(FactName.SIGN_IN_KEY, "a")
    found = expiring(Inspection((soon, later, in_use)), 30 * DAY, NOW)
    assert found == (Cause.SECRET_EXPIRING, "Exchange: the key in use expires on 2026-12-01 (key a)")


def test_without_a_next_one_the_last_certificate_is_warned_of() -> None:
    only = fact(FactName.CERTIFICATE_EXPIRES, "2026-12-01T00:00:00Z", item="a")
    found = expiring(Inspection((only,)), 30 * DAY, NOW)
    assert found is not None
    assert found[0] is Cause.CLIENT_CERTIFICATE_EXPIRING


def test_a_mailbox_is_warned_of_its_own_and_of_the_applications_and_in_one_order() -> None:
    application, own, of_other = (
        Note(cause, about, (cause.value,), NOW)
        for cause, about in (
            (Cause.SECRET_EXPIRING, ""),
            (Cause.MAILBOX_PERMISSION_MISSING, digest(MAILBOX)),
            (Cause.SMTP_AUTH_DISABLED_MAILBOX, digest(OTHER)),
        )
    )
    for notes in permutations((application, own, of_other)):
        causes = [each.cause for each in Warnings(KeptReading(NOW, notes=notes)).of(MAILBOX.upper(), {}, NOW)]
        assert causes == [each.cause for each in notes if each is not of_other]


def test_what_concerns_the_application_is_told_by_its_rule() -> None:
    """Alerts of it are the credential's, not those of each of its checks."""
    (warning,) = Warnings(read(None, fact(FactName.PRINCIPAL_ENABLED, False))).of(MAILBOX, {}, NOW)
    assert warning.rule == "inspection.application.app_disabled"
