"""What must hold in every world, whatever happens in it: checked with every run, every minute, and at the end.

Rules of this file:
- The truth is the world's: what its hosts, issuers, mailboxes and places have seen, and what was wrong with them.
- A condition excuses what it spoils, for as long as it may; nothing else does.
"""

import math
from collections import Counter, defaultdict
from collections.abc import MutableMapping
from math import inf
from typing import TYPE_CHECKING, Any

import structlog

from smtpcheck.alerts.grouping import Key
from smtpcheck.config.settings import Settings
from smtpcheck.config.traffic import traffic_of
from smtpcheck.loopback.message_state import Message
from smtpcheck.model.cause import Cause
from smtpcheck.model.check import Check, Depth
from smtpcheck.model.report import Outcome, Report
from smtpcheck.model.retry import retries_within

if TYPE_CHECKING:
    from tests.simulation.world import World

SLACK_SECONDS = 90.0
"""For ticks, time limits of a run, and threads."""
LONGEST_BACKOFF = 2 * 3600.0
"""Of the refusals that the world's hosts give."""
REMEMBERED_SECONDS = 400.0
"""How long an issuer's failure may be the answer after it is over."""
FOUND_WITHIN = 2 * 3600.0
"""How long after it arrived a message may be unseen where nothing is wrong."""


