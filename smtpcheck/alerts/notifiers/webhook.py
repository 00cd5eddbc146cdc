"""Type `webhook`: alerts as JSON, sent by POST to an address of one's own.

The body, version 1 (names are never renamed, new ones may come; times are Unix seconds):

    {"version": 1, "status": "firing" | "resolved", "alerts": [ALERT]}      one alert a request

    ALERT = {"id": "0123456789abcdef",     the same from firing to resolved, another one the next time
             "status", "reason": "new" | "reminder" | "resolved",
             "severity": "critical" | "warning",
             "subject": {"kind": "credential" | "host" | "check" | "agent", "name": ...},
             "cause": id of the cause, "summary", "evidence": [...], "remedy": [...], "reference": ...,
             "checks": names of up to 20 checks, "count": how many it is now, "total": how many it could be,
             "labels": {...}, "started_at", "ended_at": null while it fires, "page": address of the page,
             "shard": which of several agents sends it, as "0/3"; null where there is one}

With `hmac_key` the request is signed as https://www.standardwebhooks.com says: `webhook-id` (the same when the same is
sent again), `webhook-timestamp`, and `webhook-signature: v1,BASE64`, the HMAC-SHA256 of `ID.TIMESTAMP.BODY`. A key that
begins with `whsec_` is the Base64 of the key's bytes, as that standard writes it; any other is its own bytes in UTF-8.
"""

import asyncio
import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Iterable, Sequence
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field

from smtpcheck.alerts.notification import Notification
from smtpcheck.alerts.notifiers.http import HttpNotifier, read_headers
from smtpcheck.alerts.notifiers.notifier import Failure, Route, SecretUrl, Sender
from smtpcheck.secrets.source import SecretSource, SecretUnreadableError

VERSION = 1
PREFIX = "whsec_"


class Webhook(HttpNotifier):
    """An address that takes alerts as JSON."""

    type: Literal["webhook"] = "webhook"
    url: SecretUrl = Field(description="The address, as text or as {file: ...} and the like.")
    hmac_key: SecretSource | None = Field(default=None, description="The key that each request is signed with.")

    def sender(self) -> Sender:
        """Return what posts there."""
        return WebhookSender(self)

    def secrets(self) -> Iterable[tuple[tuple[str | int, ...], SecretSource]]:
        """Return address, key and headers."""
        yield ("url",), self.url
        if self.hmac_key is not None:
            yield ("hmac_key",), self.hmac_key
        yield from super().secrets()

    def problem(self) -> str:
        """Return what is wrong with the address or the key."""
        return address_problem(self.url) or ("" if self.hmac_key is None else _key_problem(self.hmac_key))

    def routes(self) -> Iterable[Route]:
        """Return the host of the address."""
        return routes_of(self.url)


class WebhookSender(Sender):
    """Posts each alert in a request of its own."""

    def __init__(self, webhook: Webhook) -> None:
        self._webhook = webhook
        self._client = webhook.client()

    async def send(self, notifications: Sequence[Notification]) -> Failure | None:
        """Post the notices."""
        try:
            url, headers, key = await asyncio.to_thread(self._read)
        except SecretUnreadableError as error:
            return Failure(str(error))
        except ValueError:
            return Failure(f"its key starts with {PREFIX} and is not Base64 after it")
        body = json.dumps(
            {
                "version": VERSION,
                "status": notifications[0].status,
                "alerts": [notification.as_json() for notification in notifications],
            }
        ).encode()
        headers |= {"Content-Type": "application/json"}
        if key is not None:
            headers |= signature(key, identity(notifications), time.time(), body)
        return await self._client.request("POST", url, headers=headers, body=body)

    async def close(self) -> None:
        """Close what is open."""
        await self._client.close()

    def _read(self) -> tuple[str, dict[str, str], bytes | None]:
        key = self._webhook.hmac_key
        return (
            self._webhook.url.read().reveal(),
            read_headers(self._webhook.headers),
            None if key is None else key_bytes(key.read().reveal()),
        )


def identity(notifications: Sequence[Notification]) -> str:
    """Return the id of a message: the same when the same is sent again."""
    text = json.dumps([[each.id, each.status, each.reason, each.notified_at] for each in notifications])
    return f"msg_{hashlib.sha256(text.encode()).hexdigest()[:32]}"


def key_bytes(key: str) -> bytes:
    """Return the bytes of a key. A `whsec_` that is no Base64 raises ValueError."""
    if not key.startswith(PREFIX):
        return key.encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode(key.removeprefix(PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None


def signature(key: bytes, message_id: str, now: float, body: bytes) -> dict[str, str]:
    """Return the headers that sign a body at Unix time `now`."""
    timestamp = str(int(now))
    digest = hmac.new(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def address_problem(source: SecretSource) -> str:
    """Return what is wrong with an address that can be read without running a command, a part of a sentence."""
    if source.command is not None:
        return ""
    try:
        parts = urlsplit(source.read().reveal())
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except SecretUnreadableError:
        return ""
    except ValueError:
        usable = False
    return "" if usable else "is not an http:// or https:// address"


def routes_of(source: SecretSource) -> Iterable[Route]:
    """Return the host of an address that can be read without running a command."""
    if source.command is not None or address_problem(source):
        return
    try:
        parts = urlsplit(source.read().reveal())
    except SecretUnreadableError:
        return
    yield Route(parts.hostname or "")


def _key_problem(source: SecretSource) -> str:
    if source.command is not None:
        return ""
    try:
        key_bytes(source.read().reveal())
    except SecretUnreadableError:
        return ""
    except ValueError:
        return f"has a key that starts with {PREFIX} and is not Base64 after it"
    return ""
