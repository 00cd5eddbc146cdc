"""What a configuration will cause: connections, token requests and messages, by host and by issuer.

Rules of this file:
- It is arithmetic on settings; nothing is asked and no secret is read.
- Token requests are an upper bound for tokens of an hour: a token is renewed at half of its lifetime or after
  `fresh_every`, whichever is sooner, and all checks of one credential share it unless it has one token per mailbox.
  How long tokens live only their issuer knows: that is said in words (`ASSUMPTIONS`).
- Messages are counted as the limits of mailboxes and tenants allow them.
- An issuer that fails is asked again after a growing pause (`Backoff`); how often at most is counted separately.
- A run opens one connection, and so does a message of a loopback. One more, without login, follows a certificate that
  fails verification, and some more without login follow where a server cannot be reached (`model/retry`); that is said
  in words.
- Searches are an upper bound as well: every message is looked for at all its times, as if none were ever found, and
  deleted over a further connection. How many requests a search in Microsoft Graph is, depends on what is there
  (`loopback/graph/limits`): that is reported in words.
"""

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from smtpcheck.config.settings import Settings
from smtpcheck.inspection.plan import InspectionPlan
from smtpcheck.inspection.question import About
from smtpcheck.inspection.questions import QUESTIONS
from smtpcheck.limits.send_limits import MAILBOX, TENANT, tenant_of
from smtpcheck.loopback.plan import Find, FindVia, Loopback
from smtpcheck.loopback.timing import PURGE_EVERY, SPACING, search_ages
from smtpcheck.model.check import Check, Depth
from smtpcheck.model.retry import retries_within
from smtpcheck.oauth.backoff import FIRST_SECONDS, LONGEST_SECONDS

_HOUR = 3600.0
_HALF_A_TOKEN = 1800.0
ASSUMPTIONS = (
    "Token requests are for tokens of an hour: shorter ones are renewed more often, at half of their lifetime. "
    "While a server's certificate fails verification each run opens a second connection, without a login. "
    "A check that fails before a login (name, connection, TLS) is tried again after 1, 2, 5, 10 minutes and so on, its "
    f"interval at most: up to {retries_within(_HOUR)} further connections in the first hour of an outage."
)
"""What the numbers leave out."""


@dataclass(frozen=True, slots=True)
class HostTraffic:
    """What one SMTP host will see."""

    host: str
    port: int
    checks: int
    connections_per_hour: float
    connections_at_once: int
    """At most: one per mailbox, within `max_open_connections`."""
    messages_per_hour: float
    refusals_per_hour: float = 0.0
    """Those that are expected."""
    day_limit: float = math.inf
    """How many messages the limits of mailboxes and tenants allow in 24 hours, where that is fewer."""

    @property
    def connections_per_day(self) -> float:
        """Return the connections in 24 hours."""
        return self.connections_per_hour * 24

    @property
    def messages_per_day(self) -> float:
        """Return the messages in 24 hours, as far as the limits of mailboxes and tenants allow."""
        return min(self.messages_per_hour * 24, self.day_limit)

    @property
    def refusals_per_day(self) -> float:
        """Return the expected refusals in 24 hours."""
        return self.refusals_per_hour * 24


@dataclass(frozen=True, slots=True)
class IssuerTraffic:
    """What one issuer will see."""

    issuer: str
    """Its host."""
    tokens: int
    """How many different tokens; each is asked for once at the start."""
    requests_per_hour: float
    """At most, while it answers."""

    @property
    def failing_requests_per_hour(self) -> float:
        """Return the requests while it fails, at most."""
        return max(self.requests_per_hour, self.tokens * failures_per_hour())

    @property
    def requests_per_day(self) -> float:
        """Return the requests in 24 hours, those of the start included."""
        return self.requests_per_hour * 24 + self.tokens


@dataclass(frozen=True, slots=True)
class SearchTraffic:
    """What one host will see whose mailboxes are looked into."""

    host: str
    """IMAP by host and port, Microsoft Graph by host."""
    mailboxes: int
    """Those that messages go to, those that bounces go to, and those whose Sent Items are purged."""
    searches_per_hour: float
    """At most; each is one connection."""
    via: FindVia = FindVia.IMAP

    @property
    def searches_per_day(self) -> float:
        """Return the searches in 24 hours, at most."""
        return self.searches_per_hour * 24


