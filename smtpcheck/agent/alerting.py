"""The agent's alerts: every run goes in, and each configured notifier is served.

Rules of this file:
- It only ties together: `alerts` decides what fires, its notifiers send it, and `state` keeps both.
- Nothing here waits for a notifier: each is served by a task of its own.
- A silence withholds what is new and what reminds. What was sent before it is still resolved, and refreshed where the
  notifier would else forget it; what begins and ends within it is never sent.
- What was sent is kept, so that after a restart nothing is sent twice and nothing is forgotten; a check that leaves the
  configuration leaves its alerts, which are then resolved.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice

from smtpcheck.agent.silencing import Silences
from smtpcheck.alerts.alert_state import AlertState, Change
from smtpcheck.alerts.dispatcher import Dispatcher
from smtpcheck.alerts.grouping import Key, Severity, Subject, endpoint, issues_of
from smtpcheck.alerts.notification import Notification, notification_of
from smtpcheck.alerts.notification_log import DueNotification, Entry, NotificationLog, Reason, RepeatIntervals
from smtpcheck.alerts.notifiers.heartbeat import LABEL, Heartbeat
from smtpcheck.alerts.notifiers.notifier import Notifier
from smtpcheck.config.alerts import AlertSettings, HeartbeatSettings
from smtpcheck.config.settings import Settings
from smtpcheck.diagnosis.catalogue import Catalogue
from smtpcheck.model.check import Check
from smtpcheck.model.report import Finding, Outcome, Report
from smtpcheck.model.shard import WHOLE
from smtpcheck.state.state import State

_PAGE = ""
"""The name of the page's own log in the state file of 0.1.0."""


@dataclass(frozen=True, slots=True)
class NotifierState:
    """What the page and the metrics show of one notifier; the heartbeat is one of them."""

    name: str
    type: str
    counts: Mapping[str, int]
    """Alerts by result: success, error, dropped."""
    failure: str
    """Why the last attempt failed; empty when it did not."""
    waiting: int
    """Notifications that are still to be sent."""
    failing_since: float | None = None
    """When the first of the attempts in a row that failed did (Unix seconds)."""


@dataclass(frozen=True, slots=True)
class _ActiveNotifier:
    """A notifier at work."""

    notifier: Notifier
    intervals: RepeatIntervals
    dispatcher: Dispatcher


@dataclass(frozen=True, slots=True)
class _ActiveHeartbeat:
    """A heartbeat at work."""

    settings: HeartbeatSettings
    heartbeat: Heartbeat
    task: asyncio.Task[None]


