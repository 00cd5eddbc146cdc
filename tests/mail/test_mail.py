"""The loopback's pure parts: marks, messages, receipts, headers, cadence."""

import string
from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import default

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpcheck.loopback import timing
from smtpcheck.loopback.finder import FinderError, FinderStep
from smtpcheck.loopback.message_state import Receipt, receipt
from smtpcheck.mail.authentication_results import METHODS, RESULTS, best, read_authentication
from smtpcheck.mail.correlation_id import LENGTH, CorrelationId, CorrelationIds, checksum
from smtpcheck.mail.headers import Headers, Hop, Leg, exchange_seconds, hops, legs
from smtpcheck.mail.message import loopback_message, loopback_message_id
from smtpcheck.model.report import Reply

CORRELATION_IDS = CorrelationIds(bytes(range(32)))
NOW = datetime(2026, 11, 25, 10, 0, tzinfo=UTC)

# ---------------------------------------------------------------------------------------------------------------------
# Marks


@given(st.text(), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_a_mark_says_what_was_put_into_it(check: str, sequence: int, at: int) -> None:
    correlation_id = CORRELATION_IDS.make(check, sequence, at)
    assert (len(correlation_id), set(correlation_id) <= set(string.ascii_lowercase + string.digits)) == (LENGTH, True)
    assert (
        CORRELATION_IDS.read(correlation_id)
        == CORRELATION_IDS.read(correlation_id.upper())
        == CorrelationId(checksum(check), sequence, at)
    )


@given(st.one_of(st.text(), st.text(string.ascii_lowercase + "234567", min_size=48, max_size=48).map("sc1".__add__)))
def test_what_somebody_else_made_is_not_ours(text: str) -> None:
    assert not CORRELATION_IDS.is_ours(text)
    assert not CORRELATION_IDS.is_ours(CorrelationIds(b"x" * 32).make("billing", 1, 1.0))


@given(st.integers(0, LENGTH - 1), st.sampled_from(string.ascii_lowercase + "234567"))
def test_a_mark_that_was_changed_is_not_ours(place: int, sign: str) -> None:
    correlation_id = CORRELATION_IDS.make("billing", 7, 1_800_000_000.0)
    changed = correlation_id[:place] + sign + correlation_id[place + 1 :]
    assert CORRELATION_IDS.is_ours(changed) == (changed == correlation_id)


def test_a_short_key_signs_nothing() -> None:
    with pytest.raises(ValueError):
        CorrelationIds(b"short")


# ---------------------------------------------------------------------------------------------------------------------
# The message


def message(number: int = 1, contact: str = "mail-team@example.org", sender: str = "billing@example.org") -> bytes:
    return loopback_message(
        sender=sender,
        recipient="probe@example.org",
        now=NOW,
        correlation_id=CORRELATION_IDS.make("billing", number, 1.0),
        number=number,
        check="billing",
        contact=contact,
        agent="smtpcheck/1.0",
    )


def test_the_message_says_what_it_is_and_asks_for_silence() -> None:
    correlation_id = CORRELATION_IDS.make("billing", 1, 1.0)
    read = message_from_bytes(message(), policy=default)
    assert dict(read.items()) == {
        "From": "billing@example.org",
        "To": "probe@example.org",
        "Date": "Wed, 25 Nov 2026 10:00:00 +0000",
        "Auto-Submitted": "auto-generated",
        "X-Auto-Response-Suppress": "All",
        "Importance": "low",
        "X-Priority": "5",
        "X-Mailer": "smtpcheck/1.0",
        "Subject": f"smtpcheck probe {correlation_id}",
        "Message-ID": loopback_message_id(correlation_id, "billing@example.org"),
        "X-Smtpcheck-Id": correlation_id,
        "Content-Type": 'text/plain; charset="utf-8"',
        "Content-Transfer-Encoding": "7bit",
        "MIME-Version": "1.0",
    }
    body = read.get_content()
    assert "number 1 of the check billing" in body
    assert "mail-team@example.org" in body


def test_no_line_of_the_message_is_long_or_beyond_ascii() -> None:
    lines = message(contact="Grüße an das Postteam, Zimmer 7").split(b"\r\n")
    assert not any(b"\n" in line or b"\r" in line or len(line) > 78 or not line.isascii() for line in lines)


def test_the_words_vary_from_message_to_message() -> None:
    bodies = {message_from_bytes(message(number), policy=default).get_content().splitlines()[0] for number in range(5)}
    assert len(bodies) == 5


def test_message_ids_differ() -> None:
    ids = {loopback_message_id(CORRELATION_IDS.make("billing", number, 1.0), "a@b.example") for number in range(100)}
    assert len(ids) == 100


# ---------------------------------------------------------------------------------------------------------------------
# Receipts


@pytest.mark.parametrize(
    ("text", "message_id", "queue_id"),
    [
        ("OK <abc.1@contoso.com> [Hostname=AM6PR01MB1.eurprd01.prod.outlook.com]", "<abc.1@contoso.com>", ""),
        ("<a@b.example> [InternalId=123, Hostname=mail.example] Queued mail for delivery", "<a@b.example>", "123"),
        ("Ok: queued as 4ZxYbK1n3Cz9rxL", "", "4ZxYbK1n3Cz9rxL"),
        ("OK id=1tF9xY-0001Ab-2C", "", "1tF9xY-0001Ab-2C"),
        ("OK  1764064800 5b1f17b1804b1-45b6f5.12 - gsmtp", "", "5b1f17b1804b1-45b6f5.12"),
        ("OK", "", ""),
    ],
)
def test_a_receipt_names_the_ids_of_the_server(text: str, message_id: str, queue_id: str) -> None:
    assert receipt(Reply(250, "2.0.0", (text,))) == Receipt(f"250 2.0.0 {text}", message_id, queue_id)


@given(st.text())
def test_nothing_in_a_receipt_ends_a_quoted_string(text: str) -> None:
    told = receipt(Reply(250, "", (text,)))
    assert not set("\"'\\\r\n") & set(told.message_id + told.queue_id)
    assert len(told.reply) <= 1000


# ---------------------------------------------------------------------------------------------------------------------
# Headers of a delivered message

WAY = (
    (
        "Received",
        "from mx (mx.example [192.0.2.1]; by nobody) by store.example with LMTP id 7; Wed, 25 Nov 2026 10:00:09 +0000",
    ),
    ("received", 'from "by me" by mx.example (by (nested) x) with ESMTPS; Wed, 25 Nov 2026 11:00:04 +0100 (CET)'),
    ("Subject", "by the way"),
    ("Received", "by submit.example; Wed, 25 Nov 2026 10:00:06 +0000"),
)
TEN = datetime(2026, 11, 25, 10, 0, tzinfo=UTC).timestamp()


def test_the_way_of_a_message_is_told_from_its_begin() -> None:
    way = hops(WAY)
    assert way == (Hop("submit.example", TEN + 6), Hop("mx.example", TEN + 4), Hop("store.example", TEN + 9))
    assert legs(way, TEN + 1.5) == (
        Leg("submit.example", 4.5, clocks_differ=False),
        Leg("mx.example", -2.0, clocks_differ=True),
        Leg("store.example", 5.0, clocks_differ=False),
    )


def test_a_hop_without_a_time_is_passed_over_in_time() -> None:
    way = (Hop("a", None), Hop("b", TEN + 2))
    assert legs(way, TEN) == (Leg("a", None, clocks_differ=False), Leg("b", 2.0, clocks_differ=False))
    assert legs(way, None)[1].seconds is None


def _authentication(headers: Headers, believed: str | None) -> tuple[tuple[str, str], ...]:
    return tuple(best(read_authentication(headers, believed).pairs))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("00:00:02.1234567", 2.1234567),
        ("01:02:03", 3723.0),
        ("1.00:00:01.5", 86401.5),
        ("soon", None),
        ("-00:00:01", None),
        ("99999999.00:00:00", None),
    ],
)
def test_exchange_counts_how_long_a_message_took(value: str, seconds: float | None) -> None:
    headers = (("Received", "by mx"), ("X-MS-Exchange-Transport-EndToEndLatency", value))
    assert exchange_seconds(headers) == (None if seconds is None else pytest.approx(seconds))
    assert exchange_seconds(headers[:1]) is None


