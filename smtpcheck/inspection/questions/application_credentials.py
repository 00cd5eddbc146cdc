"""Which secrets and certificates has the application, when do they expire, and is the local secret among them?

The local secret is compared by what Entra shows of each: its id and its first three characters. Where one is shown
without them, that the local one is missing cannot be said. Only in the application's home tenant. https://learn.microsoft.com/graph/api/application-get
"""

from collections.abc import Mapping, Sequence
from typing import Any

from smtpcheck.inspection import members
from smtpcheck.inspection.graph import GraphPath
from smtpcheck.inspection.not_readable import NotReadableError
from smtpcheck.inspection.question import About, Answer, Api, Asked, Needs, Question
from smtpcheck.model.inspection import FactName, Obstacle
from smtpcheck.model.timestamp import rfc3339
from smtpcheck.oauth.secret_hint import HINT_LENGTH, hint_of, is_id
from smtpcheck.secrets.secret import Secret

_BY = GraphPath.APPLICATION
IS_AN_ID, NOT_LISTED = "is the ID of a secret", "not listed"


async def _ask(asked: Asked) -> Answer:
    found = await asked.graph.get(_BY, client_id=asked.subject.client_id)
    if found is None:
        return (asked.fact(FactName.APPLICATION_EXISTS, _BY, value=False),)
    if members.text(found.members, "appId").lower() != asked.subject.client_id.lower():
        raise NotReadableError(Obstacle.UNEXPECTED, "the answer is about another application")
    facts = [asked.fact(FactName.APPLICATION_EXISTS, _BY, value=True)]
    secrets = _listed(found.members, "passwordCredentials")
    certificates = _listed(found.members, "keyCredentials")
    for listed, name in ((secrets, FactName.SECRET_EXPIRES), (certificates, FactName.CERTIFICATE_EXPIRES)):
        for each in listed:
            key_id, expires = members.guid(each, "keyId"), members.moment(each, "endDateTime", found.offset)
            if not key_id or expires is None:
                raise NotReadableError(Obstacle.UNEXPECTED, "the answer does not say when each credential expires")
            since = members.moment(each, "startDateTime", found.offset)
            facts.append(asked.fact(name, _BY, value=rfc3339(expires), item=key_id, changed_at=since))
    if asked.subject.secret and (local := _local(asked.subject.secret, secrets)):
        facts.append(asked.fact(FactName.LOCAL_SECRET, _BY, value=local))
    return tuple(facts)


def _listed(application: Mapping[str, Any], key: str) -> Sequence[Mapping[str, Any]]:
    if (listed := members.rows(application, key)) is None:
        raise NotReadableError(Obstacle.UNEXPECTED, f"the answer has no whole list of {key}")
    return listed


def _local(secret: Secret, listed: Sequence[Mapping[str, Any]]) -> str:
    """Return what the local secret is among those that are listed, empty where that cannot be said."""
    if any(is_id(secret, members.guid(each, "keyId")) for each in listed):
        return IS_AN_ID
    hints = [members.text(each, "hint", HINT_LENGTH + 1) for each in listed]
    if hint_of(secret) in hints:
        return "listed"
    return NOT_LISTED if all(len(hint) == HINT_LENGTH for hint in hints) else ""


APPLICATION_CREDENTIALS = Question(
    "application_credentials",
    "secrets and certificates of the application: expiry, and whether the local secret is among them",
    About.APPLICATION,
    Needs(Api.GRAPH, ("Application.Read.All",)),
    _ask,
    (FactName.APPLICATION_EXISTS, FactName.SECRET_EXPIRES, FactName.CERTIFICATE_EXPIRES, FactName.LOCAL_SECRET),
)
