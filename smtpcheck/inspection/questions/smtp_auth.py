"""Is SMTP AUTH on: for the mailbox, and where that leaves it open, for the tenant?

The mailbox's switch has three positions: on, off, and as the tenant says (null).
https://learn.microsoft.com/exchange/clients-and-mobile-in-exchange-online/authenticated-client-smtp-submission
"""

from dataclasses import replace

from smtpcheck.inspection import members
from smtpcheck.inspection.exchange import Cmdlet, the_one
from smtpcheck.inspection.not_readable import NotReadableError
from smtpcheck.inspection.plan import Option
from smtpcheck.inspection.question import EXCHANGE_NEEDS, About, Answer, Asked, Question
from smtpcheck.model.inspection import FactName, Obstacle

_KEY = "SmtpClientAuthenticationDisabled"


async def _ask_mailbox(asked: Asked) -> Answer:
    found = await asked.exchange.run(Cmdlet.CAS_MAILBOX, asked.now, Identity=asked.subject.mailbox)
    if not found:
        return ()
    box = the_one(found, asked.subject.mailbox).members
    disabled = members.flag(box, _KEY)
    if _KEY not in box or (disabled is None and box[_KEY] is not None):
        raise NotReadableError(Obstacle.UNEXPECTED, f"the answer has no {_KEY}")
    return (asked.fact(FactName.SMTP_AUTH_OFF_MAILBOX, Cmdlet.CAS_MAILBOX, value=disabled),)


async def _ask_tenant(asked: Asked) -> Answer:
    found = await asked.exchange.run(Cmdlet.TRANSPORT_CONFIG, asked.now)
    disabled = members.flag(found[0].members, _KEY) if found else None
    if disabled is None:
        raise NotReadableError(Obstacle.UNEXPECTED, f"the answer has no {_KEY}")
    return (asked.fact(FactName.SMTP_AUTH_OFF_TENANT, Cmdlet.TRANSPORT_CONFIG, value=disabled),)


SMTP_AUTH_MAILBOX = Question(
    "smtp_auth_of_mailbox",
    "whether SMTP AUTH is on for the mailbox",
    About.MAILBOX,
    EXCHANGE_NEEDS,
    _ask_mailbox,
    (FactName.SMTP_AUTH_OFF_MAILBOX,),
    Option.EXCHANGE,
)
SMTP_AUTH_TENANT = replace(
    SMTP_AUTH_MAILBOX,
    name="smtp_auth_of_tenant",
    shows="whether SMTP AUTH is on for the tenant",
    about=About.TENANT,
    ask=_ask_tenant,
    gives=(FactName.SMTP_AUTH_OFF_TENANT,),
)