class Invariants:
    """The invariants of one world; it is also the tracer that sees every run."""

    def __init__(self, world: "World") -> None:
        self.runs = 0
        self.outcomes: Counter[str] = Counter()
        self._world = world
        self._story, self._conditions, self._ledger = world.story, world.conditions, world.ledger
        self._since = inf
        """Since when the agent has run by its present configuration; infinity while there is none."""
        self._ended: dict[str, float] = {}
        """When the last run of each check ended, or since when there is none."""
        self._critical_since: dict[str, float] = {}
        self._firing: dict[tuple[str, Key], float] = {}
        """Since when each check is known to be part of an alert."""
        self._lost: set[str] = set()
        self._found: set[str] = set()
        self._requested: dict[str, int] = defaultdict(int)
        self.undisturbed_since = world.loop.virtual
        self.least_sockets = self.least_locks = 0

    # -- the agent's life ---------------------------------------------------------------------------------------------

    def started(self) -> None:
        """Expect every check to run from now on."""
        self._ended, self._critical_since = {}, {}
        self.reloaded()

    def reloaded(self) -> None:
        """Expect the checks of the present configuration from now on."""
        self._end_epoch()
        self._since = self.undisturbed_since = self._world.loop.virtual
        self._settings = self._world.agent.settings if self._world.agent else None

    def stopping(self) -> None:
        """Expect nothing more."""
        self._end_epoch()
        self._since, self.undisturbed_since = inf, self._world.loop.virtual

    def requested(self, host: str, issuer: str) -> None:
        """Note that a user had a check run."""
        self._requested[host] += 1
        self._requested[issuer] += 1

    # -- with every run, and every line of the log --------------------------------------------------------------------

    def new_id(self) -> str:
        return ""

    async def close(self) -> None:
        pass

    def record(self, check: Check, report: Report, trace_id: str) -> None:
        """Check a run that has ended, before anything else is known of it."""
        if self._since == inf and self._world.agent is None:
            return
        now = self._world.loop.virtual
        self.runs += 1
        self.outcomes[report.outcome] += 1
        self._story.tell("run", check.name, report.outcome, report.cause or "", f"{report.seconds:.3f}")
        if is_own := check.depth is not Depth.SEND or check.name not in self._loopbacks():
            self._ended[check.name] = now
        if report.outcome is Outcome.OK:
            if is_own:
                self._ledger.refusals.pop(check.mailbox, None)
            return
        self._story.saw("a report", repr(report))
        begin = now - report.seconds - report.waited
        if report.cause is Cause.INTERNAL:
            self._story.broke(f"{check.name}: a fault of smtpcheck itself")
        elif report.outcome is Outcome.CRITICAL and not self._may_fail(check, begin):
            self._story.broke(f"{check.name} is critical for {report.cause}, and nothing is wrong with its world")
        elif report.outcome is Outcome.UNKNOWN and not self._may_be_unknown(check, report, begin):
            self._story.broke(f"{check.name} is unknown for {report.cause}, and nothing is wrong with its agent")

    def logged(self, _logger: object, method: str, event: MutableMapping[str, Any]) -> Any:
        """Check a line of the log; it goes nowhere else."""
        error = event.get("exc_info")
        if error and self._since != inf:
            import traceback

            found = traceback.format_exc() if error is True else "".join(traceback.format_exception(error))
            self._story.broke(f"{event}\n{found}")
        self._story.saw("the log", repr(event))
        if self._since != inf and str(event.get("event", "")).startswith("internal error"):
            self._story.broke(f"the log says: {event}")
        if event.get("event") == "loopback" and event.get("stage") == "delivered":
            self._found.add(event["message_id"].partition("@")[0].removeprefix("<"))
        if method in {"warning", "error"}:
            self._story.tell("log", event.get("event", "")[:120].replace(str(self._world.folder), ""))
        raise structlog.DropEvent

    # -- every minute -------------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Check what holds at any time."""
        world = self._world
        self.least_sockets = min(self.least_sockets, len(world.loop._selector.get_map()))  # type: ignore[attr-defined]
        self.least_locks = min(self.least_locks, len(world.locks.held))
        if world.agent is None or self._since == inf:
            return
        self._look_at_waits()
        self._look_at_health()
        for name in self._loopbacks():
            for message in world.agent._loopback.record(name).messages:
                self._look_at_message(message)
        self._look_at_alerts()

    def _look_at_waits(self) -> None:
        now, agent = self._world.loop.virtual, self._world.agent
        for check in agent.settings.checks if agent else ():
            refused_at = self._ledger.refused_at.get(check.mailbox, 0.0)
            since = max(self._ended.get(check.name, 0.0), refused_at, self._since)
            # From a first run, or one that was tried again soon, to the next slot.
            most = 1.5 * check.interval + SLACK_SECONDS
            if self._ledger.refusals.get(check.mailbox):
                most += LONGEST_BACKOFF + check.interval
            if self._conditions.was(check.mailbox, since, "locked"):
                most += check.interval
            if now - since > most and not self._conditions.was("agent", since, "stalled"):
                waited = f"for {now - since:.0f} s, with an interval of {check.interval:g} s"
                self._story.broke(f"{check.name} has not run {waited}")

    def _look_at_health(self) -> None:
        agent, now, database = self._world.agent, self._world.loop.virtual, self._world.database
        if agent is None or database is None or now - self._since < SLACK_SECONDS:
            return
        if (stuck := agent.stuck_reason()) and not self._conditions.was("agent", now - 30.0, "stalled"):
            self._story.broke(f"the agent says of itself: {stuck}")
        if database._retry_at > now and not agent.state.error:
            self._story.broke("the state file cannot be written, and the agent does not say so")
        if agent.state.error and not self._conditions.was("agent", now - SLACK_SECONDS, "disk full"):
            self._story.broke(f"the agent says: {agent.state.error}")

    def _look_at_message(self, message: Message) -> None:
        if message.lost_at is None or message.mark in self._lost:
            return
        self._lost.add(message.mark)
        plan = self._loopbacks()[message.check]
        mailbox = plan.find.mailbox if plan.find else ""
        sent = next((each for each in self._ledger.messages[mailbox] if each.correlation_id == message.mark), None)
        limit = (sent.at if sent else 0.0) + plan.lost_after
        clocks = self._conditions.was("agent", sent.at if sent else 0.0, "clock set")
        if not clocks and not any(
            each.succeeded and each.began >= limit and message.mark in each.targets
            for each in self._ledger.searches[mailbox]
        ):
            self._story.broke(f"message {message.sequence} of {message.check} is lost, and no search says so")

    def _look_at_alerts(self) -> None:
        agent, now = self._world.agent, self._world.loop.virtual
        if agent is None or now < self._since:
            return
        for check in agent.settings.checks:
            state = agent.state.checks.get(check.name)
            if state is None or state.report.outcome is not Outcome.CRITICAL:
                self._critical_since.pop(check.name, None)
                continue
            since = max(self._critical_since.setdefault(check.name, now), self._since)
            late = max(3600.0, 3 * check.interval) + LONGEST_BACKOFF + 1200.0
            if now - since < late:
                continue
            alerts = [each for each in agent.alerting.of_check(check.name) if each.key.severity == "critical"]
            if not alerts:
                self._story.broke(f"{check.name} has been critical for {now - since:.0f} s, and no alert fires")
            since = max(self._firing.setdefault((check.name, each.key), now) for each in alerts) if alerts else now
            for name in self._world.configuration.notifiers:
                quiet = not self._conditions.was(name, now - 1800.0) and not self._conditions.was("agent", now - 1800.0)
                quiet = quiet and now - since > 600.0
                told = self._world.places[name].keys & {each.key for each in alerts}
                if quiet and not told:
                    self._story.broke(f"{name} was not notified that {check.name} is critical")

    # -- at the end ---------------------------------------------------------------------------------------------------

    def expect_levels(self) -> None:
        """Expect that from now on nothing is held at some moment at least: nothing is wrong any more."""
        self.least_sockets = self.least_locks = 10**9

    def look_at_recovery(self) -> None:
        """Check that all is well again, some hours after the last thing was wrong."""
        agent = self._world.agent
        if agent is None:
            return
        for check in agent.settings.checks:
            state = agent.state.checks.get(check.name)
            if state is None or state.report.outcome not in {Outcome.OK, Outcome.WARNING}:
                self._story.broke(f"{check.name} does not recover: {state.report.cause if state else 'no run'}")
        if firing := agent.alerting.firing():
            self._story.broke(f"an alert does not resolve: {firing[0].summary}")
        for name in self._world.configuration.notifiers:
            for id_, attempts in self._world.places[name].attempts.items():
                told = [each for each in attempts if each.taken]
                since = self._world.removed_at.get(name, 0.0)
                unkept = told and self._conditions.held("disk full", "agent", told[-1].at)  # a restart forgets it
                if told and told[-1].firing and told[-1].at > since and not unkept:
                    self._story.broke(f"{name} was not notified that {id_} is over")
        self._look_for_forgotten()

    def _look_for_forgotten(self) -> None:
        now = self._world.loop.virtual
        for name, plan in self._loopbacks().items():
            for sent in self._ledger.messages[plan.find.mailbox if plan.find else ""]:
                seen = sent.correlation_id[-24:] in self._found or sent.gone
                due = max(sent.at, sent.arrives_at) + FOUND_WITHIN < now and now - sent.at < 20 * 3600.0
                if due and not seen and sent.check == name and not self._world.was_removed(name, sent.at):
                    self._story.broke(f"message {sent.number} of {name} arrived and was forgotten")

    def look_at_levels(self) -> None:
        """Check that nothing was held at some moment of the last hours."""
        if self.least_sockets > 1 or self.least_locks > 0:
            self._story.broke(f"always open: {self.least_sockets - 1} sockets, {self.least_locks} locks")

    def look_at_tasks(self, tasks: int) -> None:
        """Check that nothing is left of an agent that has ended."""
        if tasks:
            self._story.broke(f"{tasks} tasks are left of an agent that has ended")

    def _end_epoch(self) -> None:
        """Compare what the configuration announces with what came, in the time that it was in force."""
        settings, now = getattr(self, "_settings", None), self._world.loop.virtual
        if settings is None or self._since == inf:
            return
        begin, hours = self._since, (now - self._since) / 3600.0
        traffic = traffic_of(settings)
        for host in traffic.hosts:
            sending = sum(check.server.host == host.host for check in settings.checks)
            extra = 2 * sending + self._requested[host.host]
            outages = self._conditions.count(begin, host.host, "agent", *self._world.issuers)
            extra += outages * retries_within(now - begin + 1.0) * sending
            self._compare(host.host, "connections", self._ledger.connections, host.connections_per_hour * hours + extra)
            self._compare(host.host, "messages", self._ledger.taken, host.messages_per_hour * hours + sending)
        for issuer in traffic.issuers:
            name = issuer.issuer.split(".")[1]
            failed = self._conditions.was(name, begin - REMEMBERED_SECONDS) or self._conditions.was("agent", begin)
            rate = issuer.failing_requests_per_hour if failed else issuer.requests_per_hour
            most = rate * hours + 2 * issuer.tokens + self._requested[issuer.issuer] + (12 if failed else 0)
            asked = {name: self._world.issuers[name].requests}
            self._compare(name, "requests", asked, most)
        self._requested.clear()

    def _compare(self, name: str, what: str, seen: "dict[str, list[float]]", most: float) -> None:
        count = sum(at >= self._since for at in seen.get(name, ()))
        if count > math.ceil(most):
            self._story.broke(f"{name} had {count} {what} where at most {most:.1f} are announced")

    # -- what excuses -------------------------------------------------------------------------------------------------

    def _may_fail(self, check: Check, begin: float) -> bool:
        was = self._conditions.was
        of_issuer = check.credential is not None and (
            was(self._issuer(check), begin - REMEMBERED_SECONDS)
            or was(self._issuer(check), begin - 4000.0, "throttling")
        )
        of_host = was(check.server.host, begin) or was(check.mailbox, begin) or was(check.recipient or "", begin)
        return bool(of_issuer or of_host or was("agent", begin, "no network"))

    def _may_be_unknown(self, check: Check, report: Report, begin: float) -> bool:
        was = self._conditions.was
        if report.cause is Cause.AGENT_STALLED:
            return was("agent", begin - 10.0, "stalled") is not None
        if report.cause is Cause.AGENT_CUT_OFF:
            return self._may_fail(check, begin - REMEMBERED_SECONDS)
        return was(check.mailbox, begin, "locked") is not None

    def _issuer(self, check: Check) -> str:
        return check.credential or ""

    def _loopbacks(self) -> Any:
        return self._world.agent.settings.loopbacks if self._world.agent else {}

    _settings: Settings | None