ALL_PASS = {"spf": "pass", "dkim": "pass", "dmarc": "pass"}
OF_EXCHANGE = "spf=pass (sender IP is 192.0.2.1) smtp.mailfrom=x; dkim=pass (signature verified) header.d=x;dmarc=pass"


@pytest.mark.parametrize(
    ("headers", "believed", "expected"),
    [
        (["mx.google.com; dkim=pass header.i=@x; spf=pass smtp.mailfrom=a@x; dmarc=pass"], "mx.google.com", ALL_PASS),
        (["MX.example 1; spf=softfail (x; dkim=pass) smtp.mailfrom=a@x"], "mx.example", {"spf": "softfail"}),
        (["mx.example; dkim=fail; dkim=pass; dkim=none"], "mx.example", {"dkim": "pass"}),
        (["mx.example; none"], "mx.example", {}),
        (["forged.example; spf=pass", "mx.example; spf=fail", "mx.example; spf=pass"], "mx.example", {"spf": "fail"}),
        (["mx.example; spf=pass"], None, {}),
        (["mx.example; spf=pass"], "other.example", {}),
        ([OF_EXCHANGE], "", ALL_PASS),
        ([OF_EXCHANGE], "mx.example", {}),
        (["mx.example; spf=pass"], "", {}),
        (['mx.example; spf=pass reason="a; dkim=fail"; dmarc=best'], "mx.example", {"spf": "pass", "dmarc": "other"}),
        ([], "mx.example", {}),
    ],
)
def test_only_the_believed_server_says_what_was_authenticated(
    headers: list[str], believed: str | None, expected: dict[str, str]
) -> None:
    found = _authentication(tuple(("Authentication-Results", value) for value in headers), believed)
    assert dict(found) == expected


