"""One message that a user asked for by hand: it counts in the caps of the agent whose state folder this is.

Rule of this file: a message is counted before anything of it is sent. Where the caps leave no room for it, or it cannot
be counted, the run ends with the recipient, and its outcome is unknown.
"""

import asyncio

from smtpcheck.check.kit import Kit
from smtpcheck.check.outcome import capped, uncounted
from smtpcheck.check.probe import probe
from smtpcheck.check.talk import OutgoingMessage
from smtpcheck.limits.send_limits import MAILBOX
from smtpcheck.model.check import Check
from smtpcheck.model.report import Report
from smtpcheck.state.database import NotKeptError
from smtpcheck.state.send_journal import SendJournal


async def send_once(check: Check, kit: Kit, journal: SendJournal) -> Report:
    """Run a check of depth `send`, and count its message in the journal."""
    permission = _Permission(check, kit, journal)
    report = await probe(check, kit, outgoing=OutgoingMessage(None, permission.ask))
    if permission.until is not None:
        return capped(report, permission.until)
    return uncounted(report, permission.error) if permission.error else report


class _Permission:
    """Whether one message may be sent."""

    def __init__(self, check: Check, kit: Kit, journal: SendJournal) -> None:
        self.until: float | None = None
        """Until when the caps leave no room (Unix seconds)."""
        self.error = ""
        """Why it could not be counted."""
        self._check, self._kit, self._journal = check, kit, journal

    async def ask(self) -> bool:
        """Count the message, and return whether it may be sent."""
        sent = (self._kit.wall(), self._check.mailbox, self._kit.tenant(self._check))
        try:
            self.until = await asyncio.to_thread(self._journal.reserve, sent, MAILBOX)
        except NotKeptError as error:
            self.error = str(error)
        return self.until is None and not self.error
