"""What `expect:` and `type: password` mean, with every default filled in."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from smtpcheck.config import Settings, load, traffic_of
from smtpcheck.model.check import Check, Depth, Expect, Mechanism, Phase, Provider
from smtpcheck.model.expected_refusal import cools_down_until, matches
from smtpcheck.model.report import Outcome, Reply
from smtpcheck.output import terminal
from smtpcheck.output.finding import show
from tests.worlds.samples import NOW, refused

HOUR = 3600.0
CREDENTIALS = {
    "contoso": {"type": "microsoft", "tenant": "contoso.com", "client_id": "x", "client_secret": {"value": "abc"}},
    "legacy": {"type": "password", "password": {"value": "abc"}},
    "key": {"type": "password", "user": "apikey", "password": {"value": "abc"}},
}
EXCHANGE = {"host": "smtp.office365.com"}


def loaded(folder: Path, *checks: Mapping[str, object], **defaults: object) -> Settings:
    named = [{"name": f"c{number}", **check} for number, check in enumerate(checks)]
    (folder / "checks.yaml").write_text(json.dumps({"defaults": defaults, "credentials": CREDENTIALS, "checks": named}))
    found = load([folder / "checks.yaml"])
    if found.settings is None:
        raise ValueError("\n".join(map(str, found.problems)))
    return found.settings


def check_of(folder: Path, check: Mapping[str, object], **defaults: object) -> Check:
    (found,) = loaded(folder, check, **defaults).checks
    return found


def contoso(**keys: object) -> dict[str, object]:
    return {"mailbox": "a@contoso.com", "credential": "contoso", **keys}


@pytest.mark.parametrize(
    ("phase", "depth"),
    [("auth", Depth.AUTH), ("mail", Depth.SENDER), ("rcpt", Depth.RECIPIENT), ("data", Depth.SEND)],
)
def test_the_phase_tells_the_depth_and_the_interval_is_a_day(tmp_path: Path, phase: str, depth: Depth) -> None:
    """Whatever the defaults say."""
    keys = contoso(expect={"phase": phase}, recipient="b@contoso.com")
    found = check_of(tmp_path, keys, interval="30s", depth="connect")
    assert (found.depth, found.interval) == (depth, 24 * HOUR)
    assert found.expect == Expect(Phase(phase), ("5xx",))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"code": 535}, (("535",), ())),
        ({"code": ["535", "5XX", "55x"]}, (("535", "5xx", "55x"), ())),
        ({"enhanced": "5.7.*"}, (("5xx",), ("5.7.*",))),
        ({"enhanced": ["5.7.60", "5.*"]}, (("5xx",), ("5.7.60", "5.*.*"))),
    ],
)
def test_codes_are_one_or_several(tmp_path: Path, given: dict[str, object], expected: object) -> None:
    expect = check_of(tmp_path, contoso(expect={"phase": "auth", **given})).expect
    assert expect is not None
    assert (expect.codes, expect.enhanced) == expected


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(code=st.integers(400, 599), enhanced=st.from_regex(r"[45]\.[0-9]{1,3}\.[0-9]{1,3}", fullmatch=True))
def test_any_refusal_that_is_named_is_met_by_itself(tmp_path: Path, code: int, enhanced: str) -> None:
    keys = {"phase": "auth", "code": code, "enhanced": enhanced}
    expect = check_of(tmp_path, contoso(expect=keys)).expect
    assert expect is not None
    assert matches(expect, Reply(code, enhanced, ()))


@pytest.mark.parametrize(
    ("keys", "shortest"),
    [
        (contoso(expect={"phase": "auth"}), "1h"),
        (contoso(expect={"phase": "data"}, recipient="b@contoso.com"), "6h"),
        ({"mailbox": "a@contoso.com", "credential": "legacy", "server": EXCHANGE, "expect": {"phase": "auth"}}, "6h"),
        (
            {"mailbox": "a@x.org", "credential": "legacy", "server": {"host": "x.org"}, "expect": {"phase": "auth"}},
            "1h",
        ),
    ],
)
def test_refusals_may_not_come_often(tmp_path: Path, keys: dict[str, object], shortest: str) -> None:
    assert check_of(tmp_path, {**keys, "interval": shortest}).interval == float(shortest[:-1]) * HOUR
    with pytest.raises(ValueError, match=f"needs an interval of {shortest} or more"):
        check_of(tmp_path, {**keys, "interval": "59m"})


def test_a_relay_is_tried_without_a_login(tmp_path: Path) -> None:
    keys = {"sender": "a@x.org", "recipient": "b@y.org", "server": {"host": "x.org"}, "expect": {"phase": "rcpt"}}
    found = check_of(tmp_path, keys)
    assert (found.credential, found.mailbox, found.sender, found.uses_credential) == (None, "", "a@x.org", False)
    assert check_of(tmp_path, {**keys, "mailbox": "c@x.org"}).sender == "a@x.org"


def test_a_password_belongs_to_no_provider_and_may_have_a_user_of_its_own(tmp_path: Path) -> None:
    site = {"mailbox": "a@example.org", "server": {"host": "mail.example.org"}, "mechanism": "login"}
    legacy, key = loaded(tmp_path, {**site, "credential": "legacy"}, {**site, "credential": "key"}).checks
    assert (legacy.provider, legacy.password, legacy.user) == (Provider.GENERIC, True, "")
    assert (key.mechanism, key.user, key.mailbox) == (Mechanism.LOGIN, "apikey", "a@example.org")


def test_a_table_of_mailboxes_may_say_what_is_expected_of_each(tmp_path: Path) -> None:
    (tmp_path / "boxes.csv").write_text("mailbox,expect.code,expect.enhanced\na@x.org,535,\nb@x.org,550,5.7.*\n")
    (tmp_path / "checks.yaml").write_text(
        json.dumps(
            {
                "credentials": CREDENTIALS,
                "checks": [
                    {
                        "name": "{local}",
                        "mailboxes": {"file": "boxes.csv"},
                        "credential": "contoso",
                        "expect": {"phase": "auth"},
                    }
                ],
            }
        )
    )
    found = load([tmp_path / "checks.yaml"]).settings
    assert found is not None
    assert [check.expect for check in found.checks] == [
        Expect(Phase.AUTH, ("535",)),
        Expect(Phase.AUTH, ("550",), ("5.7.*",)),
    ]


def test_expected_refusals_are_announced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused = contoso(expect={"phase": "data"}, recipient="b@contoso.com", interval="6h")
    announced = traffic_of(loaded(tmp_path, contoso(), refused))
    (host,) = announced.hosts
    assert (host.refusals_per_day, host.messages_per_day) == (4, 4)
    show(terminal.traffic_tables(announced))
    head, row, *_ = capsys.readouterr().out.splitlines()
    assert (head.split()[-1], row.split()[-1]) == ("refusals/day", "4")
    show(terminal.traffic_tables(traffic_of(loaded(tmp_path, contoso()))))
    assert "refusals" not in capsys.readouterr().out


def test_a_refusal_that_came_is_not_sought_again_before_its_time(tmp_path: Path) -> None:
    daily = check_of(tmp_path, contoso(expect={"phase": "auth"}))
    hourly = check_of(tmp_path, contoso(expect={"phase": "auth"}, interval="1h"))
    assert daily.expect is not None
    other = Expect(Phase.AUTH, ("535",))
    for check, wait in ((daily, 12 * HOUR), (hourly, HOUR)):
        as_expected = structs.replace(refused(expect=check.expect), outcome=Outcome.OK)
        assert cools_down_until(check, as_expected) == NOW + wait
        assert cools_down_until(check, structs.replace(as_expected, expect=other)) is None
        assert cools_down_until(check, structs.replace(as_expected, outcome=Outcome.CRITICAL)) is None
