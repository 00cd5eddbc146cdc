"""Which role assignments in Exchange has the application, with which scope, and when were they changed?"""

from smtpcheck.inspection import members
from smtpcheck.inspection.exchange import Cmdlet
from smtpcheck.inspection.not_readable import NotReadableError
from smtpcheck.inspection.plan import Option
from smtpcheck.inspection.question import EXCHANGE_NEEDS, About, Answer, Asked, Question
from smtpcheck.model.inspection import FactName, Obstacle

_BY = Cmdlet.ROLE_ASSIGNMENT


async def _ask(asked: Asked) -> Answer:
    registered = asked.known.find(FactName.REGISTERED_ID)
    if registered is None or not isinstance(registered.value, str):
        raise NotReadableError(Obstacle.UNAVAILABLE, "Exchange does not know the application")
    rows = await asked.exchange.run(_BY, asked.now, RoleAssignee=registered.value)
    scopes = (
        (members.text(each.members, "Role", 100), members.text(each.members, "RecipientWriteScope", 60))
        for each in rows
    )
    named = {f"{role} ({scope or 'no scope'})" for role, scope in scopes}
    changes = (members.moment(each.members, "WhenChangedUTC", each.offset) for each in rows)
    changed = max((at for at in changes if at is not None), default=None)
    return (asked.fact(FactName.ROLE_ASSIGNMENTS, _BY, value=tuple(sorted(named)), changed_at=changed),)


ROLE_ASSIGNMENTS = Question(
    "role_assignments",
    "the application's role assignments in Exchange, with their scopes",
    About.APPLICATION,
    EXCHANGE_NEEDS,
    _ask,
    (FactName.ROLE_ASSIGNMENTS,),
    Option.EXCHANGE,
)
