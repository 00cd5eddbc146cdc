"""What the mailbox itself is set to in Gmail: IMAP, forwarding, and addresses to send as that nobody has confirmed yet.

By the mailbox's own token, of which the scope for mail is enough.
https://developers.google.com/workspace/gmail/api/reference/rest/v1/users.settings
"""

from collections.abc import Iterator, Mapping
from typing import Any

from smtpcheck.inspection import members
from smtpcheck.inspection.google import GooglePath
from smtpcheck.inspection.question import GOOGLE, About, Answer, Api, Asked, Needs, Question
from smtpcheck.model.inspection import Fact, FactName
from smtpcheck.oauth.google_user import MAIL_SCOPE


async def _ask(asked: Asked) -> Answer:
    facts: list[Fact] = []
    for path, read in ((GooglePath.IMAP, _imap), (GooglePath.FORWARDING, _forwarding), (GooglePath.SEND_AS, _send_as)):
        found = await asked.google.get_of_mailbox(path, asked.subject.mailbox)
        facts += read(asked, found.members) if found is not None else ()
    return tuple(facts)


def _imap(asked: Asked, settings: Mapping[str, Any]) -> Iterator[Fact]:
    if (enabled := members.flag(settings, "enabled")) is not None:
        yield asked.fact(FactName.MAILBOX_IMAP, GooglePath.IMAP, value=enabled)


def _forwarding(asked: Asked, settings: Mapping[str, Any]) -> Iterator[Fact]:
    enabled = members.flag(settings, "enabled")
    if enabled is not None:
        yield asked.fact(FactName.MAILBOX_FORWARDS, GooglePath.FORWARDING, value=enabled)
    if enabled and (to := members.text(settings, "emailAddress", 320)):
        yield asked.fact(FactName.MAILBOX_FORWARDS_TO, GooglePath.FORWARDING, value=to, personal=True)


def _send_as(asked: Asked, settings: Mapping[str, Any]) -> Iterator[Fact]:
    if not isinstance(settings.get("sendAs"), list):
        return
    pending = sorted(
        members.text(each, "sendAsEmail", 320)
        for each in members.objects(settings, "sendAs")
        if members.text(each, "verificationStatus") == "pending"
    )
    yield asked.fact(FactName.UNVERIFIED_SENDERS, GooglePath.SEND_AS, value=tuple(pending), personal=True)


GMAIL_SETTINGS = Question(
    "gmail_settings",
    "the mailbox's settings in Gmail: IMAP, forwarding, unconfirmed addresses",
    About.MAILBOX,
    Needs(Api.GMAIL, (MAIL_SCOPE,), requests=3),
    _ask,
    (
        FactName.MAILBOX_IMAP,
        FactName.MAILBOX_FORWARDS,
        FactName.MAILBOX_FORWARDS_TO,
        FactName.UNVERIFIED_SENDERS,
    ),
    of=GOOGLE,
)
