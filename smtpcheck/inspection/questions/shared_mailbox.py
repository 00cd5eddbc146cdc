"""Is it a user's mailbox, a shared one, a room?

https://learn.microsoft.com/graph/api/user-get-mailboxsettings
"""

from smtpcheck.inspection import members
from smtpcheck.inspection.graph import GraphPath
from smtpcheck.inspection.question import About, Answer, Api, Asked, Needs, Question
from smtpcheck.model.inspection import FactName

_KNOWN = frozenset({"user", "linked", "shared", "room", "equipment", "others"})


async def _ask(asked: Asked) -> Answer:
    found = await asked.graph.get(GraphPath.PURPOSE, user_id=asked.subject.mailbox)
    purpose = members.text(found.members, "value", 40).lower() if found else "none"
    value = purpose if purpose in _KNOWN or found is None else "others"
    return (asked.fact(FactName.MAILBOX_PURPOSE, GraphPath.PURPOSE, value=value),)


SHARED_MAILBOX = Question(
    "shared_mailbox",
    "what kind of mailbox it is",
    About.MAILBOX,
    Needs(Api.GRAPH, ("MailboxSettings.Read",)),
    _ask,
    (FactName.MAILBOX_PURPOSE,),
)
