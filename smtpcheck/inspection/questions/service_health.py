"""Has Microsoft published an incident of Exchange Online or of Entra that is still open?

Services are matched by their names, in any case, for the ids in the documents differ from those in tenants.
https://learn.microsoft.com/graph/api/serviceannouncement-list-issues
"""

import re

from smtpcheck.inspection import members
from smtpcheck.inspection.graph import GraphItem, GraphPath
from smtpcheck.inspection.question import About, Answer, Api, Asked, Needs, Question
from smtpcheck.model.inspection import Incident, IncidentStatus

_SERVICES = {
    "exchange online": "exchange_online",
    "exchange": "exchange_online",
    "microsoft entra": "entra",
    "identity service": "entra",
    "azure active directory": "entra",
}
_STATUSES = {
    "investigating": IncidentStatus.INVESTIGATING,
    "servicedegradation": IncidentStatus.DEGRADED,
    "serviceinterruption": IncidentStatus.INTERRUPTED,
    "restoringservice": IncidentStatus.RECOVERING,
    "verifyingservice": IncidentStatus.RECOVERING,
    "extendedrecovery": IncidentStatus.RECOVERING,
    "servicerestored": IncidentStatus.RESOLVED,
    "falsepositive": IncidentStatus.RESOLVED,
    "postincidentreviewpublished": IncidentStatus.RESOLVED,
    "serviceoperational": IncidentStatus.RESOLVED,
}
"""By the provider's own word in lower case, for its samples and its enum write it differently."""
_ID = re.compile(r"[A-Z]{2,4}\d{1,9}")
_MOST = 20


async def _ask(asked: Asked) -> Answer:
    found = [_incident(item, asked.now) for item in await asked.graph.items(GraphPath.HEALTH)]
    unresolved = [each for each in found if each is not None and each.status is not IncidentStatus.RESOLVED]
    return tuple(unresolved[:_MOST])


def _incident(item: GraphItem, now: float) -> Incident | None:
    issue = item.members
    service = _SERVICES.get(members.text(issue, "service").lower())
    identity = members.text(issue, "id", 20)
    is_open = members.flag(issue, "isResolved") is not True
    if service is None or _ID.fullmatch(identity) is None or not is_open:
        return None
    return Incident(
        *("microsoft", service, identity),
        status=_STATUSES.get(members.text(issue, "status", 60).lower(), IncidentStatus.OTHER),
        title=members.text(issue, "title", 200),
        began_at=members.moment(issue, "startDateTime", item.offset),
        updated_at=members.moment(issue, "lastModifiedDateTime", item.offset),
        read_at=now,
    )


SERVICE_HEALTH = Question(
    "service_health",
    "open incidents of Exchange Online and Entra",
    About.TENANT,
    Needs(Api.GRAPH, ("ServiceHealth.Read.All",)),
    _ask,
    (),
)
