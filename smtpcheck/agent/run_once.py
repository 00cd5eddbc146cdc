"""Some checks, each run once: what `check` and `demo --once` do.

Rule of this file: it is the agent's work without its schedule; the runs themselves are the same `probe`.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence

from smtpcheck.agent.inspect_once import NOTHING_READ, with_inspections
from smtpcheck.agent.loopback_once import run_loopback
from smtpcheck.agent.send_once import send_once
from smtpcheck.agent.witnesses import ask, has_default_route
from smtpcheck.check.connectivity import Connectivity
from smtpcheck.check.kit import Kit, build_kit
from smtpcheck.check.outcome import failed_to_reach, hosts_tried, without_connectivity
from smtpcheck.check.probe import probe
from smtpcheck.config import Settings
from smtpcheck.limits.mailbox_lock import MailboxLocks
from smtpcheck.model.check import Check, Depth
from smtpcheck.model.inspection_reading import KeptReading
from smtpcheck.model.report import Report
from smtpcheck.state.send_journal import SendJournal


async def run_once(
    settings: Settings,
    checks: Sequence[Check],
    *,
    locks: MailboxLocks | None = None,
    seen: Callable[[Report], None] = lambda _: None,
    loopbacks: bool = False,
    inspections: bool = False,
    before: Mapping[str, KeptReading] = NOTHING_READ,
) -> dict[str, Report]:
    """Run each of `checks` once and return the reports by name, in the order of `checks`.

    `seen` is called with each report as it comes in. With `loopbacks` a check that has one sends its message, and its
    report says what became of that; without, nobody sends but a check of depth `send`. With `inspections` the reports
    have what the provider says besides, and what has changed since the readings `before`.

    Where the agent itself has no connectivity (see `check.connectivity`), the runs that failed for that are `unknown`.
    """
    kit = await build_kit(settings, locks)
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_run(check, kit, seen, settings, loopbacks=loopbacks)) for check in checks]
        reports = await _with_connectivity(settings, checks, [task.result() for task in tasks], kit)
        return await with_inspections(settings, reports, kit, before) if inspections else reports
    finally:
        await kit.close()


async def _run(
    check: Check, kit: Kit, seen: Callable[[Report], None], settings: Settings, *, loopbacks: bool
) -> Report:
    """Run a check; with `loopbacks`, its loopback in place of the check alone."""
    if loopbacks and check.name in settings.loopbacks:
        report = (await run_loopback(settings, check, kit)).report
    elif check.depth is Depth.SEND:
        report = await send_once(check, kit, SendJournal(settings.agent.state))
    else:
        report = await probe(check, kit)
    seen(report)
    return report


async def _with_connectivity(
    settings: Settings, checks: Sequence[Check], reports: Sequence[Report], kit: Kit
) -> dict[str, Report]:
    connectivity = Connectivity(window=1.0)
    for check, report in zip(checks, reports, strict=True):
        for tried in hosts_tried(check, report, kit.issuer(check)):
            connectivity.record(tried, now=0.0)
    if connectivity.is_suspect(now=0.0):
        for tried in await ask(settings.agent.connectivity, kit.network):
            connectivity.record(tried, now=0.0)
    lost = connectivity.is_lost(now=0.0, has_route=has_default_route())
    return {
        report.check: without_connectivity(report) if lost and failed_to_reach(report) else report for report in reports
    }
