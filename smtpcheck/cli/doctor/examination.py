"""One examination: measures what the twelve stages need, in their order, and yields each as soon as it is known.

Rules of this file:
- It goes on after a failure wherever the next stage can still say something.
- The token is force-refreshed, bypassing caches, once; the runs themselves are the same `probe` as everywhere.
- No message is sent unless it is asked for, and no login is added on purpose but where it separates causes, or where
  the proof of refusal is asked for.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from dataclasses import replace

from smtpcheck.agent.send_once import send_once
from smtpcheck.check.kit import Kit
from smtpcheck.check.probe import probe
from smtpcheck.cli.doctor import connection_stages, credential_stages
from smtpcheck.cli.doctor.differential import refusal, run_differential
from smtpcheck.cli.doctor.discovery import discover
from smtpcheck.cli.doctor.evidence import Evidence
from smtpcheck.cli.doctor.finder_notes import look_for_mail
from smtpcheck.cli.doctor.inspected import inspected
from smtpcheck.cli.doctor.maintenance_stage import maintenance
from smtpcheck.cli.doctor.monitoring_stage import find_agent, monitoring
from smtpcheck.cli.doctor.result import Examined
from smtpcheck.cli.doctor.secrets_stage import secret_storage
from smtpcheck.config import Settings
from smtpcheck.model.check import Check, Depth, Phase
from smtpcheck.state.send_journal import SendJournal


class Examination:
    """The examination of one check."""

    def __init__(
        self,
        check: Check,
        settings: Settings,
        kit: Kit,
        *,
        send: bool = False,
        probe_refusal: bool = False,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Examine `check` as deep as its depth up to the recipient; with `send` a real message is sent.

        With `probe_refusal` one login more is made with a deliberately wrong token. With `send` the check needs a
        recipient. The kit stays the caller's to close.
        """
        self._settings = settings
        self._kit = kit
        self._probe_refusal = probe_refusal
        self._wall = wall
        credential = settings.credentials.get(check.credential or "")
        self.evidence = Evidence(
            check=replace(check, depth=Depth.SEND) if send else check.silent,
            credential=credential,
            fresh_every=settings.agent.fresh_every,
            now=wall(),
            issuer=kit.issuer(check),
        )
        self.stages: list[Examined] = []
        """What has been yielded so far."""

    async def run(self) -> AsyncGenerator[Examined, None]:
        """Yield the twelve stages in their order."""
        async for stage in self._examine():
            self.stages.append(stage)
            yield stage

    async def _examine(self) -> AsyncGenerator[Examined, None]:
        await self._ask()
        for stage in credential_stages.credential_stages(self.evidence):
            yield stage
        await self._connect()
        yield connection_stages.connection(self.evidence)
        differential = await run_differential(self.evidence, self._settings, self._kit)
        tested = connection_stages.smtp_test(self.evidence, differential.notes, differential.excluded)
        yield await self._with_finder(tested)
        yield credential_stages.renewal(self.evidence)
        yield await self._refuse()
        yield await self._watched()
        yield await asyncio.to_thread(secret_storage, self.evidence)
        folder = self._settings.agent.state / "doctor" if self._settings.files else None
        yield await asyncio.to_thread(maintenance, self.evidence, folder)

    async def _ask(self) -> None:
        """Ask the authority for its document and for a fresh token, side by side."""
        check, credential = self.evidence.check, self.evidence.credential
        if credential is None or not check.uses_credential:
            return
        asking = probe(replace(check, depth=Depth.TOKEN), self._kit, fresh=True)
        asked, discovery = await asyncio.gather(asking, discover(credential, check.token_timeout))
        name = check.credential or ""
        with suppress(TimeoutError):
            async with asyncio.timeout(check.token_timeout):
                await self._kit.tokens.side_request(name)
        state = self._kit.tokens.state(name)
        asked = await inspected(asked, check, self._settings, self._kit)
        self.evidence = replace(self.evidence, asked=asked, discovery=discovery, state=state, now=self._wall())

    async def _connect(self) -> None:
        """Open the connection: as deep as allowed with what the login needs, up to EHLO without."""
        check = self.evidence.check
        if not check.depth.needs_connection:
            return
        depth = check.depth if self.evidence.can_go_on else Depth.CONNECT
        if depth is Depth.SEND:
            report = await send_once(check, self._kit, SendJournal(self._settings.agent.state))
        else:
            report = await probe(replace(check, depth=depth), self._kit)
        report = await inspected(report, check, self._settings, self._kit)
        self.evidence = replace(self.evidence, report=report, now=self._wall())

    async def _with_finder(self, tested: Examined) -> Examined:
        """Return stage 7 with what the mailboxes of the loopback let its finder do; nothing is sent for it."""
        check = self.evidence.check
        if (plan := self._settings.loopbacks.get(check.name)) is None:
            return tested
        if plan.find is not None and plan.find.credential == check.credential and not self.evidence.can_go_on:
            return tested
        seen = await look_for_mail(plan, self._kit, check.token_timeout)
        self.evidence = replace(self.evidence, finder_names=tuple(filter(None, seen.names)))
        return replace(tested, notes=(*tested.notes, *seen.notes), findings=(*tested.findings, *seen.findings))

    async def _refuse(self) -> Examined:
        reason = self._why_no_refusal()
        conversation = None if reason else await refusal(self.evidence.check, self.evidence.claims, self._kit)
        return connection_stages.errors(self.evidence, conversation, reason)

    def _why_no_refusal(self) -> str:
        evidence = self.evidence
        if not self._probe_refusal:
            return "a wrong token is tried only with --probe-refusal, as it adds a failed sign-in"
        if evidence.check.via is not None:
            return "a wrong token is tried by SMTP alone: an API has told it from a missing right already"
        if evidence.check.expect is not None:
            return "the check expects a refusal already"
        if evidence.token is None or evidence.check.depth < Depth.AUTH or evidence.report is None:
            return "there is no login that a wrong token could be compared with"
        accepted = any(step.phase is Phase.AUTH and step.fault is None for step in evidence.report.steps)
        return "" if accepted else "the right token is not accepted either, so a wrong one would prove nothing"

    async def _watched(self) -> Examined:
        settings = self._settings
        can_be_asked = bool(settings.files) and settings.agent.listen[1] != 0
        found = await find_agent(settings.agent, self.evidence.check.name) if can_be_asked else None
        return monitoring(self.evidence.check, found, settings.alerts)
