"""Which agent runs a check, and how many messages each may send: for any checks and any number of agents."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smtpcheck.limits.send_limits import DAY, MAILBOX, TENANT, Caps, Limits, scopes
from smtpcheck.limits.tenure import Division, Tenure, joined
from smtpcheck.model.shard import MOST_SHARDS, WHOLE, Sender, Shard, owner, parse_shard, share

NOW = 1_700_000_000.0
SHARDS = st.integers(1, 20)
NAMES = st.lists(st.text(max_size=20), unique=True, max_size=200)


# -- who has a key ----------------------------------------------------------------------------------------------------


@given(NAMES, SHARDS)
def test_every_key_has_exactly_one_owner(names: list[str], shards: int) -> None:
    for name in names:
        assert [number for number in range(shards) if Shard(number, shards).owns(name)] == [owner(name, shards)]


@given(NAMES, SHARDS)
def test_one_shard_more_takes_its_share_and_moves_nothing_else(names: list[str], shards: int) -> None:
    for name in names:
        before, after = owner(name, shards), owner(name, shards + 1)
        assert after in {before, shards}


def test_the_shares_are_even_and_one_shard_more_takes_no_more_than_its_own() -> None:
    names = [f"check-{number}" for number in range(5_000)]
    for shards in (2, 3, 10):
        counts = [sum(owner(name, shards) == number for name in names) for number in range(shards)]
        assert max(counts) < 1.2 * len(names) / shards
        assert min(counts) > 0.8 * len(names) / shards
        moved = sum(owner(name, shards) != owner(name, shards + 1) for name in names)
        assert moved < 1.2 * len(names) / (shards + 1)


def test_an_owner_never_changes_from_version_to_version() -> None:
    """Agents of two versions run side by side during an upgrade: they must agree."""
    assert [owner(f"check check-{number}", 3) for number in range(12)] == [
        *(2, 0, 0, 2, 2, 0),
        *(2, 0, 0, 0, 0, 0),
    ]


@given(st.integers(0, 10_000), SHARDS)
def test_the_parts_of_a_budget_are_the_whole_and_even(budget: int, among: int) -> None:
    parts = [share(budget, rank, among) for rank in range(among)]
    assert sum(parts) == budget
    assert max(parts) - min(parts) <= 1


# -- how a shard is written -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shard"),
    [
        ("0/1", WHOLE),
        ("2/3", Shard(2, 3)),
        ("smtpcheck-0/3", Shard(0, 3)),
        ("mail-eu-1.example-12/100", Shard(12, 100)),
    ],
)
def test_a_shard_is_a_number_or_a_pods_name_and_how_many_there_are(text: str, shard: Shard) -> None:
    assert parse_shard(text) == shard


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("3/3", "is beyond the last shard\nthey are counted from 0: 0/3 to 2/3"),
        ("smtpcheck-3/3", "is beyond the last shard\nthey are counted from 0: 0/3 to 2/3"),
        ("0/0", "has no possible number of agents\ntake 1 to 100"),
        (f"0/{MOST_SHARDS + 1}", "has no possible number of agents\ntake 1 to 100"),
        ("", "is not a valid shard"),
        ("1", "is not a valid shard"),
        ("-1/3", "is not a valid shard"),
        ("a/3", "is not a valid shard"),
        ("smtpcheck/3", "is not a valid shard"),
        ("1/3/5", "is not a valid shard"),
        ("1/x", "is not a valid shard"),
        ("1/3\n", "is not a valid shard"),
        ("\u0661/3", "is not a valid shard"),
    ],
)
def test_anything_else_is_refused_with_a_hint(text: str, problem: str) -> None:
    with pytest.raises(ValueError) as refused:
        parse_shard(text)
    assert str(refused.value).startswith(problem)


@given(st.text())
def test_no_text_breaks_the_parser(text: str) -> None:
    try:
        assert parse_shard(text).number < parse_shard(text).of
    except ValueError as error:
        assert str(error).count("\n") == 1  # noqa: PT017


# -- how many messages each may send ----------------------------------------------------------------------------------

SENDER = Sender("check billing", "Billing@example.org", "example.org")
MAILBOX_SCOPE, TENANT_SCOPE = scopes(SENDER.mailbox, SENDER.tenant)


def division(*tenures: Tenure, senders: tuple[Sender, ...] = (SENDER,)) -> Division:
    return Division(senders, tenures)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), max_size=40, unique=True), SHARDS)
def test_the_shares_of_all_agents_are_the_cap(owners: list[tuple[int, int]], shards: int) -> None:
    """An agent without a check of the mailbox has none of its cap, and no cap is wasted on it."""
    senders = tuple(Sender(f"{mailbox} {number}", f"{mailbox}@a.org", "a.org") for mailbox, number in owners)
    every = [division(Tenure(0.0, Shard(number, shards)), senders=senders) for number in range(shards)]
    for sender in senders:
        for scope, limit in zip(scopes(sender.mailbox, sender.tenant), (12, 120), strict=True):
            assert sum(each.share(scope, limit, NOW) for each in every) == limit


def test_who_is_new_to_a_check_finds_the_cap_of_the_day_spent() -> None:
    mine = Shard(owner(SENDER.key, 3), 3)
    caps = Caps()
    caps.divide(division(Tenure(NOW, mine)))
    assert caps.until(SENDER.mailbox, SENDER.tenant, NOW + 1) == NOW + DAY
    assert caps.until(SENDER.mailbox, SENDER.tenant, NOW + DAY - 1) == NOW + DAY
    assert caps.until(SENDER.mailbox, SENDER.tenant, NOW + DAY) is None


def test_who_has_long_run_a_check_goes_on_with_its_own_count() -> None:
    mine = Shard(owner(SENDER.key, 3), 3)
    caps = Caps()
    caps.divide(division(Tenure(NOW - DAY, mine)))
    limits = Limits(per_hour=2, per_day=3)
    for _ in range(2):
        assert caps.until(SENDER.mailbox, SENDER.tenant, NOW, limits) is None
        caps.count(SENDER.mailbox, SENDER.tenant, NOW)
    assert caps.until(SENDER.mailbox, SENDER.tenant, NOW + 1, limits) == NOW + 3600


def test_who_does_not_run_a_check_may_not_send_for_it() -> None:
    other = Shard((owner(SENDER.key, 3) + 1) % 3, 3)
    caps = Caps()
    caps.divide(division(Tenure(0.0, other)))
    assert caps.until(SENDER.mailbox, SENDER.tenant, NOW) == NOW + DAY


LAYOUTS = st.lists(SHARDS, min_size=2, max_size=6)


@settings(max_examples=300, deadline=None)
@given(LAYOUTS, st.lists(st.floats(0, 2 * DAY), min_size=5, max_size=5), st.integers(1, 30))
def test_no_change_of_the_number_of_agents_makes_a_cap_larger(
    layouts: list[int], gaps: list[float], checks: int
) -> None:
    """Each agent sends as much as it may at once, always; still no 24 hours have more messages than the cap."""
    senders = tuple(Sender(f"check {number}", "one@a.org", "a.org") for number in range(checks))
    limits = Limits(per_hour=1_000, per_day=MAILBOX.per_day)
    agents: dict[int, tuple[Caps, tuple[Tenure, ...], float]] = {}
    sent: list[float] = []
    now = NOW
    for shards, gap in zip(layouts, [*gaps, 0.0], strict=False):
        for number in range(shards):
            caps, tenures, seen = agents.get(number, (Caps(), (), 0.0))
            tenures = joined(tenures, Shard(number, shards), seen, now)
            caps.divide(Division(senders, tenures))
            agents[number] = (caps, tenures, now + gap)
            for at in (now, now + gap / 2, now + gap):
                while caps.until("one@a.org", "a.org", at, limits) is None:
                    caps.count("one@a.org", "a.org", at)
                    sent.append(at)
        now += gap
    for end in sent:
        assert sum(end - DAY < at <= end for at in sent) <= min(limits.per_day, TENANT.per_day)


def test_an_agent_that_has_always_been_alone_minds_nobody() -> None:
    assert joined((), WHOLE, None, NOW) == (Tenure(0.0, WHOLE),)
    assert joined((Tenure(0.0, WHOLE),), WHOLE, NOW - 9 * DAY, NOW) == (Tenure(0.0, WHOLE),)
    assert division(Tenure(0.0, WHOLE)).share(MAILBOX_SCOPE, 12, NOW) == 12


def test_a_restart_as_the_same_shard_changes_nothing_unless_it_was_long_away() -> None:
    """Within a day nobody else can have sent for its checks; after that somebody may have."""
    before = (Tenure(NOW - 9 * DAY, Shard(1, 3)),)
    assert joined(before, Shard(1, 3), NOW - DAY + 1, NOW) == before
    assert joined(before, Shard(1, 3), NOW - DAY, NOW) == (Tenure(NOW, Shard(1, 3)),)
    assert joined(before, Shard(1, 3), None, NOW) == (Tenure(NOW, Shard(1, 3)),)


def test_a_lone_agent_that_becomes_one_of_several_goes_on_with_its_checks() -> None:
    """It keeps what is still its own; the new ones wait for a day."""
    mine = Shard(owner(SENDER.key, 2), 2)
    tenures = joined((Tenure(0.0, WHOLE),), mine, NOW - 60, NOW)
    assert tenures == (Tenure(0.0, WHOLE), Tenure(NOW, mine))
    assert division(*tenures).share(MAILBOX_SCOPE, 12, NOW + 1) == 12


def test_what_lies_more_than_a_day_back_is_forgotten() -> None:
    tenures = (Tenure(0.0, WHOLE), Tenure(NOW - 2 * DAY, Shard(0, 2)), Tenure(NOW - 60, Shard(0, 3)))
    joined_now = joined(tenures, Shard(0, 4), NOW - 1, NOW)
    assert joined_now == (*tenures[1:], Tenure(NOW, Shard(0, 4)))
    assert all(earlier.since < later.since for earlier, later in pairwise(joined_now))
