"""Which permissions has an administrator consented to, by their names?

The ids of permissions are read from the tenant's own Exchange Online, never from a list.
https://learn.microsoft.com/graph/api/serviceprincipal-list-approleassignments
"""

from smtpcheck.inspection import members
from smtpcheck.inspection.graph import GraphPath
from smtpcheck.inspection.not_readable import NotReadableError
from smtpcheck.inspection.question import About, Answer, Api, Asked, Needs, Question
from smtpcheck.model.inspection import FactName, Obstacle


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
        for role in members.objects(exchange.members, "appRoles")
    }
    if not resource or "SMTP.SendAsApp" not in names.values():
        raise NotReadableError(Obstacle.UNEXPECTED, "the answer does not name the permissions of Exchange Online")
    granted = set()
    for each in await asked.graph.items(GraphPath.ROLE_ASSIGNMENTS, principal_id=principal.value):
        is_ours = members.guid(each.members, "principalId") == principal.value
        if is_ours and members.guid(each.members, "resourceId") == resource:
            identifier = members.guid(each.members, "appRoleId")
            granted.add(names.get(identifier) or f"unknown permission {identifier}")
    delegated = set()
    for each in await asked.graph.items(GraphPath.GRANTS, principal_id=principal.value):
        if members.guid(each.members, "resourceId") == resource:
            delegated.update(members.text(each.members, "scope", 2000).split())
    return (
        asked.fact(FactName.EXCHANGE_IN_TENANT, GraphPath.EXCHANGE_PRINCIPAL, value=True),
        asked.fact(FactName.APPLICATION_ROLES, GraphPath.ROLE_ASSIGNMENTS, value=tuple(sorted(granted))),
        asked.fact(FactName.DELEGATED_PERMISSIONS, GraphPath.GRANTS, value=tuple(sorted(delegated))),
    )


CONSENTS = Question(
    "consents",
    "permissions on Exchange Online that were consented to",
    About.APPLICATION,
    Needs(Api.GRAPH, ("Application.Read.All", "Directory.Read.All"), requests=3),
    _ask,
    (FactName.EXCHANGE_IN_TENANT, FactName.APPLICATION_ROLES, FactName.DELEGATED_PERMISSIONS),
)
