"""Is the enterprise application in the tenant, may it sign in, and which object id has it?

https://learn.microsoft.com/graph/api/serviceprincipal-get
"""

from smtpcheck.inspection import members
from smtpcheck.inspection.graph import GraphPath
from smtpcheck.inspection.not_readable import NotReadableError
from smtpcheck.inspection.question import About, Answer, Api, Asked, Needs, Question
from smtpcheck.model.inspection import FactName, Obstacle

_BY = GraphPath.PRINCIPAL
_DISABLED = {"NotDisabled": False, "DisabledDueToViolationOfServicesAgreement": True}
"""By `disabledByMicrosoftStatus`; what any other value means is not known."""


async def _ask(asked: Asked) -> Answer:
    found = await asked.graph.get(_BY, client_id=asked.subject.client_id)
    if found is None:
        return (asked.fact(FactName.PRINCIPAL_EXISTS, _BY, value=False),)
    principal, identifier = found.members, members.guid(found.members, "id")
    if not identifier or members.text(principal, "appId").lower() != asked.subject.client_id.lower():
        raise NotReadableError(Obstacle.UNEXPECTED, "the answer is about another application")
    facts = [
        asked.fact(FactName.PRINCIPAL_EXISTS, _BY, value=True),
        asked.fact(FactName.PRINCIPAL_ID, _BY, value=identifier),
    ]
    for name, key in (
        (FactName.PRINCIPAL_ENABLED, "accountEnabled"),
        (FactName.ASSIGNMENT_REQUIRED, "appRoleAssignmentRequired"),
    ):
        if (value := members.flag(principal, key)) is not None:
            facts.append(asked.fact(name, _BY, value=value))
    if (disabled := _DISABLED.get(members.text(principal, "disabledByMicrosoftStatus", 80))) is not None:
        facts.append(asked.fact(FactName.PRINCIPAL_DISABLED_BY_MICROSOFT, _BY, value=disabled))
    return tuple(facts)


ENTERPRISE_APPLICATION = Question(
    "enterprise_application",
    "the enterprise application: there, enabled, its object id",
    About.APPLICATION,
    Needs(Api.GRAPH, ("Application.Read.All",)),
    _ask,
    (
        FactName.PRINCIPAL_EXISTS,
        FactName.PRINCIPAL_ID,
        FactName.PRINCIPAL_ENABLED,
        FactName.PRINCIPAL_DISABLED_BY_MICROSOFT,
        FactName.ASSIGNMENT_REQUIRED,
    ),
)
