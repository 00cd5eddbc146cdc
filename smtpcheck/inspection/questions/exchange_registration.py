"""Does Exchange know the application, and by which object id?

Exchange answers with the service principal that New-ServicePrincipal registered; its SID is what mailbox rights name.
"""

from smtpcheck.inspection import members
from smtpcheck.inspection.exchange import Cmdlet
from smtpcheck.inspection.not_readable import NotReadableError
from smtpcheck.inspection.plan import Option
from smtpcheck.inspection.question import EXCHANGE_NEEDS, About, Answer, Asked, Question
from smtpcheck.model.inspection import FactName, Obstacle

_BY = Cmdlet.SERVICE_PRINCIPAL


async def _ask(asked: Asked) -> Answer:
    client_id = asked.subject.client_id.lower()
    found = await asked.exchange.run(_BY, asked.now, Identity=client_id)
    if not found:
        return (asked.fact(FactName.REGISTERED, _BY, value=False),)
    ours = next((each for each in found if members.guid(each.members, "AppId") == client_id), None)
    if ours is None:
        raise NotReadableError(Obstacle.UNEXPECTED, "the answer is about another application")
    created = members.moment(ours.members, "WhenCreatedUTC", ours.offset)
    facts = [asked.fact(FactName.REGISTERED, _BY, value=True, changed_at=created)]
    identifier = members.guid(ours.members, "ObjectId") or members.guid(ours.members, "ServiceId")
    for name, value in (
        (FactName.REGISTERED_ID, identifier),
        (FactName.REGISTERED_SID, members.text(ours.members, "Sid")),
    ):
        if value:
            facts.append(asked.fact(name, _BY, value=value, changed_at=created))
    return tuple(facts)


EXCHANGE_REGISTRATION = Question(
    "exchange_registration",
    "the service principal that Exchange has of the application",
    About.APPLICATION,
    EXCHANGE_NEEDS,
    _ask,
    (FactName.REGISTERED, FactName.REGISTERED_ID, FactName.REGISTERED_SID),
    Option.EXCHANGE,
)
