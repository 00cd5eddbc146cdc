"""What each of several agents runs of one configuration, and what it may use for it."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from smtpcheck.config import Settings, load
from smtpcheck.model.shard import WHOLE, Shard
from tests.cli.test_cli import smtpcheck

DOCUMENT = {
    "agent": {"max_open_connections": 100},
    "credentials": {
        "contoso": {
            "type": "microsoft",
            "tenant": "contoso.example",
            "client_id": "app",
            "client_secret": {"value": "x"},
        },
        "anna": {"type": "microsoft-user", "client_id": "app"},
        "site": {
            "type": "oauth2",
            "issuer": "https://id.example.org",
            "client_id": "app",
            "client_secret": {"value": "x"},
        },
        "idle": {"type": "google-user", "client_id": "app", "client_secret": {"value": "x"}},
    },
    "checks": [
        *({"name": f"app-{n}", "mailbox": f"{n}@contoso.example", "credential": "contoso"} for n in range(40)),
        *({"name": f"anna-{n}", "mailbox": "anna@contoso.example", "credential": "anna"} for n in range(10)),
        {"name": "site", "mailbox": "x@example.org", "credential": "site", "server": {"host": "mx.example.org"}},
        {
            "name": "send",
            "mailbox": "0@contoso.example",
            "credential": "contoso",
            "depth": "send",
            "recipient": "0@contoso.example",
            "interval": "1h",
            "labels": {"team": "finance"},
        },
    ],
}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "checks.yaml"
    path.write_text(yaml.safe_dump(DOCUMENT))
    return path


def split(config: Path, shards: int) -> list[Settings]:
    """Return the settings of each of so many agents."""
    found = [load([config], shard=Shard(number, shards)).settings for number in range(shards)]
    return [settings for settings in found if settings is not None]


def names(settings: Settings) -> list[str]:
    return [check.name for check in settings.checks]


@pytest.mark.parametrize("shards", [1, 2, 3, 7])
def test_every_check_is_run_by_exactly_one_agent(config: Path, shards: int) -> None:
    agents = split(config, shards)
    whole = load([config]).settings
    assert whole
    assert sorted(name for each in agents for name in names(each)) == sorted(names(whole))
    for number, each in enumerate(agents):
        assert each.sharding.names == tuple(tuple(names(other)) for other in agents)
        assert each.sharding.other_shards == {
            name: other for other, settings in enumerate(agents) if other != number for name in names(settings)
        }
        assert [check.name for check in each.sharding.following] == names(agents[(number + 1) % shards])
        assert each.label_names == ("team",)


@pytest.mark.parametrize("shards", [2, 3, 7])
def test_a_refresh_token_is_used_by_one_agent_alone(config: Path, shards: int) -> None:
    """All its checks are there too, and it is kept alive there though no check uses it."""
    agents = split(config, shards)
    for name in ("anna", "idle"):
        assert sum(name in each.credentials for each in agents) == 1
    (at,) = [each for each in agents if "anna" in each.credentials]
    assert sum(name.startswith("anna-") for name in names(at)) == 10
    for each in agents:
        used = {check.credential for check in each.checks}
        assert used - {"anna", "idle"} == set(each.credentials) - {"anna", "idle"}


@pytest.mark.parametrize("shards", [2, 3, 7])
def test_refresh_tokens_that_one_check_needs_are_at_one_agent(config: Path, shards: int) -> None:
    """A check logs in by one and looks for its messages by another; a second one links a third to them."""

    def check(name: str, credential: str, find: str) -> dict[str, object]:
        server = {"host": "mx.example.org"}
        by = {"via": "imap", "credential": find, "mailbox": "b@example.org", "server": {"host": "imap.example.org"}}
        loopback = {"to": "b@example.org", "every": "1h", "find": by}
        return {
            "name": name,
            "mailbox": "a@example.org",
            "credential": credential,
            "server": server,
            "loopback": loopback,
        }

    users = {name: {"type": "microsoft-user", "client_id": "app"} for name in ("u0", "u1", "u2", "u3")}
    checks = [check("a", "u2", "u1"), check("b", "u1", "u0"), check("c", "site", "u2"), check("d", "u3", "site")]
    credentials = {**DOCUMENT["credentials"], **users}  # type: ignore[dict-item]
    config.write_text(yaml.safe_dump({"credentials": credentials, "checks": checks}))
    agents = split(config, shards)
    (at,) = [each for each in agents if "u0" in each.credentials]
    assert {"u0", "u1", "u2"} <= set(at.credentials)
    assert {"a", "b", "c"} <= set(names(at))
    assert sum("u3" in each.credentials for each in agents) == 1
    for each in agents:
        loopbacks = [each.loopbacks[check.name] for check in each.checks]
        assert {check.credential for check in each.checks} <= set(each.credentials)
        assert {loopback.find.credential for loopback in loopbacks if loopback.find} <= set(each.credentials)


def test_one_agent_more_takes_checks_and_leaves_all_others_where_they_are(config: Path) -> None:
    before, after = split(config, 3), split(config, 4)
    for old, new in zip(before, after, strict=False):
        assert set(names(new)) <= set(names(old))
    assert names(after[3])


def test_connections_are_divided(config: Path) -> None:
    assert [each.agent.max_open_connections for each in split(config, 3)] == [34, 33, 33]
    few = {**DOCUMENT, "agent": {"max_open_connections": 2}}
    config.write_text(yaml.safe_dump(few))
    assert [each.agent.max_open_connections for each in split(config, 3)] == [1, 1, 1]


def test_a_lone_agent_has_everything(config: Path) -> None:
    settings = load([config]).settings
    assert settings
    assert load([config], shard=WHOLE).settings == settings
    assert set(settings.credentials) == set(DOCUMENT["credentials"])  # type: ignore[call-overload]
    assert settings.agent.max_open_connections == 100


def test_every_agent_knows_who_draws_on_a_cap(config: Path) -> None:
    for each in split(config, 3):
        assert [(sender.mailbox, sender.tenant) for sender in each.sharding.senders] == [
            ("0@contoso.example", "contoso.example")
        ]
        assert replace(each.sharding, shard=WHOLE).senders == each.sharding.senders


def sending(config: Path, *names: str) -> None:
    """Have these checks send from one mailbox."""
    loopback = {"every": "15m", "to": "0@contoso.example", "find": {"via": "none"}}
    entry = {"mailbox": "0@contoso.example", "credential": "contoso", "loopback": loopback}
    named = [{"name": name, **entry} for name in names]
    config.write_text(yaml.safe_dump({**DOCUMENT, "checks": named}))


def test_a_share_of_a_cap_that_is_too_small_is_refused_with_the_numbers(config: Path) -> None:
    """Whichever shard it is, every agent says so; a lone agent has the whole cap."""
    sending(config, "loop-4", "loop-5", "loop-6")
    for number in range(2):
        loaded = load([config], shard=Shard(number, 2))
        problems = [problem.message for problem in loaded.problems]
        assert loaded.settings is None
        assert problems == [
            f"shard {short} messages in one day for the mailbox 0@contoso.example, and its share of the 200 {part}"
            for short, part in (("1/2 needs 192", "allowed is 134"), ("0/2 needs 96", "allowed is 66"))
        ]
    result = smtpcheck("validate", "-c", config, "--shard", "0/2")
    assert result.returncode == 1
    assert "its share of the 200 allowed is 66" in " ".join(result.stderr.split())
    whole = load([config])
    assert (whole.problems, whole.settings is not None) == ((), True)


def test_shares_that_suffice_are_no_problem(config: Path) -> None:
    """However the checks of one mailbox fall on the shards: each brings its own part of the cap."""
    sending(config, "loop-5", "loop-6")
    for shards in (2, 3, 7):
        assert [load([config], shard=Shard(number, shards)).problems for number in range(shards)] == [()] * shards


def test_validate_says_what_a_shard_runs_and_causes(config: Path) -> None:
    """The names stand there, so that one can tell what is not run while an agent is gone."""
    said = [smtpcheck("validate", "-c", config, "--shard", f"mail-{number}/3") for number in range(3)]
    for result, settings in zip(said, split(config, 3), strict=True):
        assert (result.returncode, result.stderr) == (0, "")
        text = " ".join(result.stdout.split())
        count = len(settings.checks)
        assert f"shard {settings.sharding.shard} runs {count} of 52 checks: {', '.join(names(settings))} " in text
        assert ("refresh token it alone uses: anna" in text) == ("anna" in settings.credentials)


def test_a_shard_that_does_not_exist_is_wrong_use(config: Path) -> None:
    for command in ("run", "validate"):
        result = smtpcheck(command, "-c", config, "--shard", "3/3")
        assert result.returncode == 64
        assert "--shard '3/3' is beyond the last shard; they are counted from 0: 0/3 to 2/3" in result.stderr
