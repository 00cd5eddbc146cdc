"""The phases of a run as they pass, each with its time."""

from collections.abc import Callable

from smtpcheck.model.check import Phase
from smtpcheck.model.report import Attempt, Exchange, Fault, Step


class Phases:
    """What has happened so far; one phase is open at a time at most."""

    def __init__(self, elapsed: Callable[[], float]) -> None:
        """Begin without any; `elapsed` says how many seconds ago the run began."""
        self.elapsed = elapsed
        self.steps: list[Step] = []
        self.attempts: list[Attempt] = []
        self.open: Phase | None = None
        """The phase that has begun and not ended."""
        self._start = 0.0

    def begin(self, phase: Phase) -> None:
        """Begin a phase now."""
        self.open = phase
        self._start = self.elapsed()

    def end(
        self, fault: Fault | None = None, *, seconds: float | None = None, exchanges: tuple[Exchange, ...] = ()
    ) -> None:
        """End the open phase now, or after so many seconds; without one nothing happens."""
        if self.open is not None:
            took = self.elapsed() - self._start if seconds is None else seconds
            self.steps.append(Step(self.open, self._start, took, exchanges, fault))
            self.open = None
