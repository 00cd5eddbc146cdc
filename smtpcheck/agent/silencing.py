"""The silences of one agent: those of the configuration, and those that people make.

Rules of this file:
- Those of people are kept in the state file, so they outlive a restart and a reload. Beginning and end are logged, with
  the name of who did it.
- Which checks a silence covers is worked out when silences or checks change, not with each question.
"""

import itertools
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace

import structlog

from smtpcheck.alerts.silence import Silence, outcome_to_outlast, silence_id
from smtpcheck.config.settings import Settings
from smtpcheck.model.check import Check
from smtpcheck.model.report import Outcome
from smtpcheck.state.state import State

_log = structlog.get_logger(__name__)


class Silences:
    """Which checks are silenced."""

    def __init__(
        self,
        settings: Settings,
        state: State,
        *,
        wall: Callable[[], float],
        is_alerting: Callable[[str, Outcome], bool],
    ) -> None:
        """Begin with those of the configuration.

        `is_alerting` says whether a check is part of an alert that fires for an outcome: then it is not repaired.
        """
        self._state, self._wall, self._is_alerting = state, wall, is_alerting
        self._made: dict[str, Silence] = {}
        self._numbers = itertools.count()
        self.replace(settings)

    async def start(self) -> None:
        """Restore those that people made."""
        self._made = {silence.id: silence for silence in await self._state.silences.fetch(self._wall())}
        self._cover()

    def replace(self, settings: Settings) -> None:
        """Apply other settings; what people made stays."""
        configured = settings.alerts.silences if settings.alerts else ()
        self._configured = {silence.id: silence for silence in configured}
        self._checks: Mapping[str, Check] = settings.by_name
        self._cover()

    # -- what people do -----------------------------------------------------------------------------------------------

    def add(self, silence: Silence, *, until_repaired: bool) -> Silence:
        """Begin a silence, and return it with its id; with `until_repaired` it also ends when its checks recover."""
        wanted = outcome_to_outlast(self._outcomes(silence)) if until_repaired else None
        identity = silence_id(silence.author, silence.starts_at, silence.ends_at, next(self._numbers), silence.checks)
        made = replace(silence, id=identity, until_gone=wanted)
        self._made[made.id] = made
        self._state.silences.put(made)
        self._cover()
        _log.info(
            "silence begun",
            silence=made.id,
            by=made.author,
            until=round(made.ends_at),
            until_repaired=until_repaired,
            checks=len(self._covered[made.id]),
            comment=made.comment,
        )
        return made

    def end(self, identity: str, author: str) -> bool:
        """End a silence that people made; False where there is none of that id."""
        if identity not in self._made:
            return False
        self._forget(identity, "ended by a user", by=author)
        return True

    # -- what time does -----------------------------------------------------------------------------------------------

    def tidy(self) -> None:
        """End what is over, and what was made until a repair that has come."""
        for silence in tuple(self._made.values()):
            if silence.ends_at <= self._wall():
                self._forget(silence.id, "over")
            elif silence.until_gone is not None and self._is_repaired(silence, silence.until_gone):
                self._forget(silence.id, "repaired")

    # -- what is asked ------------------------------------------------------------------------------------------------

    def of(self, name: str) -> Silence | None:
        """Return the silence of a check that lasts longest, None where it has none."""
        active = (silence for silence in self.active() if name in self._covered[silence.id])
        return max(active, key=lambda silence: silence.ends_at, default=None)

    def all(self) -> list[Silence]:
        """Return those that are in force or still to come, the next to end first."""
        now = self._wall()
        found = (each for each in (*self._configured.values(), *self._made.values()) if each.ends_at > now)
        return sorted(found, key=lambda silence: (silence.ends_at, silence.id))

    def active(self) -> Iterator[Silence]:
        """Yield those that are in force."""
        now = self._wall()
        return (each for each in (*self._configured.values(), *self._made.values()) if each.is_active(now))

    def silenced(self) -> frozenset[str]:
        """Return the names of all checks that are silenced now; it may be called in a thread."""
        return frozenset().union(*(self._covered.get(silence.id, ()) for silence in self.active()))

    def are_silenced(self, names: Collection[str]) -> bool:
        """Return whether there are names, and each is of a check that is silenced now; no walk through all checks."""
        covered = [self._covered[silence.id] for silence in self.active()]
        return bool(names and covered) and all(any(name in each for each in covered) for name in names)

    def covered(self, silence: Silence) -> frozenset[str]:
        """Return the names of the checks that a silence is for."""
        return self._covered[silence.id]

    # -- inside -------------------------------------------------------------------------------------------------------

    def _cover(self) -> None:
        silences = (*self._configured.values(), *self._made.values())
        self._covered = {
            silence.id: frozenset(name for name, check in self._checks.items() if silence.covers(check))
            for silence in silences
        }

    def _outcomes(self, silence: Silence) -> Iterator[Outcome]:
        for name, check in self._checks.items():
            if silence.covers(check) and (state := self._state.checks.get(name)) is not None:
                yield state.report.outcome

    def _is_repaired(self, silence: Silence, outcome: Outcome) -> bool:
        return not any(
            (state := self._state.checks.get(name)) is not None
            and (state.report.outcome is outcome or self._is_alerting(name, outcome))
            for name in self._covered[silence.id]
        )

    def _forget(self, identity: str, reason: str, **by: str) -> None:
        ended = self._made.pop(identity)
        self._state.silences.put(replace(ended, ends_at=min(ended.ends_at, self._wall())))
        self._cover()
        _log.info("silence ended", silence=identity, reason=reason, **by)