@given(st.lists(st.tuples(st.sampled_from(["Received", "Authentication-Results"]), st.text())), st.text())
def test_no_header_raises(headers: list[tuple[str, str]], believed: str) -> None:
    hops(tuple(headers))
    for method, result in _authentication(tuple(headers), believed):
        assert method in METHODS
        assert result in {*RESULTS, "other"}


@given(st.text(alphabet=string.ascii_letters + '()";=\\ .:+0123456789,'))
def test_no_punctuation_raises(value: str) -> None:
    assert len(hops((("Received", value),))) <= 1
    assert {method for method, _ in _authentication((("Authentication-Results", value),), "mx")} <= set(METHODS)


# ---------------------------------------------------------------------------------------------------------------------
# Cadence

_SHARES = st.floats(0, 0.999, allow_nan=False)
_EVERY = st.floats(1, 86400, allow_nan=False)
_TIMES = st.floats(1.7e9, 2.2e9, allow_nan=False)


@given(_SHARES, _EVERY, _TIMES)
def test_slots_follow_each_other(share: float, every: float, now: float) -> None:
    """The next one is never more than `every` away, and it is another one."""
    following = timing.next_slot(share, every, now)
    assert now - 1e-3 <= following <= now + every + 1e-3
    this, other = timing.slot(share, every, now), timing.slot(share, every, following + 0.01)
    assert this <= now + 1e-3
    assert other > this or every < 1.1


@given(st.floats(1, 20_000), st.floats(1, 20_000), st.floats(0, 90_000))
def test_a_message_is_looked_for_ever_later_and_then_no_more(first: float, second: float, age: float) -> None:
    warn_after, lost_after = sorted((first, second))
    at = timing.next_search(TEN, warn_after, lost_after, TEN + age)
    if at is None:
        assert age >= timing.SEARCH_UNTIL - timing.SEARCH_FOR_LOST_EVERY - 1
    else:
        assert TEN + age - 1e-6 < at <= TEN + age + max(timing.SEARCH_FOR_LOST_EVERY, timing.FIRST_SEARCH) + 1e-3
    ages = timing.search_ages(warn_after, lost_after)
    assert {warn_after, lost_after} <= set(ages)


def test_the_wait_after_failures_grows_and_is_bounded() -> None:
    refused, reset = FinderError(FinderStep.LOGIN, ""), FinderError(FinderStep.CONNECT, "")
    assert [timing.wait_after_failures(count, refused) for count in (1, 2, 3, 9)] == [30, 60, 120, 3600]
    assert [timing.wait_after_failures(count, reset) for count in (1, 2, 9)] == [5, 10, 300]
    assert timing.wait_after_failures(1, FinderError(FinderStep.SEARCH, "", retry_after=77.0)) == 77.0
