"""Which policies of conditional access name the application?

Policies for workload identities are in `conditions.clientApplications`; what a sign-in was really refused by, the
sign-in log says. https://learn.microsoft.com/graph/api/conditionalaccessroot-list-policies
"""

from collections.abc import Mapping
from typing import Any

from smtpcheck.inspection import members
from smtpcheck.inspection.graph import GraphPath
from smtpcheck.inspection.question import About, Answer, Api, Asked, Needs, Question
from smtpcheck.model.inspection import FactName


async def _ask(asked: Asked) -> Answer:
    principal = asked.known.find(FactName.PRINCIPAL_ID)
    ours = {"ServicePrincipalsInMyTenant", principal.value if principal is not None else None}
    return tuple(
        asked.fact(
            *(FactName.POLICY, GraphPath.POLICIES),
            value=members.text(policy.members, "displayName", 120),
            item=members.guid(policy.members, "id"),
            changed_at=members.moment(policy.members, "modifiedDateTime", policy.offset),
            personal=True,
        )
        for policy in await asked.graph.items(GraphPath.POLICIES)
        if members.text(policy.members, "state", 40) == "enabled" and ours & _included(policy.members)
    )


def _included(policy: Mapping[str, Any]) -> set[str]:
    conditions = policy.get("conditions")
    clients = conditions.get("clientApplications") if isinstance(conditions, Mapping) else None
    if not isinstance(clients, Mapping):
        return set()
    return {*members.texts(clients, "includeServicePrincipals")} - {*members.texts(clients, "excludeServicePrincipals")}


CONDITIONAL_ACCESS = Question(
    "conditional_access",
    "policies of conditional access that name the application",
    About.TENANT,
    Needs(Api.GRAPH, ("Policy.Read.All",), licence="Entra Workload ID Premium"),
    _ask,
    (FactName.POLICY,),
)
