"""Which rights has the application on the mailbox: full access, and sending as it?

Exchange names a service principal by its SID, so the SID of the registration decides; its object id and name are
accepted too, as older entries have them.
"""

from collections.abc import Mapping
from typing import Any

from smtpcheck.inspection import members
from smtpcheck.inspection.exchange import Cmdlet
from smtpcheck.inspection.not_readable import NotReadableError
from smtpcheck.inspection.plan import Option
from smtpcheck.inspection.question import About, Answer, Asked, Question, exchange_needs
from smtpcheck.model.inspection import FactName, Obstacle

_OWNER = "nt authority\\self"
"""The trustee that every mailbox has: where it is not listed, the list is not whole."""


async def _ask(asked: Asked) -> Answer:
    ours = {
        fact.value.casefold()
        for name in (FactName.REGISTERED_SID, FactName.REGISTERED_ID, FactName.PRINCIPAL_ID)
        if (fact := asked.known.find(name)) is not None and isinstance(fact.value, str)
    }
    if asked.known.find(FactName.REGISTERED_SID) is None:
        raise NotReadableError(Obstacle.UNAVAILABLE, "the application's SID in Exchange is not known")
    by = Cmdlet.MAILBOX_PERMISSION
    rows = [each.members for each in await asked.exchange.run(by, asked.now, Identity=asked.subject.mailbox)]
    if not any(members.text(row, "User") and members.texts(row, "AccessRights") for row in rows):
        raise NotReadableError(Obstacle.UNEXPECTED, "the answer names no user with a right, not even the owner")
    if any(_names(row, "User", ours) and not members.texts(row, "AccessRights") for row in rows):
        raise NotReadableError(Obstacle.UNEXPECTED, "the answer does not say which rights the application has")
    full = [row for row in rows if _names(row, "User", ours) and "FullAccess" in members.texts(row, "AccessRights")]
    denied = any(members.flag(row, "Deny") for row in full)
    sending = Cmdlet.RECIPIENT_PERMISSION
    found = [each.members for each in await asked.exchange.run(sending, asked.now, Identity=asked.subject.mailbox)]
    send_as = any(
        _names(row, "Trustee", ours)
        and "SendAs" in members.texts(row, "AccessRights")
        and members.text(row, "AccessControlType") != "Deny"
        for row in found
    )
    if found and not any(members.text(row, "Trustee") for row in found):
        raise NotReadableError(Obstacle.UNEXPECTED, "the answer names no trustee")
    owner = sum(_names(row, "Trustee", {_OWNER}) and "SendAs" in members.texts(row, "AccessRights") for row in found)
    return (
        asked.fact(FactName.FULL_ACCESS, by, value=bool(full) and not denied),
        asked.fact(FactName.FULL_ACCESS_DENIED, by, value=denied),
        asked.fact(FactName.SEND_AS, sending, value=send_as),
        *((asked.fact(FactName.OTHERS_SEND_AS, sending, value=owner < len(found)),) if owner else ()),
    )


def _names(row: Mapping[str, Any], key: str, ours: set[str]) -> bool:
    return members.text(row, key).casefold() in ours


MAILBOX_RIGHTS = Question(
    "mailbox_rights",
    "full access and Send As of the application",
    About.MAILBOX,
    exchange_needs(2),
    _ask,
    (FactName.FULL_ACCESS, FactName.FULL_ACCESS_DENIED, FactName.SEND_AS, FactName.OTHERS_SEND_AS),
    Option.EXCHANGE,
)
