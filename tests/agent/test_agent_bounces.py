"""The agent and bounces in the embedded world: from the message that is returned to the alert, and over kills."""

import os
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from smtpcheck.agent.agent import Agent
from smtpcheck.loopback import message_state
from smtpcheck.loopback.message_state import Message, Stage
from smtpcheck.model.cause import Cause
from smtpcheck.model.report import Outcome
from smtpcheck.sandbox.bounces import Refusal, Style
from smtpcheck.sandbox.mail_service import Mailbox
from smtpcheck.sandbox.mail_store import Delivery, Use
from smtpcheck.sandbox.scenario import CONTOSO_MAIL, DOMAIN, Finding, Scenario
from smtpcheck.sandbox.world import World
from tests.worlds.agents import edit, running, shown
from tests.worlds.bounces import returned
from tests.worlds.finders import new_correlation_id
from tests.worlds.kills import killed_after, moments
from tests.worlds.loopback import correlation_ids_of
from tests.worlds.waiting import until

KILLS = int(os.environ.get("SMTPCHECK_KILLS", "8"))
UNKNOWN = Refusal("550 5.1.1 <nobody>: Recipient address rejected: User unknown", Style.POSTFIX, "mx.example.net")
LOOPBACK = {"to": f"probe@{DOMAIN}", "every": "1h", "warn_after": "1m", "lost_after": "15m"}


def scenario(name: str, refusal: Refusal | None, via: str = "imap", **keys: object) -> Scenario:
    """Return a check whose interval is much longer than the test, and what becomes of its messages."""
    return Scenario(
        name,
        "Sends.",
        check={"loopback": {**LOOPBACK, **keys}, "interval": "1h"},
        registration=CONTOSO_MAIL,
        delivery=Delivery(refusal=refusal),
        finding=Finding(via),
    )


def message(agent: Agent, name: str) -> Message | None:
    status = agent.loopback(name)
    return status.record.messages[-1] if status and status.record.messages else None


@pytest.mark.parametrize("via", ["imap", "graph"])
async def test_a_bounce_is_an_alert_at_once_and_the_next_message_resolves_it(tmp_path: Path, via: str) -> None:
    """Long before the check's next run, and before the message is late; mail of others stays where it is."""
    async with World(tmp_path, (scenario("billing", UNKNOWN, via),)) as world:
        inbox = world.store.box(f"billing@{DOMAIN}").folders[Use.INBOX]
        inbox.add(returned(new_correlation_id()), 1_700_000_000.0)
        async with running(world.config) as agent:
            await until(lambda: "billing" in agent.state.checks)
            await until(lambda: agent.state.checks["billing"].report.cause is Cause.MAIL_BOUNCED)
            state = agent.state.checks["billing"]
            assert (state.runs, state.report.outcome) == (1, Outcome.CRITICAL)
            assert [finding.cause for finding in state.report.findings][:2] == [
                Cause.MAIL_BOUNCED,
                Cause.RECIPIENT_REJECTED,
            ]
            metrics = await shown(agent)
            for line in (
                'smtpcheck_loopback_bounced_total{check="billing"} 1',
                'smtpcheck_failure_info{check="billing",phase="delivery",cause="mail_bounced",smtp_code="550"',
                'smtpcheck_success{check="billing"} 0',
            ):
                assert line in metrics
            await until(lambda: len(inbox.messages) == 1)
            sent = message(agent, "billing")
            assert sent
            assert sent.stage is Stage.BOUNCED
            world.exchange.mailboxes[f"billing@{DOMAIN}"] = _delivering(world)
            agent._loopback._send_at["billing"] = 0.0
            agent._loopback._intended_at["billing"] -= 7200.0
            await until(lambda: agent.state.checks["billing"].report.outcome is Outcome.OK)
        assert len(inbox.messages) == 1


def _delivering(world: World) -> Mailbox:
    return replace(world.exchange.mailboxes[f"billing@{DOMAIN}"], delivery=Delivery())


async def test_kills_count_no_bounce_twice_and_lose_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every message comes back; an agent that is killed at any moment knows of each, once, and deletes it at last."""
    chance = random.Random(2026)
    names = ("one", "two")
    scenarios = tuple(scenario(name, UNKNOWN, every="1s", max_per_hour=120, max_per_day=1000) for name in names)
    async with World(tmp_path, scenarios) as world:
        accepted = world.exchange.messages
        for seconds in moments(chance, (0.1, 3.0), KILLS, lambda: len(accepted) > KILLS / 2):
            await killed_after(seconds, "tests.agent.loopback_sender", world.config)
        sent = Counter(correlation_ids_of(one.content) for one in accepted)
        assert set(sent.values()) == {1}
        monkeypatch.setattr(message_state, "KEPT_MESSAGES", 100_000)
        edit(world.config, lambda document: [check["loopback"].update(every="1h") for check in document["checks"]])
        inboxes = [world.store.box(f"{name}@{DOMAIN}").folders[Use.INBOX] for name in names]
        async with running(world.config, first_within=3600.0) as agent:

            def records() -> list[Message]:
                found = [agent.loopback(name) for name in names]
                return [each for status in found if status for each in status.record.messages]

            await until(lambda: sent.keys() <= {each.mark for each in records() if each.stage is Stage.BOUNCED})
            await until(lambda: not any(inbox.messages for inbox in inboxes))
            totals = [status.record.totals.bounced for name in names if (status := agent.loopback(name))]
            assert sum(totals) == len(sent)
