"""How many messages may be sent: rolling hours and days, for a mailbox and for its tenant."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpcheck.limits.send_limits import DAY, HOUR, MAILBOX, TENANT, Caps, Limits, Shares, scopes
from smtpcheck.model.shard import Sender

NOW = 1_700_000_000.0


def sent(*times: float, mailbox: str = "billing@example.org", tenant: str = "example.org") -> Caps:
    """Return caps after messages at these times."""
    caps = Caps()
    for at in times:
        caps.count(mailbox, tenant, at)
    return caps


def test_a_mailbox_waits_until_its_hour_or_its_day_has_room_again() -> None:
    limits = Limits(per_hour=2, per_day=3)
    caps = sent(NOW, NOW + 10)
    assert caps.until("billing@example.org", "example.org", NOW + 20, limits) == NOW + HOUR
    assert caps.until("billing@example.org", "example.org", NOW + HOUR, limits) is None
    caps.count("billing@example.org", "example.org", NOW + HOUR)
    assert caps.until("Billing@Example.org", "EXAMPLE.org", NOW + HOUR + 20, limits) == NOW + DAY
    assert caps.until("billing@example.org", "example.org", NOW + DAY, limits) is None
    assert caps.until("orders@example.org", "example.org", NOW + 20, limits) is None


def test_the_mailboxes_of_a_tenant_share_its_cap() -> None:
    caps = Caps()
    for number in range(TENANT.per_hour):
        caps.count(f"{number}@example.org", "example.org", NOW + number)
    assert caps.until("another@example.org", "example.org", NOW + 200) == NOW + HOUR
    assert caps.until("another@example.net", "example.net", NOW + 200) is None


def test_what_was_taken_back_does_not_count() -> None:
    caps = sent(*[NOW] * MAILBOX.per_hour)
    assert caps.until("billing@example.org", "example.org", NOW) == NOW + HOUR
    caps.uncount("billing@example.org", "example.org", NOW)
    assert caps.until("billing@example.org", "example.org", NOW) is None


def test_what_is_a_day_old_is_forgotten() -> None:
    caps = sent(NOW)
    assert caps.until("billing@example.org", "example.org", NOW + DAY) is None
    assert caps._sent == {}


@pytest.mark.parametrize(("span", "most"), [(HOUR, 4), (DAY, 9)])
@given(gaps=st.lists(st.floats(0, 8000), max_size=80))
def test_no_window_ever_holds_more_than_its_limit(span: float, most: int, gaps: list[float]) -> None:
    """Whoever asks before each message, and sends only if he may, stays within both limits at every moment."""
    caps, now, times = Caps(), NOW, []
    for gap in gaps:
        now += gap
        until = caps.until("a@example.org", "example.org", now, Limits(per_hour=4, per_day=9))
        if until is None:
            caps.count("a@example.org", "example.org", now)
            times.append(now)
        else:
            assert now < until <= now + DAY
    assert all(sum(begin <= at < begin + span for at in times) <= most for begin in times)


# -- among several agents ---------------------------------------------------------------------------------------------

BILLING = Sender(1, "Billing@example.org", "example.org")
SHARDS = st.integers(1, 20)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 19)), max_size=40), SHARDS)
def test_the_shares_of_all_shards_are_the_cap(checks: list[tuple[int, int]], shards: int) -> None:
    """A shard without a check of the mailbox has none of its cap, and no cap is wasted on it."""
    senders = [Sender(number % shards, f"{mailbox}@a.org", "a.org") for mailbox, number in checks]
    every = [Shares(senders, number) for number in range(shards)]
    for sender in senders:
        for scope, limit in zip(scopes(sender.mailbox, sender.tenant), (12, 120), strict=True):
            drawing = {each.shard for each in senders if scope in scopes(each.mailbox, each.tenant)}
            parts = [each.share(scope, limit) for each in every]
            assert sum(parts) == limit
            assert sum(part for number, part in enumerate(parts) if number not in drawing) == 0


def test_every_check_has_the_same_part_of_a_cap() -> None:
    senders = [Sender(number, "a@example.org", "example.org") for number in (0, 0, 0, 1, 2)]
    assert [Shares(senders, number).share(("mailbox", "a@example.org"), 12) for number in range(3)] == [8, 2, 2]


def test_a_new_shard_sends_on_its_first_day_and_no_more_than_its_share() -> None:
    caps = Caps()
    caps.divide(Shares([BILLING, BILLING._replace(shard=0)], 1))
    for number in range(MAILBOX.per_hour // 2):
        assert caps.until(BILLING.mailbox, BILLING.tenant, NOW + number) is None
        caps.count(BILLING.mailbox, BILLING.tenant, NOW + number)
    assert caps.until(BILLING.mailbox, BILLING.tenant, NOW + 10) == NOW + HOUR
    caps.divide(None)
    assert caps.until(BILLING.mailbox, BILLING.tenant, NOW + 10) is None


def test_who_does_not_run_a_check_may_not_send_for_it() -> None:
    caps = Caps()
    caps.divide(Shares([BILLING], 0))
    assert caps.until(BILLING.mailbox, BILLING.tenant, NOW) == NOW + DAY


@pytest.mark.parametrize("step", [-30 * DAY, -HOUR, HOUR, 30 * DAY])
def test_messages_are_as_old_as_before_when_the_clock_is_set(step: float) -> None:
    limits = Limits(per_hour=2, per_day=3)
    caps = sent(NOW, NOW + 10)
    caps.move(step)
    assert caps.until("billing@example.org", "example.org", NOW + 20 + step, limits) == NOW + HOUR + step
    assert caps.until("billing@example.org", "example.org", NOW + HOUR + step, limits) is None


def test_a_message_that_was_not_sent_is_uncounted_though_the_clock_was_set_since() -> None:
    limits = Limits(per_hour=1, per_day=1)
    caps = sent(NOW)
    caps.move(-DAY)
    caps.uncount("billing@example.org", "example.org", NOW)
    assert caps.until("billing@example.org", "example.org", NOW - DAY, limits) is None
