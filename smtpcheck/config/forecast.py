"""What a configuration will cause: connections, token requests and messages, by host and by issuer.

Rules of this file:
- It is arithmetic on settings; nothing is asked and no secret is read.
- Token requests are an upper bound: a token is renewed at half of its life (taken as an hour) or after
  `fresh_every`, whichever is sooner, and all checks of one credential share it unless it has one token per mailbox.
- A run opens one connection. One more, without login, follows a certificate that fails verification; it is not counted.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from smtpcheck.config.settings import Settings
from smtpcheck.model import Check, Depth

_HOUR = 3600.0
_HALF_A_TOKEN = 1800.0


@dataclass(frozen=True, slots=True)
class HostDemand:
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

    @property
    def connections_per_day(self) -> float:
        """Return the connections in 24 hours."""
        return self.connections_per_hour * 24

    @property
    def messages_per_day(self) -> float:
        """Return the messages in 24 hours."""
        return self.messages_per_hour * 24

    @property
    def refusals_per_day(self) -> float:
        """Return the expected refusals in 24 hours."""
        return self.refusals_per_hour * 24


@dataclass(frozen=True, slots=True)
class IssuerDemand:
    """What one issuer will see."""

    issuer: str
    """Its host."""
    tokens: int
    """How many different tokens; each is asked for once at the start."""
    requests_per_hour: float
    """At most."""

    @property
    def requests_per_day(self) -> float:
        """Return the requests in 24 hours, those of the start included."""
        return self.requests_per_hour * 24 + self.tokens


@dataclass(frozen=True, slots=True)
class Demand:
    """What a configuration will cause in all."""

    hosts: tuple[HostDemand, ...]
    """By host and port."""
    issuers: tuple[IssuerDemand, ...]
    """By name; a credential that asks nobody is in none."""
    connections_at_once: int
    """At most, over all hosts."""


def demand(settings: Settings) -> Demand:
    """Return what the settings will cause at each host and issuer."""
    by_host: dict[tuple[str, int], list[Check]] = defaultdict(list)
    for check in settings.checks:
        if check.depth.needs_connection:
            by_host[check.server.host, check.server.port].append(check)
    limit = settings.agent.max_open_connections
    hosts = tuple(_host(host, port, checks, limit) for (host, port), checks in sorted(by_host.items()))
    return Demand(
        hosts=hosts,
        issuers=_issuers(settings),
        connections_at_once=min(limit, sum(host.connections_at_once for host in hosts)),
    )


def _host(host: str, port: int, checks: list[Check], limit: int) -> HostDemand:
    return HostDemand(
        host=host,
        port=port,
        checks=len(checks),
        connections_per_hour=_per_hour(checks),
        connections_at_once=min(limit, len({check.mailbox.casefold() or check.name for check in checks})),
        messages_per_hour=_per_hour(check for check in checks if check.depth is Depth.SEND),
        refusals_per_hour=_per_hour(check for check in checks if check.expect is not None),
    )


def _per_hour(checks: Iterable[Check]) -> float:
    return sum(_HOUR / check.interval for check in checks)


def _issuers(settings: Settings) -> tuple[IssuerDemand, ...]:
    tokens: dict[str, int] = defaultdict(int)
    mailboxes: dict[str, set[str]] = defaultdict(set)
    for check in settings.checks:
        if check.uses_credential and check.credential is not None:
            mailboxes[check.credential].add(check.mailbox.casefold())
    for name, subjects in mailboxes.items():
        credential = settings.credentials[name]
        issuer = credential.flow().issuer
        if issuer:
            tokens[issuer] += len(subjects) if credential.uses_subject else 1
    each = _HOUR / min(_HALF_A_TOKEN, settings.agent.fresh_every)
    return tuple(IssuerDemand(issuer, count, count * each) for issuer, count in sorted(tokens.items()))
