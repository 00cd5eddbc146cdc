"""Whose mailbox is it: is the account there, enabled, licensed, and is the address its own or an alias?

A user is found by its principal name, else by any of its addresses, else among the deleted ones (30 days).
https://learn.microsoft.com/graph/api/user-get
"""

from collections.abc import Iterable, Mapping
from typing import Any

from smtpcheck.inspection import members
from smtpcheck.inspection.graph import GraphPath
from smtpcheck.inspection.not_readable import NotReadableError
from smtpcheck.inspection.question import About, Answer, Api, Asked, Needs, Question
from smtpcheck.model.inspection import Fact, FactName, Obstacle

_ACTIVE = frozenset({"Enabled", "Warning"})
"""`capabilityStatus` of a plan that works."""


async def _ask(asked: Asked) -> Answer:
    address = asked.subject.mailbox
    found = await asked.graph.get(GraphPath.USER, mailbox=address)
    path = GraphPath.USER
    if found is None:
        path = GraphPath.USER_BY_ADDRESS
        listed = await asked.graph.items(path, mailbox=address)
        found = next((each for each in listed if address.casefold() in _addresses(each.members)), None)
    if found is None:
        deleted = await asked.graph.items(GraphPath.DELETED_USER, mailbox=address)
        is_there = any(_is_deleted(each.members, address) for each in deleted)
        return (
            asked.fact(FactName.USER_EXISTS, path, value=False),
            asked.fact(FactName.USER_DELETED, GraphPath.DELETED_USER, value=is_there),
        )
    user = found.members
    names = {members.text(user, key, 320).casefold() for key in ("userPrincipalName", "mail")} | _addresses(user)
    if address.casefold() not in names:
        raise NotReadableError(Obstacle.UNEXPECTED, "the answer is about another account")
    return tuple(_facts(asked, user, path))


def _facts(asked: Asked, user: Mapping[str, Any], path: GraphPath) -> Iterable[Fact]:
    yield asked.fact(FactName.USER_EXISTS, path, value=True)
    if (enabled := members.flag(user, "accountEnabled")) is not None:
        yield asked.fact(FactName.USER_ENABLED, path, value=enabled)
    name = members.text(user, "userPrincipalName", 320)
    yield asked.fact(FactName.USER_NAME, path, value=name, personal=True)
    is_own = asked.subject.mailbox.casefold() in {name.casefold(), members.text(user, "mail", 320).casefold()}
    yield asked.fact(FactName.USER_ADDRESS_IS_ALIAS, path, value=not is_own)
    if isinstance(user.get("assignedPlans"), list):
        plans = (each for each in members.objects(user, "assignedPlans") if members.text(each, "service") == "exchange")
        statuses = {members.word(each, "capabilityStatus") for each in plans}
        best = next(iter(sorted(statuses & _ACTIVE)), "") or next(iter(sorted(statuses)), "none")
        yield asked.fact(FactName.USER_LICENCE, path, value=best)


def _addresses(user: Mapping[str, Any]) -> set[str]:
    return {each.partition(":")[2].casefold() for each in members.texts(user, "proxyAddresses")}


def _is_deleted(user: Mapping[str, Any], address: str) -> bool:
    """Return whether it is the deleted account: its name is then the address after its id without hyphens."""
    name = members.text(user, "userPrincipalName", 400).casefold()
    return name == members.text(user, "id").replace("-", "").casefold() + address.casefold()


MAILBOX_USER = Question(
    "mailbox_user",
    "the mailbox's account: there, enabled, licensed, alias",
    About.MAILBOX,
    Needs(Api.GRAPH, ("User.Read.All",), requests=3),
    _ask,
    (
        FactName.USER_EXISTS,
        FactName.USER_DELETED,
        FactName.USER_ENABLED,
        FactName.USER_NAME,
        FactName.USER_ADDRESS_IS_ALIAS,
        FactName.USER_LICENCE,
    ),
)
