"""A reload: the configuration is loaded again, and swapped in when it is whole.

Rules of this file:
- Settings are never mutated, and a bad file keeps the old ones.
- One reload at a time, and none once the agent is stopping.
- What the agent has opened or built for good (its port, its folder, its limits) waits for the next start, and the log
  says so.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path

import structlog

from smtpcheck.config import AgentSettings, Loaded, Problem, Settings

_AT_ONCE = frozenset({"expose_addresses", "connectivity"})
"""Settings of the agent that a reload changes."""
_STOPPING = Problem("error", "the agent is stopping", hint="start it again: it will load its configuration")
_log = structlog.get_logger(__name__)


class Reloader:
    """Loads the settings of one agent again."""

    def __init__(
        self,
        used: AgentSettings,
        load: Callable[[], Loaded],
        current: Callable[[], Settings],
        swap: Callable[[Settings], Awaitable[bool]],
        wall: Callable[[], float],
    ) -> None:
        """Compare with `used`, the settings of the start; `swap` returns whether it was still time to swap.

        `current` returns the settings in force, whose checks are kept where they have not changed.
        """
        self.successful = True
        """Whether the last reload was."""
        self.is_web_config_usable = True
        """Whether the web configuration was usable when the page last read it."""
        self.succeeded_at = wall()
        """When the settings that are in force were loaded (Unix seconds)."""
        self.tried: Mapping[Path, str] | None = None
        """A digest of each file that the last reload has read; None before the first."""
        self._used = used
        self._load = load
        self._current = current
        self._swap = swap
        self._wall = wall
        self._one_at_a_time = asyncio.Lock()

    async def reload(self) -> tuple[Problem, ...]:
        """Load the configuration and swap it in when it is whole; return the errors that kept the old one, if any."""
        async with self._one_at_a_time:
            loaded = await asyncio.to_thread(self._loaded)
            self.tried = loaded.contents
            if loaded.settings is None:
                self.successful = False
                errors = tuple(problem for problem in loaded.problems if problem.severity == "error")
                _log.error("configuration not loaded, the old one stays", problems=[str(problem) for problem in errors])
                return errors
            if not await self._swap(loaded.settings):
                return (_STOPPING,)
            self.successful, self.succeeded_at = True, self._wall()
            if waiting := _for_the_next_start(self._used, loaded.settings.agent):
                _log.warning("these settings take effect at the next start", settings=waiting)
            _log.info("configuration loaded", checks=len(loaded.settings.checks))
            return ()

    def _loaded(self) -> Loaded:
        """Load the configuration, and keep what has not changed: the rest is seen, and freed, off the loop."""
        loaded = self._load()
        if loaded.settings is None:
            return loaded
        return replace(loaded, settings=loaded.settings.keeping(self._current()))

    async def settle(self, seconds: float) -> None:
        """Wait until no reload is under way, for at most so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds), self._one_at_a_time:
                pass


def _for_the_next_start(used: AgentSettings, wanted: AgentSettings) -> list[str]:
    """Return the settings of the agent that a reload does not change, and that are wanted otherwise."""
    names = (each.name for each in fields(used) if each.name not in _AT_ONCE)
    return [f"agent.{name}" for name in names if getattr(used, name) != getattr(wanted, name)]