@dataclass(frozen=True, slots=True)
class InspectionTraffic:
    """What a provider will be asked about one credential."""

    credential: str
    by: str
    every: float
    """Seconds from one reading to the next."""
    requests: int
    """Of one reading, at most while each answer has one page; one at once, and one a second."""
    undocumented: int
    """How many of them go to an interface that the provider does not document."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """What a configuration will cause in all."""

    hosts: tuple[HostTraffic, ...]
    """By host and port."""
    issuers: tuple[IssuerTraffic, ...]
    """By name; a credential that asks nobody is in none."""
    connections_at_once: int
    """At most, over all hosts of SMTP."""
    searches: tuple[SearchTraffic, ...] = ()
    """By host."""
    inspections: tuple[InspectionTraffic, ...] = ()
    """By credential."""


def traffic_of(settings: Settings) -> Traffic:
    """Return what the settings will cause at each host and issuer."""
    by_host: dict[tuple[str, int], list[Check]] = defaultdict(list)
    for check in settings.checks:
        if check.depth.needs_connection or check.name in settings.loopbacks:
            by_host[check.server.host, check.server.port].append(check)
    hosts = tuple(_host(host, port, checks, settings) for (host, port), checks in sorted(by_host.items()))
    limit = settings.agent.max_open_connections
    return Traffic(
        hosts=hosts,
        issuers=_issuers(settings),
        connections_at_once=min(limit, sum(host.connections_at_once for host in hosts)),
        searches=_searches(settings),
        inspections=tuple(_inspection(plan) for _, plan in sorted(settings.inspections.items())),
    )


def _inspection(plan: InspectionPlan) -> InspectionTraffic:
    needs = [
        (question.needs, len(plan.mailboxes) if question.about is About.MAILBOX else 1)
        for question in QUESTIONS
        if question.is_asked(plan)
    ]
    return InspectionTraffic(
        *(plan.credential, plan.by, plan.every),
        requests=sum(each.requests * times for each, times in needs),
        undocumented=sum(each.requests * times for each, times in needs if not each.documented),
    )


def failures_per_hour() -> float:
    """Return how often a token is asked for in the first hour in which its issuer fails."""
    count, at, wait = 0, 0.0, FIRST_SECONDS
    while at < _HOUR:
        count, at, wait = count + 1, at + wait, min(2 * wait, LONGEST_SECONDS)
    return count


def _host(host: str, port: int, checks: list[Check], settings: Settings) -> HostTraffic:
    limit = settings.agent.max_open_connections
    plans = [settings.loopbacks[check.name] for check in checks if check.name in settings.loopbacks]
    messages_per_hour, day_limit = _messages(checks, settings)
    return HostTraffic(
        host=host,
        port=port,
        checks=len(checks),
        connections_per_hour=_per_hour(check for check in checks if check.depth.needs_connection)
        + sum(_HOUR / plan.every for plan in plans),
        connections_at_once=min(limit, len({check.mailbox.casefold() or check.name for check in checks})),
        messages_per_hour=messages_per_hour,
        day_limit=day_limit if day_limit < 24 * messages_per_hour else math.inf,
        refusals_per_hour=_per_hour(check for check in checks if check.expect is not None),
    )


def _messages(checks: Iterable[Check], settings: Settings) -> tuple[float, float]:
    """Return how many messages are sent in an hour, and how many in 24 hours at most, as the limits allow."""
    hour: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    day: dict[str, dict[str, float]] = defaultdict(dict)
    for check in checks:
        plan = settings.loopbacks.get(check.name)
        sent = _HOUR / check.interval if check.depth is Depth.SEND else 0.0
        limits = plan.limits if plan else MAILBOX
        if plan is not None:
            sent += min(_HOUR / plan.every, limits.per_hour)
        if sent:
            hints = settings.credentials[check.credential].hints(check.credential) if check.credential else None
            tenant, mailbox = tenant_of(check.mailbox, hints), check.mailbox.casefold()
            hour[tenant][mailbox] += sent
            day[tenant][mailbox] = max(day[tenant].get(mailbox, 0.0), limits.per_day)
    per_hour = {tenant: min(sum(sent.values()), TENANT.per_hour) for tenant, sent in hour.items()}
    per_day = {
        tenant: min(sum(min(24 * hour[tenant][each], limit) for each, limit in mailboxes.items()), TENANT.per_day)
        for tenant, mailboxes in day.items()
    }
    return sum(per_hour.values()), sum(per_day.values())


def _per_hour(checks: Iterable[Check]) -> float:
    return sum(_HOUR / check.interval for check in checks)


def _messages_per_hour(plan: Loopback) -> float:
    return min(_HOUR / plan.every, plan.limits.per_hour)


def _searches(settings: Settings) -> tuple[SearchTraffic, ...]:
    searches: dict[Find, float] = defaultdict(float)
    for check in settings.checks:
        plan = settings.loopbacks.get(check.name)
        if plan is None:
            continue
        each = len(search_ages(plan.warn_after, plan.lost_after))
        for find in plan.searched:
            searches[find] += _messages_per_hour(plan) * (each + plan.delete)
        for find in plan.purged_mailboxes(check):
            searches[find] += 0.0
    by_host: dict[tuple[str, FindVia], list[float]] = defaultdict(list)
    for find, count in searches.items():
        by_host[_searched(find), find.via].append(min(count, 2 * _HOUR / SPACING) + _HOUR / PURGE_EVERY)
    return tuple(SearchTraffic(host, len(counts), sum(counts), via) for (host, via), counts in sorted(by_host.items()))


def _searched(find: Find) -> str:
    if find.via is FindVia.GRAPH or find.server is None:
        return urlsplit(find.graph).hostname or find.graph
    return f"{find.server.host}:{find.server.port}"


def _issuers(settings: Settings) -> tuple[IssuerTraffic, ...]:
    tokens: dict[str, int] = defaultdict(int)
    mailboxes: dict[tuple[str, str], set[str]] = defaultdict(set)
    for check in settings.checks:
        plan = settings.loopbacks.get(check.name)
        if (check.uses_credential or plan is not None) and check.credential is not None:
            mailboxes[check.credential, ""].add(check.mailbox.casefold())
        for find in (*plan.searched, *plan.purged_mailboxes(check)) if plan is not None else ():
            mailboxes[find.credential, find.scope].add(find.mailbox.casefold())
    for (name, _), subjects in mailboxes.items():
        credential = settings.credentials[name]
        issuer = credential.flow().issuer
        if issuer:
            tokens[issuer] += len(subjects) if credential.uses_subject else 1
    each = _HOUR / min(_HALF_A_TOKEN, settings.agent.fresh_every)
    return tuple(IssuerTraffic(issuer, count, count * each) for issuer, count in sorted(tokens.items()))
