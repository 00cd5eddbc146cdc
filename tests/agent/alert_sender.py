"""A process whose checks fail and recover until it is killed: `python -m tests.agent.alert_sender FOLDER URL`.

What comes of run number N of a check depends on its name and N alone. It tells a webhook, as quickly as it can.
"""

import asyncio
import sys
import time
from binascii import crc32
from dataclasses import replace
from pathlib import Path

from smtpcheck.agent.alerting import Alerting
from smtpcheck.alerts import dispatcher
from smtpcheck.alerts.notifiers.webhook import Webhook
from smtpcheck.diagnosis import catalogue
from smtpcheck.model.cause import Cause
from smtpcheck.model.check import Check, Phase
from smtpcheck.model.report import Report
from smtpcheck.state import alerts as alert_rows
from smtpcheck.state import database
from smtpcheck.state.state import State
from tests.agent.test_alerting import settings, source
from tests.worlds.samples import bad, good
from tests.worlds.samples import exchange_online as check

CHECKS = tuple(check(f"check-{number}") for number in range(6))


def nth_run(each: Check, number: int) -> Report:
    """Return run number `number` of a check; failures come in rows, some of the credential and some of a mailbox."""
    draw = crc32(f"{each.name} {number // 5}".encode()) % 4
    if draw == 0:
        return bad(each.name)
    return bad(each.name, Phase.AUTH, Cause.USER_MISMATCH) if draw == 1 else good(each.name)


def alerting(state: State, url: str) -> Alerting:
    wanted = settings(Webhook(url=source(url)), checks=CHECKS)
    return Alerting(wanted, state, catalogue.load(), wall=time.time, unhealthy_reason=lambda: "")


def hurry() -> None:
    """Wait for nothing, so that a kill hits a telling or a write."""
    dispatcher.BATCH_SECONDS, dispatcher.POLL_SECONDS = 0.0, 0.01
    dispatcher.FIRST_RETRY, dispatcher.LONGEST_RETRY = 0.01, 0.01
    alert_rows._STREAKS = replace(alert_rows._STREAKS, every=0.01)
    alert_rows._ENTRY = replace(alert_rows._ENTRY, every=0.01)
    database._IDLE_SECONDS = 0.005


async def tell(folder: Path, url: str) -> None:
    """Run the checks for ever."""
    state = await State.kept(folder)
    await state.fetch([each.name for each in CHECKS])
    alerts = alerting(state, url)
    await alerts.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        for each in CHECKS:
            known = state.checks.get(each.name)
            report = nth_run(each, known.runs + 1 if known else 1)
            state.record(each, report)
            alerts.observe(each, report)
        await asyncio.sleep(0.004)


if __name__ == "__main__":
    hurry()
    asyncio.run(tell(Path(sys.argv[1]), sys.argv[2]))
