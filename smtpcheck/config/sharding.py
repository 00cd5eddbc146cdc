"""The part of a configuration that one of several agents runs.

Rules of this file:
- A check goes by its name, and where a credential of it lives on a refresh token by that: two agents must not rotate
  one token. A credential is used where its checks are; one that rotates belongs to one agent even if no check uses it.
- `max_open_connections` and the caps on messages hold for all agents together. Where the part of a cap is less than
  the checks of a shard need, the configuration is refused: those messages would be left out every day.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import NamedTuple

from smtpcheck.config.settings import Settings
from smtpcheck.inspection.plan import InspectionPlan
from smtpcheck.limits.send_limits import DAY, HOUR, MAILBOX, TENANT, Limits, Scope, Shares, scopes, tenant_of
from smtpcheck.loopback.plan import Loopback
from smtpcheck.model.check import Check, Depth
from smtpcheck.model.shard import WHOLE, Sender, Shard, ShardAssignment, owner, share
from smtpcheck.oauth.credential import Credential


def split(settings: Settings, shard: Shard) -> Settings:
    """Return what `shard` runs of a whole configuration."""
    groups = _groups(settings)
    owners = {check.name: _owner(check, settings, groups, shard) for check in settings.checks}
    following = (shard.number + 1) % shard.of
    sharding = ShardAssignment(
        shard=shard,
        names=tuple(tuple(name for name, number in owners.items() if number == each) for each in range(shard.of)),
        following=tuple(check for check in settings.checks if owners[check.name] == following),
        other_shards=MappingProxyType({name: number for name, number in owners.items() if number != shard.number}),
        senders=tuple(
            Sender(owners[check.name], check.mailbox, _tenant(check, settings.credentials))
            for check in settings.checks
            if _sends(check, settings)
        ),
    )
    if shard == WHOLE:
        return replace(settings, sharding=sharding)
    connections = share(settings.agent.max_open_connections, shard.number, shard.of)
    checks = tuple(check for check in settings.checks if check.name not in sharding.other_shards)
    loopbacks = {check.name: settings.loopbacks[check.name] for check in checks if check.name in settings.loopbacks}
    used = {name for check in checks for name in _used(check, settings)}
    inspections = {name: _own_part(plan, checks) for name, plan in settings.inspections.items() if name in used}
    used |= {plan.by for plan in inspections.values()}
    return replace(
        settings,
        agent=replace(settings.agent, max_open_connections=max(connections, 1)),
        credentials=_credentials(settings.credentials, used, groups, shard),
        checks=checks,
        loopbacks=MappingProxyType(loopbacks),
        inspections=MappingProxyType(inspections),
        sharding=sharding,
    )


def _own_part(plan: InspectionPlan, checks: Iterable[Check]) -> InspectionPlan:
    """Return what a shard inspects of a plan: the mailboxes of its own checks."""
    own = {check.mailbox for check in checks if check.credential == plan.credential}
    return replace(plan, mailboxes=tuple(each for each in plan.mailboxes if each in own))


class ShortShare(NamedTuple):
    """A part of a cap that is less than the checks of a shard need."""

    check: str
    """The first of them."""
    message: str


def short_shares(settings: Settings, sharding: ShardAssignment) -> Iterator[ShortShare]:
    """Yield what is short on any shard; `settings` are those of the whole configuration."""
    if sharding.shard == WHOLE:
        return
    demands: dict[tuple[int, Scope], list[_Demand]] = defaultdict(list)
    sending = (check for check in settings.checks if _sends(check, settings))
    for check, sender in zip(sending, sharding.senders, strict=True):
        demand = _demand(check, settings.loopbacks.get(check.name))
        mailbox, tenant = scopes(sender.mailbox, sender.tenant)
        demands[sender.shard, mailbox].append(demand)
        demands[sender.shard, tenant].append(demand._replace(limits=TENANT))
    shares = [Shares(sharding.senders, number) for number in range(sharding.shard.of)]
    for (number, scope), found in demands.items():
        for unit, seconds, limits in (
            ("hour", HOUR, [each.limits.per_hour for each in found]),
            ("day", DAY, [each.limits.per_day for each in found]),
        ):
            needed, part = seconds * sum(each.rate for each in found), shares[number].share(scope, min(limits))
            if needed > part:
                yield ShortShare(
                    found[0].check,
                    f"shard {number}/{sharding.shard.of} needs {needed:.3g} messages in one {unit} for the "
                    f"{' '.join(scope)}, and its share of the {min(limits)} allowed is {part}",
                )


class _Demand(NamedTuple):
    """What one check draws on a cap."""

    check: str
    rate: float
    """Messages in one second."""
    limits: Limits


def _demand(check: Check, loopback: Loopback | None) -> _Demand:
    rate = (1 / loopback.every if loopback else 0.0) + (1 / check.interval if check.depth is Depth.SEND else 0.0)
    return _Demand(check.name, rate, loopback.limits if loopback else MAILBOX)


def _sends(check: Check, settings: Settings) -> bool:
    return check.depth is Depth.SEND or check.name in settings.loopbacks


def _used(check: Check, settings: Settings) -> set[str]:
    """Return the credentials of a check: its own, and that by which its messages are found."""
    loopback = settings.loopbacks.get(check.name)
    names = (check.credential, *(find.credential for find in (loopback.searched if loopback else ())))
    return {name for name in names if name}


def _groups(settings: Settings) -> dict[str, str]:
    """Return for each credential that rotates which one it goes by: those that one check uses must stay together."""
    groups = {name: frozenset({name}) for name, credential in settings.credentials.items() if credential.rotates}
    for check in settings.checks:
        together = _used(check, settings) & groups.keys()
        if len(together) > 1:
            joined = frozenset[str]().union(*(groups[name] for name in together))
            groups |= dict.fromkeys(joined, joined)
    return {name: min(group) for name, group in groups.items()}


def _owner(check: Check, settings: Settings, groups: Mapping[str, str], shard: Shard) -> int:
    """Return which shard runs a check."""
    if shard == WHOLE:
        return WHOLE.number
    rotating = _used(check, settings) & groups.keys()
    return owner(_group_key(groups[min(rotating)]) if rotating else f"check {check.name}", shard.of)


def _group_key(credential: str) -> str:
    return f"credential {credential}"


def _credentials(
    credentials: Mapping[str, Credential], used: Collection[str], groups: Mapping[str, str], shard: Shard
) -> Mapping[str, Credential]:
    """Return those of a shard whose checks use `used`."""
    kept = {
        name: credential
        for name, credential in credentials.items()
        if (shard.owns(_group_key(groups[name])) if name in groups else name in used)
    }
    return MappingProxyType(kept)


def _tenant(check: Check, credentials: Mapping[str, Credential]) -> str:
    name = check.credential
    return tenant_of(check.mailbox, credentials[name].hints(name) if name is not None else None)
