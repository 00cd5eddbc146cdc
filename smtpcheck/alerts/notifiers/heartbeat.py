"""The dead-man heartbeat: an address that is called while the agent is healthy. Its service alerts when the calls end.

Rules of this file:
- Whether the agent is healthy is asked each time; a reason not to be is a sentence, which is logged once.
- A failing check is no reason: that is what alerts are for.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import structlog

from smtpcheck.alerts.notifiers.http import Client
from smtpcheck.alerts.notifiers.notifier import Failure
from smtpcheck.secrets.source import SecretSource, SecretUnreadableError

LABEL = "heartbeat"
"""What it is called in metrics; no notifier may have this name."""
_log = structlog.get_logger(__name__)


class Heartbeat:
    """Calls one address again and again."""

    def __init__(self, url: SecretSource, every: float, ca_file: Path | None, proxy: str | None) -> None:
        self._url = url
        self._every = every
        self._client = Client(ca_file=ca_file, proxy=proxy)
        self.counts: Counter[str] = Counter(success=0, error=0)
        self.failure = ""
        """Why the last call failed; empty when it did not, or was not made."""
        self.withheld = ""
        """Why the address is not called: the agent is unhealthy."""

    async def run(self, unhealthy_reason: Callable[[], str]) -> None:
        """Call the address until cancelled, whenever `unhealthy_reason` gives no reason not to."""
        while True:
            await self._beat(unhealthy_reason())
            await asyncio.sleep(self._every)

    async def call(self) -> Failure | None:
        """Call the address once."""
        try:
            url = (await asyncio.to_thread(self._url.read)).reveal()
        except SecretUnreadableError as error:
            return Failure(str(error))
        return await self._client.request("GET", url, headers={}, body=None)

    async def close(self) -> None:
        """Close what is open."""
        await self._client.close()

    async def _beat(self, unhealthy_reason: str) -> None:
        if unhealthy_reason:
            if not self.withheld:
                _log.error("no heartbeat: the agent is unhealthy", reason=unhealthy_reason)
            self.withheld = unhealthy_reason
            return
        if self.withheld:
            _log.info("the agent is healthy again")
        failure, self.withheld = await self.call(), ""
        self.counts["error" if failure else "success"] += 1
        if failure and not self.failure:
            _log.error("the heartbeat cannot be sent", error=failure.reason)
        self.failure = failure.reason if failure else ""
