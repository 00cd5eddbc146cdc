"""What a reload has not changed is the very value that was there before; all else is new."""

from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from smtpcheck.config.settings import AgentSettings, Settings
from smtpcheck.model.check import Check
from smtpcheck.model.shard import ShardAssignment
from tests.worlds.samples import BILLING

AGENT = AgentSettings(listen=("127.0.0.1", 0), state=Path("unused"))


def made(name: str, interval: float) -> Check:
    return replace(BILLING, name=name, interval=interval)


lists = st.dictionaries(st.sampled_from("abcdef"), st.sampled_from([60.0, 90.0])).map(
    lambda found: tuple(made(name, interval) for name, interval in found.items())
)


def settings(checks: tuple[Check, ...]) -> Settings:
    return Settings(agent=AGENT, checks=checks, sharding=ShardAssignment(following=checks[:2]))


@given(lists, lists)
def test_settings_stay_equal_and_keep_what_is_the_same(old: tuple[Check, ...], new: tuple[Check, ...]) -> None:
    before, wanted = settings(old), settings(new)
    after = wanted.keeping(before)
    assert after == wanted
    assert dict(after.by_name) == {check.name: check for check in new}
    for check in (*after.checks, *after.sharding.following):
        assert after.by_name[check.name] is check
        known = before.by_name.get(check.name)
        assert (check is known) == (check == known)
