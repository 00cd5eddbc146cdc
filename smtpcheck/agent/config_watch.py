"""`--config.auto-reload`: the files of the configuration are looked at, and loaded again when they have changed.

Rules of this file:
- Contents are compared, every few seconds on the monotonic clock: this needs no support of the file system, and sees
  also what is behind a symbolic link that is swapped, as Kubernetes does it, or what a network file system brings.
- What has changed is loaded once two looks in a row have found the same: a file that is being written is not.
- A file that `-c` names and that is not there is not there yet: the settings stay until it is.
- A broken configuration is loaded, and so reported, once for each content of it.
"""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

import structlog

from smtpcheck.agent.health import Health
from smtpcheck.agent.reload import Reloader
from smtpcheck.config import contents_now

POLL_SECONDS = 3.0
_log = structlog.get_logger(__name__)


class ConfigWatch:
    """Looks at the files of one configuration."""

    def __init__(self, paths: Sequence[Path], loaded: Mapping[Path, str], reloader: Reloader, health: Health) -> None:
        """Watch what `-c` names and what is read beside it; `loaded` is what was read at the start."""
        self._paths = paths
        self._loaded = loaded
        self._reloader = reloader
        self._health = health
        self._seen: Mapping[Path, str] | None = loaded
        self._waits = False

    async def run(self) -> None:
        """Look until cancelled; a reload that has begun is not cancelled with it."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            try:
                await self._look()
            except Exception:  # noqa: BLE001
                self._health.internal_errors += 1
                _log.exception("internal error")

    async def _look(self) -> None:
        tried = self._loaded if self._reloader.tried is None else self._reloader.tried
        now = await asyncio.to_thread(contents_now, self._paths, tried)
        settled, self._seen = now == self._seen, now
        if not settled:
            return
        if now is None:
            if not self._waits:
                _log.warning("a file of the configuration is missing; the settings stay until it is there")
            self._waits = True
            return
        self._waits = False
        if now != tried:
            _log.info("configuration files have changed, loading them")
            await asyncio.shield(self._reloader.reload())
