"""Are security defaults on, which block passwords for SMTP AUTH?

https://learn.microsoft.com/graph/api/identitysecuritydefaultsenforcementpolicy-get
"""

from smtpcheck.inspection import members
from smtpcheck.inspection.graph import GraphPath
from smtpcheck.inspection.not_readable import NotReadableError
from smtpcheck.inspection.question import About, Answer, Api, Asked, Needs, Question
from smtpcheck.model.inspection import FactName, Obstacle


async def _ask(asked: Asked) -> Answer:
    found = await asked.graph.get(GraphPath.SECURITY_DEFAULTS)
    enabled = members.flag(found.members, "isEnabled") if found else None
    if enabled is None:
        raise NotReadableError(Obstacle.UNEXPECTED, "the answer does not say whether they are on")
    return (asked.fact(FactName.SECURITY_DEFAULTS, GraphPath.SECURITY_DEFAULTS, value=enabled),)


SECURITY_DEFAULTS = Question(
    "security_defaults",
    "whether security defaults are on",
    About.TENANT,
    Needs(Api.GRAPH, ("Policy.Read.All",)),
    _ask,
    (FactName.SECURITY_DEFAULTS,),
)
