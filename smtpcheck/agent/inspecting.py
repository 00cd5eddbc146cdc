"""The agent's inspections: the provider is asked for the cause of a failure that its reply or code does not explain.

Rules of this file:
- No run waits for it: a failure begins a task, and what that finds is published as news of the check.
- A credential's failures of one kind are one case for half an hour. Of its mailboxes three are asked; what is said of
  the application holds for all of them.
- What was found holds as long as the check fails alike, and is dropped with its first success.
- A reload ends no case and no question of a check that stays as it is, with the same credential and inspector: what is
  under way is asked again by the new inspector.
- A fault in here is logged and counted, and harms no check.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import structlog

from smtpcheck.agent.inspection_readings import Readings
from smtpcheck.agent.investigation import investigate, is_late, show, trace
from smtpcheck.check.kit import Kit
from smtpcheck.config import Settings
from smtpcheck.diagnosis.explain import CERTAIN
from smtpcheck.diagnosis.inspected.causes import candidates, is_worth_asking
from smtpcheck.diagnosis.inspected.defects import acts_for_itself
from smtpcheck.diagnosis.inspection_status import InspectionStatus, Proof, merged, signature
from smtpcheck.diagnosis.traced import lost_message, traced
from smtpcheck.inspection.inspector import Inspector
from smtpcheck.inspection.inspectors import Inspectors
from smtpcheck.inspection.plan import InspectionPlan
from smtpcheck.loopback.plan import Loopback
from smtpcheck.model.cause import Cause
from smtpcheck.model.check import Check
from smtpcheck.model.credential import CredentialHints
from smtpcheck.model.inspection import Announcement, Incident, Inspection
from smtpcheck.model.report import Finding, Outcome, Report
from smtpcheck.oauth.credential import Credential
from smtpcheck.state.inspections import InspectionRows

READ_SECONDS = 15.0
"""How often it is looked whether a reading is due."""
CASE_SECONDS = 1800.0
"""How long one case is not opened a second time."""
LATE_SECONDS = (300.0, 900.0, 1795.0)
"""How long after a failure the log of sign-ins is read again, whose rows come late."""
MOST_MAILBOXES = 3
"""How many of the mailboxes that fail alike are asked about."""

_Answer = TypeVar("_Answer")
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Case:
    """The failures of one kind of one credential."""

    opened_at: float
    """Monotonic seconds."""
    began: float
    """When the first of them began (Unix seconds)."""
    mailboxes: set[str] = field(default_factory=set)
    """Those that were asked about."""
    known: Inspection = field(default_factory=Inspection)


_Basis = tuple[InspectionPlan, Credential, Credential]
"""What an inspection of a credential depends on: its plan without the mailboxes, itself, and who asks about it."""


class InspectionService:
    """Investigates failures, and says what is known of each check. Belongs to one event loop."""

    def __init__(self, rows: InspectionRows, changed: Callable[[str], None]) -> None:
        """Keep readings in `rows`; call `changed` with the name of each check of which something new is known."""
        self.readings = Readings(rows, self._credential_changed)
        self.internal_errors = 0
        self._changed = changed
        self._checks: Mapping[str, Check] = {}
        self._names: Mapping[str, list[str]] = {}
        """The names of the checks of each credential."""
        self._kit: Kit | None = None
        self._inspectors: Inspectors | None = None
        self._bases: dict[str, _Basis] = {}
        self._cases: dict[tuple[str, tuple[Cause, ...]], _Case] = {}
        self._proofs: dict[str, Proof] = {}
        self._failing: set[str] = set()
        self._loopbacks: Mapping[str, Loopback] = {}
        self._traced: dict[str, str] = {}
        """The last lost message of each check that was asked for."""
        self._tasks: set[asyncio.Task[None]] = set()

    def replace(self, settings: Settings, kit: Kit) -> None:
        """Inspect by these settings from now on; what is under way about others ends and is not published."""
        before, old_bases, old_checks = self._inspectors, self._bases, self._checks
        self._kit = kit
        checks = settings.checks if settings.inspections else ()
        self._checks = {check.name: check for check in checks if check.credential in settings.inspections}
        self._names = names = defaultdict[str, list[str]](list)
        for check in self._checks.values():
            names[check.credential or ""].append(check.name)
        self._bases = {name: _basis(name, settings) for name in settings.inspections}
        self._inspectors = Inspectors(
            settings.inspections,
            settings.credentials,
            kit.tokens,
            wall=kit.wall,
            monotonic=kit.monotonic,
            agents=settings.sharding.shard.of,
        )
        self.readings.replace(self._inspectors.all(), kit)
        self._loopbacks = settings.loopbacks
        same = {name for name, basis in self._bases.items() if old_bases.get(name) == basis}
        stays = {
            name for name, check in self._checks.items() if check.credential in same and old_checks.get(name) == check
        }
        self._traced = {name: each for name, each in self._traced.items() if name in stays}
        self._cases = {key: case for key, case in self._cases.items() if key[0] in same}
        for case in self._cases.values():
            case.mailboxes &= {self._checks[name].mailbox.casefold() for name in stays}
        self._proofs = {name: proof for name, proof in self._proofs.items() if name in stays}
        if before is not None:
            self._start(before.close())

    async def close(self) -> None:
        """Cancel what is under way, and close all connections."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._inspectors is not None:
            await self._inspectors.close()

    def read_due(self) -> None:
        """Begin the readings that are due, and look for incidents."""
        if self._inspectors is not None:
            for work in self.readings.due(self._inspectors.all(), asyncio.sleep):
                self._start(work)

    def incidents(self) -> tuple[Incident, ...]:
        """Return the open incidents that providers have published."""
        return self.readings.all_incidents()

    def announcements(self) -> tuple[Announcement, ...]:
        """Return the changes that providers have announced."""
        return self.readings.all_announcements()

    def found(self, credential: str) -> Inspection:
        """Return what the last reading since the start brought, for those who may see it."""
        return self.readings.found(credential)

    def next_reading_at(self, credential: str) -> float | None:
        """Return when the next reading of a credential begins, or has begun (Unix seconds)."""
        return self.readings.next_at(credential)

    def inspects(self, check: Check) -> bool:
        """Return whether anything can become known of a check."""
        return check.name in self._checks

    def merged(self, check: Check, report: Report) -> Report:
        """Return the report of a check with what is known besides."""
        inspector = self._inspectors.get(check.credential) if self._inspectors and self.inspects(check) else None
        if inspector is None or self._kit is None:
            return report
        hints = self._kit.hints.get(check.credential or "")
        values = remedy_values(check, hints) if hints is not None else {}
        status = InspectionStatus(
            self._proofs.get(check.name),
            self.readings.warnings(check, values, self._kit.wall()),
            self.readings.incidents(inspector),
        )
        return merged(report, status)

    def ran(self, check: Check, report: Report) -> None:
        """Take note of a report; a failure of which the provider can say more is investigated."""
        inspector = self._inspectors.get(check.credential) if self._inspectors and self.inspects(check) else None
        if inspector is None or self._kit is None:
            return
        proof = self._proofs.get(check.name)
        if report.outcome is not Outcome.CRITICAL:
            if report.outcome is not Outcome.UNKNOWN:
                self._proofs.pop(check.name, None)
                self._failing.discard(check.name)
            return
        self._failing.add(check.name)
        if lost_message(report):
            self._trace(check, report)
            return
        if not is_worth_asking(report) and (proof is None or proof.of != signature(report)):
            return
        case = self._case(check, report)
        mailbox = check.mailbox.casefold()
        if mailbox in case.mailboxes:
            return
        if len(case.mailboxes) >= MOST_MAILBOXES:
            hints = self._kit.hints.get(check.credential or "")
            self._conclude(check, report, show(inspector, check, report, hints, case.known, began=case.began))
            return
        case.mailboxes.add(mailbox)
        self._start(self._investigate(check, report, case, self._basis_of(check)))

    def _trace(self, check: Check, report: Report) -> None:
        """Begin to ask where a lost message is, once for each."""
        plan, message = self._loopbacks.get(check.name), lost_message(report)
        if plan is not None and self._traced.get(check.name) != message:
            self._traced[check.name] = message
            self._start(self._trace_message(check, report, plan))

    async def _trace_message(self, check: Check, report: Report, plan: Loopback) -> None:
        found = await self._ask(check, self._basis_of(check), lambda inspector: trace(inspector, report, plan))
        if found is not None:
            self._conclude(check, report, traced(report, found))

    def _case(self, check: Check, report: Report) -> _Case:
        assert self._kit is not None  # noqa: S101 - the caller has seen to it
        key, now = (check.credential or "", candidates(report)), self._kit.monotonic()
        case = self._cases.get(key)
        if case is None or now - case.opened_at >= CASE_SECONDS:
            self._cases[key] = case = _Case(now, report.started_at)
        return case

    async def _investigate(self, check: Check, report: Report, case: _Case, basis: _Basis | None) -> None:
        """Ask until a cause is certain; about what becomes known only later, again then."""

        async def ask(inspector: Inspector) -> tuple[tuple[Finding, ...], bool]:
            hints = self._kit.hints.get(check.credential or "") if self._kit is not None else None
            case.known, causes = await investigate(inspector, check, report, hints, case.known, began=case.began)
            return causes, is_late(inspector, report)

        for age in (0.0, *LATE_SECONDS):
            if age and self._kit is not None:
                await asyncio.sleep(max(case.opened_at + age - self._kit.monotonic(), 0.0))
                if check.name not in self._failing:
                    return
            answer = await self._ask(check, basis, ask)
            if answer is None:
                return
            causes, is_worth_waiting = answer
            self._conclude(check, report, causes)
            if not is_worth_waiting or (causes and causes[0].certainty >= CERTAIN):
                return

    async def _ask(
        self, check: Check, basis: _Basis | None, ask: Callable[[Inspector], Awaitable[_Answer]]
    ) -> _Answer | None:
        """Return what the inspector of a check answers, None where a reload has changed the check or its credential."""
        while basis is not None and self._basis_of(check) == basis and self._checks.get(check.name) == check:
            inspectors = self._inspectors
            inspector = inspectors.get(check.credential) if inspectors else None
            if inspector is None:
                return None
            answer = await ask(inspector)
            if self._inspectors is inspectors:
                return answer
        return None

    def _basis_of(self, check: Check) -> _Basis | None:
        return self._bases.get(check.credential or "")

    def _conclude(self, check: Check, report: Report, causes: tuple[Finding, ...]) -> None:
        """Keep what was found of a failure, and publish it where it is new."""
        before, proof = self._proofs.get(check.name), Proof(signature(report), causes)
        if causes:
            self._proofs[check.name] = proof
        else:
            self._proofs.pop(check.name, None)
        if causes and (before is None or before.of != proof.of or _gist(before) != _gist(proof)):
            best = causes[0]
            _log.info("inspected", check=check.name, cause=str(best.cause), certainty=best.certainty)
        self._changed(check.name)

    async def _credential_changed(self, credential: str) -> None:
        """Publish what is new about each check of a credential; there may be thousands, so others get their turn."""
        for name in self._names.get(credential, ()):
            self._changed(name)
            await asyncio.sleep(0)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work, name="inspection")
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.internal_errors += 1
            _log.error("internal error", exc_info=error)


def _basis(name: str, settings: Settings) -> _Basis:
    plan, credentials = settings.inspections[name], settings.credentials
    return replace(plan, mailboxes=()), credentials[name], credentials[plan.by]


def remedy_values(check: Check, hints: CredentialHints) -> Mapping[str, str]:
    """Return what the commands of a remedy are filled with, as far as the configuration says it."""
    known = {
        *(("tenant", hints.tenant), ("client_id", hints.client_id), ("credential", hints.name)),
        *(("mailbox", check.mailbox), ("check", check.name), ("provider", check.provider.value)),
        ("flow", "client_credentials" if acts_for_itself(hints) else ""),
    }
    return {name: value for name, value in known if value}


def _gist(proof: Proof) -> list[tuple[str, float]]:
    return [(str(finding.cause), finding.certainty) for finding in proof.findings]
