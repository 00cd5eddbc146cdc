"""The caps on messages of one agent, or of one command beside it: in memory, and in the journal that they share.

Rules of this file:
- What memory knows to be too much is refused at once; what it allows, the journal confirms, which knows of others.
- What was counted stays counted if the one who asked no longer waits for the answer: too few messages harm nobody.
- Where the journal cannot be written it is tried again until it can, so that `error` does not outlive its reason.
"""

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress

import structlog

from smtpcheck.limits.send_limits import Caps, Limits, Shares
from smtpcheck.state.database import NotKeptError
from smtpcheck.state.send_journal import SendJournal, Sent

RETRY_SECONDS = 10.0
"""How long after a failure the journal is tried again."""
_log = structlog.get_logger(__name__)


class SentMessages:
    """The messages of the last day, as far as they count."""

    def __init__(self, journal: SendJournal | None = None) -> None:
        """Count in memory alone, or in a journal besides."""
        self.error = ""
        """Why the last message could not be counted in the journal; empty if it was."""
        self.caps = Caps()
        self._journal = journal
        self._shares: Shares | None = None
        self._receivers: dict[str, str] = {}
        self._step = 0.0
        """By how many seconds the journal's messages are still to be moved."""
        self._moving: asyncio.Task[None] | None = None
        self._recovering: asyncio.Task[None] | None = None

    def divide(self, shares: Shares | None) -> None:
        """Allow no more than these shares from now on; None: the whole caps."""
        self._shares = shares
        self.caps.divide(shares)

    async def restore(self, messages: Iterable[Sent]) -> None:
        """Count what a former agent has sent; commands beside this one count it too, in the journal if it is lost."""
        for sent in messages:
            self.count(sent)
        if self._journal is not None and not self._journal.is_there and (known := self.caps.counted()):
            try:
                await asyncio.to_thread(self._journal.add, known)
            except NotKeptError as error:
                self._failed(error)

    def move(self, seconds: float) -> None:
        """Move every message by the seconds by which the wall clock was set, so that each is as old as before."""
        self.caps.move(seconds)
        if self._journal is not None and self._journal.is_there:
            self._step += seconds
            if self._moving is None:
                self._moving = asyncio.create_task(self._move_journal(self._journal), name="journal")

    async def _move_journal(self, journal: SendJournal) -> None:
        while step := self._step:
            self._step = 0.0
            try:
                await asyncio.to_thread(journal.move, step)
            except NotKeptError as error:
                self._failed(error)
        self._moving = None

    def until(self, mailbox: str, tenant: str, now: float, limits: Limits) -> float | None:
        """Return until when the mailbox must not send another message, as far as memory knows; None: not at all."""
        return self.caps.until(mailbox, tenant, now, limits)

    def count(self, sent: Sent) -> None:
        """Count one message in memory, which must then be confirmed, or uncounted."""
        at, mailbox, tenant = sent
        self.caps.count(mailbox, tenant, at)

    def uncount(self, sent: Sent) -> None:
        """Uncount one message in memory, where the journal does not have it."""
        at, mailbox, tenant = sent
        self.caps.uncount(mailbox, tenant, at)

    async def confirm(self, sent: Sent, limits: Limits) -> float | None:
        """Count in the journal what memory has counted, and return None when it may be sent.

        Else until when none may be (Unix seconds). Raises NotKeptError where it cannot be counted.
        """
        if self._journal is None:
            return None
        if self._moving is not None:
            await self._moving
        try:
            if not self._journal.is_there:
                await asyncio.to_thread(self._journal.add, [each for each in self.caps.counted() if each != sent])
            until = await asyncio.to_thread(self._journal.reserve, sent, limits, self._shares)
        except NotKeptError as error:
            self._failed(error)
            raise
        self._recovered()
        return until

    async def release(self, sent: Sent) -> None:
        """Uncount one message that was not sent after all."""
        self.uncount(sent)
        if self._journal is not None and self._journal.is_there:
            try:
                await asyncio.to_thread(self._journal.release, sent)
            except NotKeptError as error:
                _log.warning("a message that was not sent stays counted as sent", error=str(error))

    async def note_receivers(self, names: Mapping[str, str]) -> None:
        """Note by what name the receivers of these checks' messages give their results, as far as that is new."""
        news = {check: name for check, name in names.items() if self._receivers.get(check) != name}
        if self._journal is None or not news:
            return
        try:
            await asyncio.to_thread(self._journal.note_receivers, news)
        except NotKeptError as error:
            _log.debug("the names of receivers cannot be kept", error=str(error))
        else:
            self._receivers |= news

    def close(self) -> None:
        """Try no more to write the journal."""
        if self._recovering is not None:
            self._recovering.cancel()
            self._recovering = None

    def _failed(self, error: NotKeptError) -> None:
        self.error = f"messages cannot be counted, so none is sent: {error}"
        _log.error(self.error)
        if self._recovering is None and self._journal is not None:
            self._recovering = asyncio.create_task(self._recover(self._journal), name="journal")

    async def _recover(self, journal: SendJournal) -> None:
        while self.error:
            await asyncio.sleep(RETRY_SECONDS)
            with suppress(NotKeptError):
                if not journal.is_there:
                    await asyncio.to_thread(journal.add, self.caps.counted())
                await asyncio.to_thread(journal.prove_writable)
                self._recovered()
        self._recovering = None

    def _recovered(self) -> None:
        if self.error:
            self.error = ""
            _log.info("messages can be counted again")
