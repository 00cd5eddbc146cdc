"""Is there a mailbox, of which kind, and does it forward its mail?"""

from smtpcheck.inspection import members
from smtpcheck.inspection.exchange import Cmdlet, the_one
from smtpcheck.inspection.plan import Option
from smtpcheck.inspection.question import About, Answer, Asked, Question, exchange_needs
from smtpcheck.model.inspection import FactName

_BY = Cmdlet.MAILBOX


async def _ask(asked: Asked) -> Answer:
    address = asked.subject.mailbox
    found = await asked.exchange.run(_BY, asked.now, Identity=address)
    if not found:
        deleted = await asked.exchange.run(_BY, asked.now, Identity=address, SoftDeletedMailbox=True)
        return (
            asked.fact(FactName.MAILBOX_EXISTS, _BY, value=False),
            asked.fact(FactName.MAILBOX_SOFT_DELETED, _BY, value=bool(deleted)),
        )
    box = the_one(found, address).members
    forwards_to = members.text(box, "ForwardingSmtpAddress") or members.text(box, "ForwardingAddress")
    facts = [
        asked.fact(FactName.MAILBOX_EXISTS, _BY, value=True),
        asked.fact(FactName.MAILBOX_FORWARDS, _BY, value=bool(forwards_to)),
    ]
    if kind := members.word(box, "RecipientTypeDetails"):
        facts.append(asked.fact(FactName.MAILBOX_KIND, _BY, value=kind))
    if forwards_to:
        facts.append(asked.fact(FactName.MAILBOX_FORWARDS_TO, _BY, value=forwards_to, personal=True))
    if policy := members.text(box, "AuthenticationPolicy"):
        facts.append(asked.fact(FactName.MAILBOX_AUTHENTICATION_POLICY, _BY, value=policy, personal=True))
    return tuple(facts)


EXCHANGE_MAILBOX = Question(
    "exchange_mailbox",
    "the mailbox: there, its kind, forwarding",
    About.MAILBOX,
    exchange_needs(2),
    _ask,
    (
        FactName.MAILBOX_EXISTS,
        FactName.MAILBOX_SOFT_DELETED,
        FactName.MAILBOX_KIND,
        FactName.MAILBOX_FORWARDS,
        FactName.MAILBOX_FORWARDS_TO,
        FactName.MAILBOX_AUTHENTICATION_POLICY,
    ),
    Option.EXCHANGE,
)
