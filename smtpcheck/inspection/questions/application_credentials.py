"""Which secrets and certificates has the application, and when do they expire?

Only in the application's home tenant. https://learn.microsoft.com/graph/api/application-get
"""

from smtpcheck.inspection import members
from smtpcheck.inspection.graph import GraphPath
from smtpcheck.inspection.not_readable import NotReadableError
from smtpcheck.inspection.question import About, Answer, Api, Asked, Needs, Question
from smtpcheck.model.inspection import FactName, Obstacle
from smtpcheck.model.timestamp import rfc3339

_BY = GraphPath.APPLICATION
_LISTS = (("passwordCredentials", FactName.SECRET_EXPIRES), ("keyCredentials", FactName.CERTIFICATE_EXPIRES))


async def _ask(asked: Asked) -> Answer:
    found = await asked.graph.get(_BY, client_id=asked.subject.client_id)
    if found is None:
        return (asked.fact(FactName.APPLICATION_EXISTS, _BY, value=False),)
    if members.text(found.members, "appId").lower() != asked.subject.client_id.lower():
        raise NotReadableError(Obstacle.UNEXPECTED, "the answer is about another application")
    facts = [asked.fact(FactName.APPLICATION_EXISTS, _BY, value=True)]
    for key, name in _LISTS:
        if (listed := members.rows(found.members, key)) is None:
            raise NotReadableError(Obstacle.UNEXPECTED, f"the answer has no whole list of {key}")
        for each in listed:
            key_id, expires = members.guid(each, "keyId"), members.moment(each, "endDateTime", found.offset)
            if not key_id or expires is None:
                raise NotReadableError(Obstacle.UNEXPECTED, "the answer does not say when each credential expires")
            since = members.moment(each, "startDateTime", found.offset)
            facts.append(asked.fact(name, _BY, value=rfc3339(expires), item=key_id, changed_at=since))
    return tuple(facts)


APPLICATION_CREDENTIALS = Question(
    "application_credentials",
    "secrets and certificates of the application, and when they expire",
    About.APPLICATION,
    Needs(Api.GRAPH, ("Application.Read.All",)),
    _ask,
    (FactName.APPLICATION_EXISTS, FactName.SECRET_EXPIRES, FactName.CERTIFICATE_EXPIRES),
)
