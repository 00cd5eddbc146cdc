"""Whose mailbox is it at Google: is the account there, suspended, archived, has it a mailbox, is the address an alias?

A user is found by any of its addresses. An answer about an account without the asked address is not used.
https://developers.google.com/workspace/admin/directory/reference/rest/v1/users/get
"""

from collections.abc import Iterator, Mapping
from typing import Any

from smtpcheck.inspection import members
from smtpcheck.inspection.google import DIRECTORY_SCOPE, GooglePath
from smtpcheck.inspection.not_readable import NotReadableError
from smtpcheck.inspection.question import GOOGLE, About, Answer, Api, Asked, Needs, Question
from smtpcheck.model.inspection import Fact, FactName, Obstacle

_BY = GooglePath.USER
_SWITCHES = (
    ("suspended", FactName.USER_SUSPENDED),
    ("archived", FactName.USER_ARCHIVED),
    ("isMailboxSetup", FactName.USER_MAILBOX_CREATED),
)


async def _ask(asked: Asked) -> Answer:
    found = await asked.google.get(_BY, DIRECTORY_SCOPE, mailbox=asked.subject.mailbox)
    if found is None:
        return (asked.fact(FactName.USER_EXISTS, _BY, value=False),)
    return tuple(_facts(asked, found.members))


def _facts(asked: Asked, user: Mapping[str, Any]) -> Iterator[Fact]:
    primary, mailbox = members.text(user, "primaryEmail", 320), asked.subject.mailbox.casefold()
    others = (*members.texts(user, "aliases"), *members.texts(user, "nonEditableAliases"))
    if mailbox not in {primary.casefold(), *(each.casefold() for each in others)}:
        raise NotReadableError(Obstacle.UNEXPECTED, "the answer is about another account")
    yield asked.fact(FactName.USER_EXISTS, _BY, value=True)
    yield asked.fact(FactName.USER_NAME, _BY, value=primary, personal=True)
    yield asked.fact(FactName.USER_ADDRESS_IS_ALIAS, _BY, value=primary.casefold() != mailbox)
    for key, name in _SWITCHES:
        if (value := members.flag(user, key)) is not None:
            yield asked.fact(name, _BY, value=value)
    if members.flag(user, "suspended") and (reason := members.constant(user, "suspensionReason")):
        yield asked.fact(FactName.USER_SUSPENSION_REASON, _BY, value=reason)


WORKSPACE_USER = Question(
    "workspace_user",
    "the mailbox's account at Google: there, suspended, archived, has a mailbox",
    About.MAILBOX,
    Needs(Api.DIRECTORY, (DIRECTORY_SCOPE,), directory_roles=("Users > Read in the Workspace",)),
    _ask,
    (
        FactName.USER_EXISTS,
        FactName.USER_NAME,
        FactName.USER_ADDRESS_IS_ALIAS,
        *(name for _, name in _SWITCHES),
        FactName.USER_SUSPENSION_REASON,
    ),
    of=GOOGLE,
)
