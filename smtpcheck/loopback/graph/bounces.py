"""Finds bounces of our messages by Microsoft Graph.

Rules of this file:
- The newest mail of the inbox and of Junk is listed, without its content; sender and subject decide what is read, of
  which `$value` is the message in MIME (https://learn.microsoft.com/graph/api/message-get). Of that only the beginning
  is read, whatever its size.
- A bounce is ours by proof alone (`mail/bounce_proof`). What was read and is not ours is named, so that it is not read
  again.
"""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from smtpcheck.loopback.finder import BounceMatch, SearchRequest
from smtpcheck.loopback.graph.client import GraphClient, GraphError, timestamp
from smtpcheck.loopback.graph.limits import BOUNCE_LISTS, MOST_LISTED, MOST_READ, PAGE
from smtpcheck.mail.bounce import Bounce, may_be_bounce, read_bounce
from smtpcheck.mail.bounce_proof import Sent, is_about, returned_correlation_id
from smtpcheck.mail.headers import Field, clean

_SELECT = "id,subject,from,receivedDateTime"
_CLOCKS = 300.0
"""Seconds by which the mailbox's clock and ours may differ."""
_PURGED_SECONDS = 7 * 86400.0
_GONE = frozenset({"ErrorItemNotFound", "ErrorFolderNotFound"})


class BounceSearch:
    """One search for bounces as it goes on."""

    def __init__(self, request: SearchRequest) -> None:
        self.matches: list[BounceMatch] = []
        self.foreign: list[str] = []
        self.left_over: list[str] = []
        """The ids of our bounces that are to be purged."""
        self._request = request
        self._sent = [Sent(one.message_ids, one.correlation_id, one.recipient) for one in request.returned]
        self._left = MOST_READ

    async def through_all(self, client: GraphClient) -> None:
        """Go through the folders where bounces arrive. Raises GraphError."""
        if not self._request.returned and self._request.purge_before is None:
            return
        for folder, name in BOUNCE_LISTS.items():
            for message in await self._listed(client, folder):
                identity = str(message.get("id") or "")
                known = not identity or identity in self._request.foreign
                if self._left > 0 and not known and may_be_bounce(_fields(message)):
                    self._left -= 1
                    await self._read(client, identity, message, name)

    async def _listed(self, client: GraphClient, folder: str) -> list[Mapping[str, Any]]:
        since = f"{datetime.fromtimestamp(self._since(), UTC):%Y-%m-%dT%H:%M:%SZ}"
        wanted = quote(f"receivedDateTime ge {since}", safe="")
        query = f"$filter={wanted}&$orderby=receivedDateTime%20desc&$select={_SELECT}&$top={PAGE}"
        listed: list[Mapping[str, Any]] = []
        try:
            async for message in client.pages(f"/mailFolders/{folder}/messages?{query}"):
                listed.append(message)
                if len(listed) >= MOST_LISTED:
                    break
        except GraphError as refused:
            if refused.error.code not in _GONE:
                raise
        return listed

    async def _read(self, client: GraphClient, identity: str, message: Mapping[str, Any], folder: str) -> None:
        try:
            content = await client.beginning(f"/messages/{quote(identity, safe='')}/$value")
        except GraphError as refused:
            if refused.error.code not in _GONE:
                raise
            return
        bounce = await asyncio.to_thread(read_bounce, content)
        arrived_at = timestamp(message.get("receivedDateTime"))
        ours = bounce is not None and returned_correlation_id(bounce, self._request.is_ours) is not None
        before = self._request.purge_before
        if bounce is not None and self._is_about_target(bounce, identity, arrived_at, folder):
            return
        if ours and before is not None and arrived_at is not None and arrived_at < before:
            self.left_over.append(identity)
        elif not ours:
            self.foreign.append(identity)

    def _is_about_target(self, bounce: Bounce, identity: str, arrived_at: float | None, folder: str) -> bool:
        """Return whether a bounce is about one of the messages, and note it then."""
        for target, sent in zip(self._request.returned, self._sent, strict=True):
            if (arrived_at is None or arrived_at >= target.sent_at - _CLOCKS) and is_about(bounce, sent):
                self.matches.append(BounceMatch(target.correlation_id, bounce, folder, arrived_at, identity))
                return True
        return False

    def _since(self) -> float:
        request = self._request
        begin = min((one.sent_at for one in request.returned), default=request.purge_before or 0.0) - _CLOCKS
        return max(0.0, begin if request.purge_before is None else min(begin, request.purge_before - _PURGED_SECONDS))


def _fields(message: Mapping[str, Any]) -> tuple[Field, ...]:
    """Return sender and subject as Graph has them, as fields."""
    sender = message.get("from")
    address = sender.get("emailAddress") if isinstance(sender, Mapping) else None
    values = address if isinstance(address, Mapping) else {}
    shown = f"{values.get('name') or ''} <{values.get('address') or ''}>"
    return clean([("From", shown), ("Subject", str(message.get("subject") or ""))])
