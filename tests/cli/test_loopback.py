"""`smtpcheck check --loopback`: one message, sent only when it is asked for, and followed to its end."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from smtpcheck.sandbox.bounces import Style
from smtpcheck.sandbox.mail_store import Delivery, Use
from smtpcheck.sandbox.scenario import CONTOSO_MAIL, DOMAIN, Finding, Scenario
from smtpcheck.sandbox.world import World
from tests.cli.test_cli import smtpcheck

LOOPBACK = {"to": f"probe-cli@{DOMAIN}", "warn_after": "3s", "lost_after": "4s"}
SCENARIO = Scenario("arrives", "Mail arrives.", check={"loopback": LOOPBACK}, registration=CONTOSO_MAIL)


async def checked(folder: Path, scenario: Scenario, *options: str) -> tuple[int, str, World]:
    """Return exit code and output of the command in a world of the scenario."""
    async with World(folder, (scenario,)) as world:
        done = await asyncio.to_thread(smtpcheck, "check", "-c", world.config, *options)
        return done.returncode, done.stdout + done.stderr, world


async def test_the_way_of_the_message_is_shown(tmp_path: Path) -> None:
    code, output, world = await checked(tmp_path, SCENARIO, "--loopback", "arrives")
    assert code == 0, output
    for part in ("accepted by the server", "received by", "found in the inbox, and deleted", "1 check: 1 ok"):
        assert part in output
    box = world.store.box(f"probe-cli@{DOMAIN}")
    assert [stored for folder, stored in box.everything() if folder.use is Use.INBOX] == []


@pytest.mark.parametrize("via", ["imap", "graph"])
async def test_lost_mail_is_critical(tmp_path: Path, via: str) -> None:
    scenario = replace(SCENARIO, delivery=Delivery(copies=0), finding=Finding(via))
    code, output, _ = await checked(tmp_path, scenario, "--loopback", "arrives", "--format", "json")
    (told,) = json.loads(output)
    assert (code, told["cause"], told["outcome"]) == (2, "mail_lost", "critical")
    assert told["loopback"]["messages"][0]["stage"] == "lost"
    assert told["loopback"]["next_send"] is None, "no further message is scheduled"
    assert told["steps"][-1]["phase"] == "delivery"


async def test_without_being_asked_nothing_is_sent(tmp_path: Path) -> None:
    code, output, world = await checked(tmp_path, SCENARIO, "arrives")
    assert (code, len(world.exchange.messages)) == (0, 0)
    assert "Delivery was not checked for arrives: --loopback NAME sends a message and finds it." in output


@pytest.mark.parametrize("options", [["--loopback"], ["--loopback", "arrives", "--depth", "send"]])
async def test_it_is_asked_for_by_name_and_alone(tmp_path: Path, options: list[str]) -> None:
    code, _, world = await checked(tmp_path, SCENARIO, *options)
    assert (code, len(world.exchange.messages)) == (64, 0)


async def test_a_check_without_a_loopback_is_told(tmp_path: Path) -> None:
    code, output, _ = await checked(tmp_path, Scenario("plain", "No loopback."), "--loopback", "plain")
    assert (code, "the check plain has no loopback" in " ".join(output.split())) == (64, True)


async def test_the_receivers_name_that_was_seen_is_proposed(tmp_path: Path) -> None:
    """By the command that saw it, and then by `validate`; not where one is configured."""
    results = "mx.example.org; spf=pass smtp.mailfrom=contoso.example"
    scenario = replace(SCENARIO, delivery=Delivery(style=Style.POSTFIX, authentication=results))
    async with World(tmp_path, (scenario,)) as world:
        before = await asyncio.to_thread(smtpcheck, "validate", "-c", world.config)
        shown = await asyncio.to_thread(smtpcheck, "check", "-c", world.config, "arrives", "--loopback")
        after = await asyncio.to_thread(smtpcheck, "validate", "-c", world.config)
        world.config.write_text(world.config.read_text().replace("loopback: {", 'loopback: {authserv_id: "mx", '))
        configured = await asyncio.to_thread(smtpcheck, "validate", "-c", world.config)
    assert "authserv_id" not in before.stdout
    assert 'set authserv_id: "mx.example.org"' in shown.stdout
    assert 'loopback of arrives: set authserv_id: "mx.example.org"' in after.stdout
    assert (configured.returncode, "authserv_id" in configured.stdout) == (0, False)


def test_the_name_of_a_known_provider_is_proposed_before_any_message(tmp_path: Path) -> None:
    config = tmp_path / "checks.yaml"
    config.write_text(
        "agent: {state: state}\n"
        "credentials:\n"
        "  contoso: {type: microsoft, tenant: t.example, client_id: x, client_secret: {value: y}}\n"
        "checks:\n"
        "  - {name: billing, mailbox: a@t.example, credential: contoso,"
        " loopback: {to: b@t.example, find: {via: graph}}}\n"
    )
    shown = smtpcheck("validate", "-c", config)
    assert (shown.returncode, 'loopback of billing: set authserv_id: ""' in shown.stdout) == (0, True), shown.stderr
    assert not (tmp_path / "state").exists()
