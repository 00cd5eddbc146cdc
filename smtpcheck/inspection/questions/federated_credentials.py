"""Which foreign tokens prove the application, and is ours one of them, octet by octet?

https://learn.microsoft.com/graph/api/application-list-federatedidentitycredentials
"""

from collections.abc import Mapping
from typing import Any

from smtpcheck.inspection import members
from smtpcheck.inspection.graph import GraphPath
from smtpcheck.inspection.not_readable import NotReadableError
from smtpcheck.inspection.question import About, Answer, Api, Asked, Needs, Question
from smtpcheck.model.inspection import FactName, Obstacle

_BY = GraphPath.FEDERATED
_EXPRESSION = "claimsMatchingExpression"
"""In place of a subject, where a credential is flexible: what it accepts is then not compared."""


async def _ask(asked: Asked) -> Answer:
    found = await asked.graph.items(_BY, client_id=asked.subject.client_id)
    facts, names = [], []
    for each in (item.members for item in found):
        name = members.text(each, "name", 120)
        value, is_flexible = _accepts(each), bool(each.get(_EXPRESSION))
        if not value[0] or len(value) < 3 or not (value[1] or is_flexible):
            raise NotReadableError(Obstacle.UNEXPECTED, "the answer does not say what each credential accepts")
        facts.append(asked.fact(FactName.FEDERATED_CREDENTIAL, _BY, value=value, item=name))
        names.append((name, value, is_flexible))
    facts.append(asked.fact(FactName.FEDERATED_NAMES, _BY, value=tuple(sorted(name for name, _, _ in names))))
    if ours := asked.subject.assertion:
        issuer, subject, audiences = ours.get("iss"), ours.get("sub"), ours.get("aud")
        wanted = audiences if isinstance(audiences, list) else [audiences]
        matching = [name for name, value, _ in names if value[:2] == (issuer, subject) and set(wanted) & set(value[2:])]
        if matching or not any(flexible for _, _, flexible in names):
            facts.append(asked.fact(FactName.FEDERATED_MATCH, _BY, value=bool(matching)))
    return tuple(facts)


def _accepts(credential: Mapping[str, Any]) -> tuple[str, ...]:
    """Return issuer, subject and audiences."""
    issuer, subject = (members.text(credential, key, 600) for key in ("issuer", "subject"))
    return (issuer, subject, *members.texts(credential, "audiences"))


FEDERATED_CREDENTIALS = Question(
    "federated_credentials",
    "federated credentials, compared with the local assertion",
    About.APPLICATION,
    Needs(Api.GRAPH, ("Application.Read.All",)),
    _ask,
    (FactName.FEDERATED_CREDENTIAL, FactName.FEDERATED_NAMES, FactName.FEDERATED_MATCH),
)
