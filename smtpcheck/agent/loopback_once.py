"""One loopback: a message is sent at once and searched for until its fate is known. What `check --loopback` does.

Rules of this file:
- It is the agent's service without its clock and its file: beside a running agent nothing of the agent's state is
  opened but the signing key, so that the agent recognizes these messages as its own and purges what is left of them,
  and the journal of what was sent, so that its caps hold.
- It ends when the message was found, returned, refused or not sent, and at the latest when it is lost. A finder that
  is not let in ends it too, for it would say the same again.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

from smtpcheck.agent.loopback import LoopbackService
from smtpcheck.agent.mail_search import SEARCH_SECONDS, TOKEN_SECONDS
from smtpcheck.check.kit import Kit
from smtpcheck.check.outcome import capped, uncounted
from smtpcheck.config import Settings
from smtpcheck.loopback.finder import FinderStep
from smtpcheck.loopback.message_state import Message
from smtpcheck.loopback.status import LoopbackStatus, merged
from smtpcheck.mail.correlation_id import CorrelationIds
from smtpcheck.model.check import Check
from smtpcheck.model.report import Outcome, Report
from smtpcheck.state.send_journal import SendJournal
from smtpcheck.state.signing_key import load_signing_key
from smtpcheck.state.state import State

_TICK_SECONDS = 0.25
_NO_SECOND_MESSAGE = 365 * 86400.0
_SLACK_SECONDS = 2 * (SEARCH_SECONDS + TOKEN_SECONDS)
"""How long after a message is lost the search that says so may still take."""


@dataclass(frozen=True, slots=True)
class LoopbackResult:
    """What came of one message."""

    report: Report
    """Of the run that sent it, merged with what the finder saw."""
    loopback_status: LoopbackStatus


async def run_loopback(
    settings: Settings, check: Check, kit: Kit, *, news: Callable[[Message], object] = lambda _: None
) -> LoopbackResult:
    """Send one message of a check that has a loopback, and wait for its end.

    `news` is called whenever something new is known of the message.
    """
    folder, begun_at = settings.agent.state, kit.wall()
    octets = kit.system.octets
    key = await asyncio.to_thread(load_signing_key, folder, octets) if folder.is_dir() else octets(32)

    state = State(journal=SendJournal(folder))

    def changed(name: str) -> None:
        messages = service.record(name).messages
        if messages:
            news(messages[-1])

    service = LoopbackService(state, CorrelationIds(key), kit.finders, changed=changed, arrived=lambda *_: None)
    plan = replace(settings.loopbacks[check.name], every=_NO_SECOND_MESSAGE)
    service.replace({check.name: check}, {check.name: plan}, kit, first_within=0.0)
    try:
        await _until_it_ends(service, check, kit)
    finally:
        await service.drain(check.timeout)
    loopback_status = service.loopback_status(check.name)
    if loopback_status is None:
        raise RuntimeError("a loopback ended without having begun")
    alone = replace(loopback_status, next_send=None)
    if loopback_status.record.sending is None:
        unsent = Report(check.name, begun_at, 0.0, Outcome.OK)
        until = service.held_until.get(check.name)
        held = uncounted(unsent, state.error) if until is None else capped(unsent, until)
        return LoopbackResult(held, alone)
    return LoopbackResult(merged(loopback_status.record.sending, alone, kit.wall()), alone)


async def _until_it_ends(service: LoopbackService, check: Check, kit: Kit) -> None:
    service.tick()
    await service.all_sent()
    sent_at = kit.wall()
    while (loopback_status := service.loopback_status(check.name)) and _goes_on(loopback_status, kit.wall() - sent_at):
        await asyncio.sleep(_TICK_SECONDS)
        service.tick()
    await service.all_searched()


def _goes_on(loopback_status: LoopbackStatus, seconds: float) -> bool:
    """Return whether something may still be seen so many seconds after sending."""
    error = loopback_status.finder.error if loopback_status.finder else None
    plan = loopback_status.plan
    if not plan.searched or not loopback_status.record.pending():
        return False
    if plan.find is None:  # nobody says that it arrived: a bounce comes soon, if one comes
        return seconds < plan.warn_after
    if error is not None and error.step in {FinderStep.TOKEN, FinderStep.LOGIN}:
        return False
    return seconds < loopback_status.plan.lost_after + (0.0 if error else _SLACK_SECONDS)
