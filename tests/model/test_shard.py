"""Which agent runs a check, for any checks and any number of agents."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpcheck.model.shard import MOST_SHARDS, WHOLE, Shard, owner, parse_shard, share

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
        ("0/0", "is not a valid number of agents\ntake 1 to 100"),
        (f"0/{MOST_SHARDS + 1}", "is not a valid number of agents\ntake 1 to 100"),
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
