"""Which permissions has an administrator consented to, by their names?

The ids of permissions are read from the tenant's own Exchange Online, never from a list.
https://learn.microsoft.com/graph/api/serviceprincipal-list-approleassignments
"""

from collections.abc import Mapping
from typing import Any

from smtpcheck.inspection import members
from smtpcheck.inspection.graph import EXCHANGE_ONLINE, GraphPath
from smtpcheck.inspection.not_readable import NotReadableError
from smtpcheck.inspection.question import About, Answer, Api, Asked, Needs, Question
from smtpcheck.model.inspection import UNKNOWN_PERMISSION, FactName, Obstacle

_MOST = 200
"""Permissions of one API: Exchange Online has fewer."""
_LONGEST_SCOPE = 20_000


async def _ask(asked: Asked) -> Answer:
    principal = asked.known.find(FactName.PRINCIPAL_ID)
    if principal is None or not isinstance(principal.value, str):
        raise NotReadableError(Obstacle.UNAVAILABLE, "the enterprise application is not known")
    exchange = await asked.graph.get(GraphPath.EXCHANGE_PRINCIPAL)
    if exchange is None:
        return (asked.fact(FactName.EXCHANGE_IN_TENANT, GraphPath.EXCHANGE_PRINCIPAL, value=False),)
    resource = members.guid(exchange.members, "id")
    names = {
        members.guid(role, "id"): members.text(role, "value", 100)
        for role in members.rows(exchange.members, "appRoles") or ()
    }
    is_exchange = members.guid(exchange.members, "appId") == EXCHANGE_ONLINE
    if not is_exchange or not resource or "SMTP.SendAsApp" not in names.values():
        raise NotReadableError(Obstacle.UNEXPECTED, "the answer does not name the permissions of Exchange Online")
    granted, delegated = set[str](), set[str]()
    for each in await asked.graph.items(GraphPath.ROLE_ASSIGNMENTS, principal_id=principal.value):
        if _resource_of(each.members, "principalId", principal.value) == resource:
            identifier = members.guid(each.members, "appRoleId")
            granted.add(names.get(identifier) or f"{UNKNOWN_PERMISSION} {identifier}")
    for each in await asked.graph.items(GraphPath.GRANTS, principal_id=principal.value):
        if _resource_of(each.members, "clientId", principal.value) == resource:
            delegated.update(members.text(each.members, "scope", _LONGEST_SCOPE).split())
    if max(len(granted), len(delegated)) > _MOST:
        raise NotReadableError(Obstacle.UNEXPECTED, f"the answer names more than {_MOST} permissions")
    return (
        asked.fact(FactName.EXCHANGE_IN_TENANT, GraphPath.EXCHANGE_PRINCIPAL, value=True),
        asked.fact(FactName.APPLICATION_ROLES, GraphPath.ROLE_ASSIGNMENTS, value=tuple(sorted(granted))),
        asked.fact(FactName.DELEGATED_PERMISSIONS, GraphPath.GRANTS, value=tuple(sorted(delegated))),
    )


def _resource_of(row: Mapping[str, Any], key: str, principal: str) -> str:
    """Return whose permission was consented to. Raises NotReadableError for a row that is not the application's."""
    resource = members.guid(row, "resourceId")
    if not resource or members.guid(row, key) != principal:
        raise NotReadableError(Obstacle.UNEXPECTED, "the answer is about another application")
    return resource


CONSENTS = Question(
    "consents",
    "permissions on Exchange Online that were consented to",
    About.APPLICATION,
    Needs(Api.GRAPH, ("Application.Read.All", "Directory.Read.All"), requests=3),
    _ask,
    (FactName.EXCHANGE_IN_TENANT, FactName.APPLICATION_ROLES, FactName.DELEGATED_PERMISSIONS),
)
