"""Has Google published an incident of Gmail that is still open? Anybody may read it; no token is sent.

The list has the newest first. An incident without an end is open. How Google grades one is not documented: a word that
is not known here is `other`. https://www.google.com/appsstatus/dashboard/summary
"""

import re
from collections.abc import Mapping
from typing import Any

from smtpcheck.inspection import members
from smtpcheck.inspection.google import GoogleItem, GooglePath
from smtpcheck.inspection.question import GOOGLE, About, Answer, Api, Asked, Needs, Question
from smtpcheck.model.inspection import Incident, IncidentStatus

_STATUSES = {
    "SERVICE_INFORMATION": IncidentStatus.INVESTIGATING,
    "SERVICE_DISRUPTION": IncidentStatus.DEGRADED,
    "SERVICE_OUTAGE": IncidentStatus.INTERRUPTED,
    "AVAILABLE": IncidentStatus.RECOVERING,
}
_ID = re.compile(r"[A-Za-z0-9_-]{1,40}")
_MOST = 20


async def _ask(asked: Asked) -> Answer:
    found = (_incident(item, asked.now) for item in await asked.google.public(GooglePath.INCIDENTS))
    return tuple(each for each in found if each is not None)[:_MOST]


def _incident(item: GoogleItem, now: float) -> Incident | None:
    incident = item.members
    identity, began = members.text(incident, "id", 60), members.moment(incident, "begin", item.offset)
    is_open = incident.get("end") in (None, "")
    if not is_open or began is None or not _ID.fullmatch(identity) or not _is_gmail(incident):
        return None
    update = incident.get("most_recent_update")
    latest: Mapping[str, Any] = update if isinstance(update, Mapping) else {}
    status = members.text(latest, "status", 60) or members.text(incident, "status_impact", 60)
    return Incident(
        *("google", "gmail", identity),
        status=_STATUSES.get(status, IncidentStatus.OTHER),
        title=members.text(incident, "external_desc", 200),
        began_at=began,
        updated_at=members.moment(incident, "modified", item.offset),
        read_at=now,
    )


def _is_gmail(incident: Mapping[str, Any]) -> bool:
    products = (members.text(each, "title") for each in members.objects(incident, "affected_products"))
    return "gmail" in {members.text(incident, "service_name").casefold(), *(each.casefold() for each in products)}


GMAIL_INCIDENTS = Question(
    "gmail_incidents",
    "open incidents of Gmail",
    About.TENANT,
    Needs(Api.GOOGLE_STATUS, ()),
    _ask,
    (),
    of=GOOGLE,
)
