"""What the web room needs of the agent, as protocols: it reads, and asks for a run or a reload; it holds nothing.

Rule of this file: protocols only. The agent of `smtpcheck.agent` has this shape, and so have the small worlds of tests.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from smtpcheck.agent.alerting import NotifierState
from smtpcheck.agent.on_demand import Busy, Probed
from smtpcheck.agent.silencing import Silences
from smtpcheck.alerts.notification import Notification
from smtpcheck.config.problems import Problem
from smtpcheck.config.settings import Settings
from smtpcheck.diagnosis.catalogue import Catalogue
from smtpcheck.loopback.status import LoopbackStatus
from smtpcheck.model.credential import CredentialState
from smtpcheck.model.inspection import Announcement, Incident, Inspection
from smtpcheck.model.report import Report
from smtpcheck.state.state import State


class TooSoonView(Protocol):
    """A run that was asked for too shortly after another one of the same check."""

    @property
    def seconds(self) -> float:
        """Return how long to wait before it may be asked for again."""


class AlertsView(Protocol):
    """The agent's own alerts."""

    @property
    def is_configured(self) -> bool:
        """Return whether there are any in the configuration."""

    def counts(self) -> dict[str, int]:
        """Return how many fire, by severity."""

    def firing(self, most: int | None = None) -> list[Notification]:
        """Return those that fire, the worst and oldest first, and no more than `most`."""

    def each_firing(self) -> Iterator[Notification]:
        """Yield those that fire now, the worst and oldest first; each is put into words when it is asked for."""

    def of_check(self, name: str) -> list[Notification]:
        """Return those that fire and that a check is part of."""

    @property
    def silences(self) -> Silences:
        """Return which checks are silenced."""

    def notifiers(self) -> list[NotifierState]:
        """Return what is known of each notifier, and of the heartbeat."""


class InspectionView(Protocol):
    """What providers say of themselves."""

    def incidents(self) -> tuple[Incident, ...]:
        """Return the open incidents that they have published."""

    def announcements(self) -> tuple[Announcement, ...]:
        """Return the changes that they have announced."""

    def found(self, credential: str) -> Inspection:
        """Return what was read last about a credential and its mailboxes, nothing where nothing was read."""

    def next_reading_at(self, credential: str) -> float | None:
        """Return when the next reading of a credential begins, or has begun (Unix seconds)."""


class AgentView(Protocol):
    """The agent, as far as HTTP is concerned."""

    @property
    def alerting(self) -> AlertsView:
        """Return its alerts."""

    @property
    def inspection(self) -> InspectionView:
        """Return what providers say."""

    @property
    def settings(self) -> Settings:
        """Return the settings that are in force."""

    @property
    def state(self) -> State:
        """Return what is remembered of every check."""

    @property
    def catalogue(self) -> Catalogue:
        """Return the texts of the diagnosis."""

    def ready(self) -> bool:
        """Return whether every check is scheduled."""

    def unhealthy_reason(self) -> str:
        """Return why the agent is unhealthy, empty while it is healthy."""

    def stuck_reason(self) -> str:
        """Return why only a restart helps the agent, empty while it does its work."""

    def next_run(self, name: str) -> float | None:
        """Return when the check will run next (Unix seconds)."""

    def loopback(self, name: str) -> LoopbackStatus | None:
        """Return what is known of a check's loopback; None where it has none."""

    def credentials(self) -> tuple[CredentialState, ...]:
        """Return what is known of every credential."""

    async def exposition(self, *, openmetrics: bool, join: Callable[[Iterable[bytes]], bytes]) -> bytes:
        """Return the metrics, in Prometheus' format or as OpenMetrics, as `join` makes one of their pieces."""

    async def check_now(self, name: str) -> Report | TooSoonView | Busy:
        """Run a check at once with a fresh token; refused when asked for too often, or by an agent that is stopping."""

    async def probe_now(self, name: str, seconds: float) -> Probed | Busy:
        """Run a check for a request that waits so many seconds; KeyError for an unknown one."""

    def exposition_of(self, probed: Probed, *, openmetrics: bool) -> bytes:
        """Return the metrics of such a run as text."""

    async def reload(self) -> tuple[Problem, ...]:
        """Reload the configuration; return what is wrong with it, nothing if it is in force now."""
