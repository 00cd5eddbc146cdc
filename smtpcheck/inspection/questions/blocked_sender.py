"""Is the mailbox among the restricted entities, blocked for outbound spam?

https://learn.microsoft.com/defender-office-365/responding-to-a-compromised-email-account
"""

from smtpcheck.inspection import members
from smtpcheck.inspection.exchange import Cmdlet
from smtpcheck.inspection.plan import Option
from smtpcheck.inspection.question import EXCHANGE_NEEDS, About, Answer, Asked, Question
from smtpcheck.model.inspection import FactName

_BY = Cmdlet.BLOCKED_SENDER


async def _ask(asked: Asked) -> Answer:
    address = asked.subject.mailbox
    rows = await asked.exchange.run(_BY, asked.now, SenderAddress=address)
    blocked = any(members.text(each.members, "SenderAddress").casefold() == address.casefold() for each in rows)
    return (asked.fact(FactName.BLOCKED_SENDER, _BY, value=blocked),)


BLOCKED_SENDER = Question(
    "blocked_sender",
    "whether the mailbox is blocked for outbound spam",
    About.MAILBOX,
    EXCHANGE_NEEDS,
    _ask,
    (FactName.BLOCKED_SENDER,),
    Option.EXCHANGE,
)