class Alerting:
    """The alerts of one agent; without `alerts:` in the configuration it does nothing."""

    def __init__(
        self,
        settings: Settings,
        state: State,
        catalogue: Catalogue,
        *,
        wall: Callable[[], float],
        unhealthy_reason: Callable[[], str],
    ) -> None:
        """Begin with these settings; `unhealthy_reason` says why the agent is unhealthy, empty while it is healthy."""
        self._state = state
        self._catalogue = catalogue
        self._wall = wall
        self._unhealthy_reason = unhealthy_reason
        self._alert_state = AlertState()
        self._page = NotificationLog({}, RepeatIntervals(None))
        self.silences = Silences(settings, state, wall=wall, is_alerting=self._is_alerting)
        self._active: dict[str, _ActiveNotifier] = {}
        self._heartbeat: _ActiveHeartbeat | None = None
        self._configure(settings)

    # -- what happens -------------------------------------------------------------------------------------------------

    def observe(self, check: Check, report: Report, amends: Report | None = None) -> None:
        """Count the report of a run; with `amends`, no run has ended: it replaces that report of the last one."""
        if self._alerts is None:
            return
        muted = report.outcome is not Outcome.OK and self._in_maintenance(check)
        thresholds = self._alerts.thresholds.for_interval(check.interval)
        change = self._alert_state.observe(
            check, report, thresholds, agent_severity=self._alerts.agent_severity, muted=muted, amends=amends
        )
        if change is not None:
            self._apply(check, change)

    async def start(self) -> None:
        """Restore what was kept, and begin to send."""
        await self.silences.start()
        streaks, entries = await asyncio.gather(self._state.alerts.streaks(), self._state.alerts.entries())
        for name, each in streaks.items():
            self._alert_state.restore(name, each)
        for key, entry in entries.pop(_PAGE, {}).items():
            self._page.restore(key, entry)
        self._state.alerts.rewrite = self._persist_all
        self._apply_settings(entries)
        for name in entries.keys() - self._active.keys():
            self._state.alerts.put_entries(name, dict.fromkeys(entries[name]))

    async def replace(self, settings: Settings) -> None:
        """Apply other settings; a notifier that is unchanged goes on without a gap, and so does the heartbeat."""
        before = self._alerts
        self._configure(settings)
        self.silences.replace(settings)
        if self._alerts is None and before is None:
            return
        changed = [
            each
            for each in self._active.values()
            if each.notifier not in self._notifiers or each.intervals != self._intervals_for(each.dispatcher)
        ]
        # Until it has stopped a notifier is an active one: what it still sends is in its log, and the log is persisted.
        stopped = (each.dispatcher.stop(flush=False) for each in changed)
        await asyncio.gather(*stopped, self._end_heartbeat(unless=self._alerts.heartbeat if self._alerts else None))
        self._persist()
        left = {
            each.dispatcher.name: dict(self._active.pop(each.dispatcher.name).dispatcher.notification_log.entries)
            for each in changed
        }
        self._apply_settings(left)
        for name in left.keys() - self._active.keys():
            self._state.alerts.put_entries(name, dict.fromkeys(left[name]))

    async def close(self) -> None:
        """Send what is due, if that can be done in time, and end."""
        served = tuple(self._active.values())
        await asyncio.gather(*(each.dispatcher.stop(flush=True) for each in served), self._end_heartbeat())

    def clock_set(self, step: float) -> None:
        """Let reminders and ends that wait age on by the seconds by which the wall clock was set."""
        for notification_log in self._notification_logs().values():
            notification_log.clock_set(step)
        self._persist()

    # -- what is shown ------------------------------------------------------------------------------------------------

    @property
    def is_configured(self) -> bool:
        """Return whether there are alerts at all."""
        return self._alerts is not None

    def firing(self, most: int | None = None) -> list[Notification]:
        """Return the alerts that fire, the worst and oldest first, at most `most`."""
        return list(islice(self.each_firing(), most))

    def each_firing(self) -> Iterator[Notification]:
        """Yield the alerts that fire now, the worst and oldest first; each is put into words when it is asked for."""
        entries = sorted(self._page.entries.items(), key=lambda item: (item[0].severity, item[1].since))
        return (self._as_notification(key, entry) for key, entry in entries)

    def counts(self) -> dict[str, int]:
        """Return how many alerts fire, by severity; nothing where none are configured."""
        if self._alerts is None:
            return {}
        found = Counter(key.severity for key in self._page.entries)
        return {str(severity): found[severity] for severity in Severity}

    def of_check(self, name: str) -> list[Notification]:
        """Return the alerts that fire and that a check is part of."""
        keys = sorted(self._alert_state.of_check(name), key=lambda key: key.severity)
        return [self._as_notification(key, self._page.entries[key]) for key in keys if key in self._page.entries]

    def notifiers(self) -> list[NotifierState]:
        """Return what is known of each notifier, and of the heartbeat."""
        now = self._wall()
        found = [
            NotifierState(
                each.dispatcher.name,
                each.notifier.type,
                dict(each.dispatcher.counts),
                each.dispatcher.failure,
                sum(due.reason in {Reason.NEW, Reason.RESOLVED} for due in each.dispatcher.notification_log.due(now)),
                each.dispatcher.failing_since,
            )
            for each in self._active.values()
        ]
        if self._heartbeat is not None:
            beat = self._heartbeat.heartbeat
            found.append(NotifierState(LABEL, LABEL, dict(beat.counts), beat.withheld or beat.failure, 0))
        return found

    # -- inside -------------------------------------------------------------------------------------------------------

    def _configure(self, settings: Settings) -> None:
        self._alerts: AlertSettings | None = settings.alerts
        self._notifiers = settings.alerts.notifiers if settings.alerts else ()
        self._address = settings.agent.page
        self._shard = str(settings.sharding.shard) if settings.sharding.shard != WHOLE else ""
        self._checks = {check.name: check for check in settings.checks if check.scheduled}
        self._scopes: dict[tuple[Subject, str], list[Check]] | None = None
        self._common: dict[tuple[NotificationLog, Key], tuple[int, dict[str, str]]] = {}

    def _apply_settings(self, kept: Mapping[str, Mapping[Key, Entry]]) -> None:
        """Bring alert state, logs and tasks into line with the settings."""
        for name in tuple(self._alert_state.streaks):
            if self._alerts is None or name not in self._checks:
                self._alert_state.drop(name)
                self._state.alerts.put_streaks(name, {})
        for notifier in self._notifiers:
            if notifier.label not in self._active:
                self._active[notifier.label] = self._start_notifier(notifier, kept.get(notifier.label, {}))
        self._reconcile(self._page)
        for key in tuple(self._page.entries):
            self._page.discard(key)
        for each in self._active.values():
            self._reconcile(each.dispatcher.notification_log)
        self._persist()
        if self._heartbeat is None and self._alerts is not None and self._alerts.heartbeat is not None:
            beat = self._alerts.heartbeat.heartbeat()
            task = asyncio.create_task(beat.run(self._heartbeat_blocker), name="heartbeat")
            self._heartbeat = _ActiveHeartbeat(self._alerts.heartbeat, beat, task)

    def _start_notifier(self, notifier: Notifier, kept: Mapping[Key, Entry]) -> _ActiveNotifier:
        sender = notifier.sender()
        intervals = RepeatIntervals(self._alerts.remind_every if self._alerts else None, sender.refresh_every)
        notification_log = NotificationLog(notifier.match, intervals)
        for key, entry in kept.items():
            notification_log.restore(key, entry)
        dispatcher = Dispatcher(
            notifier.label,
            sender,
            notification_log,
            render=partial(self._render, notification_log),
            persist=self._persist_durably,
            is_withheld=self._is_withheld,
            wall=self._wall,
        )
        dispatcher.start()
        return _ActiveNotifier(notifier, intervals, dispatcher)

    def _intervals_for(self, dispatcher: Dispatcher) -> RepeatIntervals:
        return RepeatIntervals(self._alerts.remind_every if self._alerts else None, dispatcher.refresh_every)

    def _apply(self, check: Check, change: Change) -> None:
        now = self._wall()
        findings = {issue.key: issue.findings for issue in change.current}
        for notification_log in self._notification_logs().values():
            for key in change.left:
                if notification_log.is_for(check, key.severity):
                    notification_log.left(key, now)
                    self._discard_silenced(notification_log, key)
            for key in change.joined:
                if notification_log.is_for(check, key.severity):
                    notification_log.joined(key, check.name, findings.get(key, ()), now)
            for key, why in findings.items():
                notification_log.update_findings(key, why)
        for key in change.left:
            self._page.discard(key)
        if change.streaks is not None:
            self._state.alerts.put_streaks(check.name, change.streaks)
        self._persist()
        if change.left or change.joined:
            for each in self._active.values():
                each.dispatcher.wake()

    def _reconcile(self, notification_log: NotificationLog) -> None:
        firing = [
            (key, name)
            for key, name in self._alert_state.firing()
            if name in self._checks and notification_log.is_for(self._checks[name], key.severity)
        ]
        notification_log.reconcile(firing, self._findings, self._wall())
        for key in tuple(notification_log.entries):
            self._discard_silenced(notification_log, key)

    def _discard_silenced(self, notification_log: NotificationLog, key: Key) -> None:
        """Discard an alert that began and ended while it was silenced: nobody was notified of it."""
        entry = notification_log.entries.get(key)
        if entry and entry.ended_at is not None and entry.notified_at is None and self._is_silenced(key, entry):
            notification_log.discard(key)

    def _findings(self, key: Key, name: str) -> tuple[Finding, ...]:
        """Return why a check is part of an alert, by its last run or its last failure."""
        severity = self._alerts.agent_severity if self._alerts else Severity.CRITICAL
        state = self._state.checks.get(name)
        for report in (state.report, state.failure) if state else ():
            for issue in issues_of(self._checks[name], report, severity).values() if report else ():
                if issue.key == key:
                    return issue.findings
        return ()

    def _as_notification(self, key: Key, entry: Entry) -> Notification:
        return self._render(self._page, DueNotification(key, entry, Reason.NEW))

    def _render(self, notification_log: NotificationLog, due: DueNotification) -> Notification:
        key = due.key
        names = [
            name
            for name in self._alert_state.checks_of(key)
            if name in self._checks and notification_log.is_for(self._checks[name], key.severity)
        ]
        total, labels = self._common_labels(notification_log, key)
        return notification_of(
            due,
            names=names,
            total=total,
            labels=labels,
            catalogue=self._catalogue,
            address=self._address,
            shard=self._shard,
        )

    def _common_labels(self, notification_log: NotificationLog, key: Key) -> tuple[int, dict[str, str]]:
        """Return how many checks an alert could have for a notifier, and the labels that those have in common."""
        place = (notification_log, key)
        if place not in self._common:
            checks = [check for check in self._scope(key) if notification_log.is_for(check, key.severity)]
            shared = set(checks[0].labels).intersection(*(check.labels for check in checks)) if checks else set()
            self._common[place] = len(checks), dict(sorted(shared))
        return self._common[place]

    def _scope(self, key: Key) -> list[Check]:
        if key.subject is Subject.AGENT:
            return list(self._checks.values())
        if key.subject is Subject.CHECK:
            return [self._checks[key.name]] if key.name in self._checks else []
        if self._scopes is None:
            self._scopes = _scopes(self._checks.values())
        return self._scopes.get((key.subject, key.name), [])

    def _in_maintenance(self, check: Check) -> bool:
        windows = self._alerts.maintenance if self._alerts else ()
        return bool(windows) and any(window.covers(dict(check.labels), self._wall()) for window in windows)

    def _is_withheld(self, due: DueNotification) -> bool:
        if due.reason not in {Reason.NEW, Reason.REMINDER}:
            return False
        return self._is_silenced(due.key, due.entry) or (due.reason is Reason.REMINDER and self._is_muted(due.key))

    def _is_muted(self, key: Key) -> bool:
        checks = [self._checks[name] for name in self._alert_state.checks_of(key) if name in self._checks]
        return bool(checks) and all(map(self._in_maintenance, checks))

    def _is_silenced(self, key: Key, entry: Entry) -> bool:
        """Return whether every check of an alert is silenced; of one that has ended, every check that it named."""
        names = self._alert_state.checks_of(key) if entry.ended_at is None else entry.names
        return self.silences.are_silenced(names)

    def _is_alerting(self, name: str, outcome: Outcome) -> bool:
        """Return whether a check is part of an alert that fires for an outcome."""
        severity = Severity.WARNING if outcome is Outcome.WARNING else Severity.CRITICAL
        return any(key.severity is severity for key in self._alert_state.of_check(name))

    def _heartbeat_blocker(self) -> str:
        if unhealthy_reason := self._unhealthy_reason():
            return unhealthy_reason
        remote = [each.dispatcher for each in self._active.values() if each.dispatcher.is_remote]
        if remote and all(dispatcher.failure for dispatcher in remote):
            return f"no notifier can be reached; {remote[0].name}: {remote[0].failure}"
        return ""

    def _notification_logs(self) -> dict[str, NotificationLog]:
        return {_PAGE: self._page} | {name: each.dispatcher.notification_log for name, each in self._active.items()}

    async def _persist_durably(self) -> None:
        self._persist()
        await self._state.alerts.written()

    def _persist(self) -> None:
        for name, notification_log in self._notification_logs().items():
            self._state.alerts.put_entries(name, notification_log.changes())

    def _persist_all(self) -> None:
        for name, streaks in self._alert_state.streaks.items():
            self._state.alerts.put_streaks(name, streaks)
        for name, notification_log in self._notification_logs().items():
            self._state.alerts.put_entries(name, dict(notification_log.entries))

    async def _end_heartbeat(self, unless: HeartbeatSettings | None = None) -> None:
        """End the heartbeat, unless it is the one of these settings."""
        ended = self._heartbeat
        if ended is None or ended.settings == unless:
            return
        self._heartbeat = None
        ended.task.cancel()
        await asyncio.gather(ended.task, return_exceptions=True)
        await ended.heartbeat.close()


def _scopes(checks: Iterable[Check]) -> dict[tuple[Subject, str], list[Check]]:
    """Return which checks could be part of an alert about a host or a credential."""
    scopes: dict[tuple[Subject, str], list[Check]] = {}
    for check in checks:
        scopes.setdefault((Subject.HOST, endpoint(check)), []).append(check)
        if check.credential is not None:
            scopes.setdefault((Subject.CREDENTIAL, check.credential), []).append(check)
    return scopes
