"""What the provider says of checks that are run once: what the agent would come to know over time."""

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import NamedTuple

from smtpcheck.agent.inspecting import remedy_values
from smtpcheck.agent.investigation import investigate, trace
from smtpcheck.check.kit import Kit
from smtpcheck.config import Settings
from smtpcheck.diagnosis.drift import Warnings, next_reading
from smtpcheck.diagnosis.inspected.causes import candidates
from smtpcheck.diagnosis.inspected.defects import acts_for_itself
from smtpcheck.diagnosis.inspection_status import InspectionStatus, Proof, merged, signature
from smtpcheck.diagnosis.traced import lost_message, traced
from smtpcheck.inspection.inspector import Inspector
from smtpcheck.inspection.inspectors import Inspectors
from smtpcheck.inspection.questions import QUESTIONS
from smtpcheck.loopback.plan import Loopback
from smtpcheck.model.check import Check
from smtpcheck.model.inspection import Incident, Inspection
from smtpcheck.model.inspection_reading import KeptReading
from smtpcheck.model.report import Finding, Outcome, Report

NOTHING_READ: Mapping[str, KeptReading] = MappingProxyType({})


async def readings_dated(
    settings: Settings, kit: Kit, credentials: Collection[str], seconds_ago: float
) -> dict[str, KeptReading]:
    """Read about these credentials, and return what is kept of that as if it had been read so many seconds ago."""

    def wall() -> float:
        return kit.wall() - seconds_ago

    plans = {name: plan for name, plan in settings.inspections.items() if name in credentials}
    inspectors = Inspectors(plans, settings.credentials, kit.tokens, wall=wall, monotonic=kit.monotonic)
    try:
        return {
            name: _kept(inspector, await inspector.read(QUESTIONS, inspector.plan.mailboxes), None, kit, wall())
            for name, inspector in inspectors.all().items()
        }
    finally:
        await inspectors.close()


async def with_inspections(
    settings: Settings, reports: Mapping[str, Report], kit: Kit, before: Mapping[str, KeptReading] = NOTHING_READ
) -> dict[str, Report]:
    """Return the reports with what the provider says besides, and what has changed since the readings `before`."""
    inspectors = Inspectors(
        settings.inspections, settings.credentials, kit.tokens, wall=kit.wall, monotonic=kit.monotonic
    )
    found = dict(reports)
    try:
        readings = {
            name: await inspector.read(QUESTIONS, inspector.plan.mailboxes)
            for name, inspector in inspectors.all().items()
        }
        warnings = {
            name: Warnings(_kept(inspector, readings[name], before.get(name), kit, kit.wall()))
            for name, inspector in inspectors.all().items()
        }
        for check in settings.checks:
            inspector = inspectors.get(check.credential)
            if inspector is not None and check.name in found:
                credential, plan = check.credential or "", settings.loopbacks.get(check.name)
                seen = _Seen(check, found[check.name], plan, kit, warnings[credential])
                found[check.name] = await _inspected(seen, inspector, readings[credential].incidents)
    finally:
        await inspectors.close()
    return found


class _Seen(NamedTuple):
    """A check that has run, with its loopback."""

    check: Check
    report: Report
    plan: Loopback | None
    kit: Kit
    warnings: Warnings
    """What the reading about its credential warns of."""


async def _inspected(seen: _Seen, inspector: Inspector, incidents: tuple[Incident, ...]) -> Report:
    check, report, plan, kit, known = seen
    hints, causes = kit.hints.get(check.credential or ""), tuple[Finding, ...]()
    warnings = tuple[Finding, ...]()
    if lost_message(report) and plan is not None:
        causes = traced(report, await trace(inspector, report, plan))
    elif candidates(report):
        _, causes = await investigate(inspector, check, report, hints, Inspection(), began=report.started_at)
    elif report.outcome in (Outcome.OK, Outcome.WARNING) and hints is not None:
        warnings = known.of(check.mailbox, remedy_values(check, hints), kit.wall())
    proof = Proof(signature(report), causes) if causes else None
    return merged(report, InspectionStatus(proof, warnings, incidents))


def _kept(inspector: Inspector, reading: Inspection, before: KeptReading | None, kit: Kit, now: float) -> KeptReading:
    """Return what is kept of a reading that ended at Unix time `now`."""
    plan = inspector.plan
    return next_reading(
        *(before, reading, plan.mailboxes),
        answered=frozenset(fact.name for fact in reading.facts),
        app_only=acts_for_itself(kit.hints.get(plan.credential)),
        now=now,
        every=plan.every,
    )
