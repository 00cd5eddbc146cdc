"""The configuration of a world, drawn from its seed, and how a reload changes it."""

from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import MappingProxyType

from smtpcheck.alerts.thresholds import Thresholds
from smtpcheck.config.alerts import AlertSettings
from smtpcheck.config.settings import AgentSettings, Settings
from smtpcheck.config.sharding import split
from smtpcheck.limits.send_limits import Limits
from smtpcheck.loopback.plan import Find, FindVia, Loopback
from smtpcheck.model.check import Check, Depth, Provider, Security, Server, Warn
from smtpcheck.model.shard import WHOLE, Shard
from smtpcheck.oauth.credential import Credential
from tests.simulation.issuer import CredentialOfMailboxes, SimulatedCredential
from tests.simulation.notifying import SimulatedNotifier

HOSTS = ("mail1.example", "mail2.example", "mail3.example")
ISSUERS = ("contoso", "fabrikam")
PLACES = ("pager", "chat")
INTERVALS = (300.0, 300.0, 600.0, 900.0, 3600.0)
_DEPTHS = (Depth.CONNECT, Depth.AUTH, Depth.AUTH, Depth.SENDER, Depth.RECIPIENT, Depth.SEND)
_WARN = Warn(certificate=1209600.0, secret=2592000.0, refresh_token=1209600.0, duration=10.0)


@dataclass(slots=True)
class Wanted:
    """One check, as the configuration names it."""

    name: str
    host: str
    credential: str
    depth: Depth
    interval: float
    every: float | None
    """How often its loopback sends; None: it has none."""
    lost_after: float


@dataclass(slots=True)
class Configuration:
    """What the configuration file says at present."""

    chance: Random
    checks: dict[str, Wanted] = field(default_factory=dict)
    credentials: dict[str, SimulatedCredential] = field(default_factory=dict)
    notifiers: dict[str, SimulatedNotifier] = field(default_factory=dict)
    remind_every: float | None = None
    shard: Shard = WHOLE
    _count: int = 0

    def begin(self) -> None:
        """Draw the first one."""
        chance = self.chance
        for name in ISSUERS:
            kind = chance.choice((SimulatedCredential, SimulatedCredential, CredentialOfMailboxes))
            self.credentials[name] = kind(issuer=name)
        for _ in range(chance.randint(4, 7)):
            self._add_check()
        for number in range(2):  # so that a day has 500 runs at least
            self._add_check(interval=300.0, number=number)
        self.remind_every = chance.choice((None, 4 * 3600.0))
        for name in PLACES:
            self.notifiers[name] = SimulatedNotifier(name=name, batch=chance.choice((1, 5)))

    def _add_check(self, interval: float = 0.0, number: int | None = None) -> str:
        chance = self.chance
        self._count += 1
        name = f"check{self._count}"
        depth = Depth.AUTH if number is not None else chance.choice(_DEPTHS)
        every = chance.choice((300.0, 900.0, 3600.0)) if depth.needs_token and chance.random() < 0.5 else None
        self.checks[name] = Wanted(
            *(name, HOSTS[number] if number is not None else chance.choice(HOSTS), chance.choice(ISSUERS), depth),
            interval=interval or max(chance.choice(INTERVALS), 900.0 if depth is Depth.SEND else 0.0),
            every=None if depth is Depth.SEND else every,
            lost_after=chance.choice((300.0, 900.0, 7200.0)),
        )
        return name

    def change(self) -> str:
        """Edit the file; return what was changed."""
        chance = self.chance
        name = chance.choice(sorted(self.checks))
        keeps = name in list(self.checks)[:2]
        match chance.randrange(8):
            case 0 if not keeps and len(self.checks) > 4:
                del self.checks[name]
                return f"{name} removed"
            case 1 if not keeps:
                self.checks[name].interval = max(chance.choice(INTERVALS), 900.0)
                return f"interval of {name} is {self.checks[name].interval:g}"
            case 2 if self.checks[name].depth.needs_token:
                self.checks[name].credential = chance.choice(ISSUERS)
                return f"credential of {name} is {self.checks[name].credential}"
            case 3:
                issuer = chance.choice(ISSUERS)
                old = self.credentials[issuer]
                self.credentials[issuer] = old.model_copy(update={"version": old.version + 1})
                return f"{issuer} is another client"
            case 4:
                place = chance.choice(PLACES)
                if self.notifiers.pop(place, None) is None:
                    self.notifiers[place] = SimulatedNotifier(name=place)
                return f"{place} is {'added' if place in self.notifiers else 'removed'}"
            case 5:
                place = chance.choice(PLACES)
                if (notifier := self.notifiers.get(place)) is None:
                    return "nothing"
                self.notifiers[place] = notifier.model_copy(update={"version": notifier.version + 1})
                return f"{place} is changed"
            case 6:
                of = chance.choice((1, 2, 3))
                self.shard = Shard(chance.randrange(of), of)
                return f"shard {self.shard}"
            case _:
                return f"{self._add_check()} added"

    def settings(self, state: Path) -> Settings:
        """Return what the file means."""
        loopbacks = {name: _loopback(wanted) for name, wanted in self.checks.items() if wanted.every is not None}
        credentials: dict[str, Credential] = dict(self.credentials)
        whole = Settings(
            agent=AgentSettings(listen=("127.0.0.1", 0), state=state),
            credentials=MappingProxyType(credentials),
            checks=tuple(map(_check, self.checks.values())),
            loopbacks=MappingProxyType({name: plan for name, plan in loopbacks.items() if plan}),
            alerts=AlertSettings(Thresholds(), self.remind_every, notifiers=tuple(self.notifiers.values())),
        )
        return split(whole, self.shard)


def _check(wanted: Wanted) -> Check:
    mailbox = f"{wanted.name}@example.org"
    server = Server(wanted.host, 587, Security.NONE, wanted.host, "agent.example", allow_plaintext=True)
    return Check(
        name=wanted.name,
        mailbox=mailbox,
        credential=wanted.credential if wanted.depth.needs_token else None,
        provider=Provider.GENERIC,
        server=server,
        depth=wanted.depth,
        interval=wanted.interval,
        timeout=20.0,
        token_timeout=10.0,
        sender=mailbox,
        recipient=f"to-{mailbox}",
        mechanism=None,
        warn=_WARN,
    )


def _loopback(wanted: Wanted) -> Loopback | None:
    if wanted.every is None:
        return None
    mailbox = f"{wanted.name}@example.org"
    server = Server("imap.example", 993, Security.IMPLICIT, "imap.example", "")
    return Loopback(
        every=wanted.every,
        sender=mailbox,
        recipient=f"to-{mailbox}",
        find=Find(FindVia.IMAP, f"to-{mailbox}", wanted.credential, server=server),
        warn_after=60.0,
        lost_after=wanted.lost_after,
        limits=Limits(per_hour=12, per_day=200),
    )
