"""`loopback:` - the messages that a check sends to prove that mail arrives.

Rules of this file:
- A recipient is never guessed: a message goes where a user said that it shall.
- A health check must not fill a mailbox: the limits here are far below those of the providers. A server on this
  machine's own loopback address harms nobody and may be asked as often as one likes.
"""

import ipaddress
from collections.abc import Collection, Mapping
from typing import Annotated

from pydantic import AfterValidator, Field

from smtpcheck.config.fields import Mailbox, Period, is_address, mistake
from smtpcheck.config.loopback_finder import FindResolver, FindSection
from smtpcheck.config.problems import Problems
from smtpcheck.config.providers import provider_of_host
from smtpcheck.config.validation import At, ConfigSection
from smtpcheck.limits.send_limits import MAILBOX, Limits
from smtpcheck.loopback.plan import Find, FindVia, Loopback
from smtpcheck.mail_api.apis import api_of
from smtpcheck.model.check import Check, Provider
from smtpcheck.oauth.credential import Credential

SHORTEST_EVERY = 300.0
"""Seconds from one message to the next, at least; one second where the server is on this machine."""
LONGEST_LOST_AFTER = 43200.0
"""Left-overs are deleted when they are a day old; until then nothing may be waited for."""


def _parse_contact(value: str) -> str:
    if not value.isprintable() or len(value) > 200:
        raise mistake("is not a valid contact", "write one line of text, at most 200 characters")
    return value


def _parse_authserv_id(value: str) -> str:
    if len(value) > 253 or any(character.isspace() or character in ';="' for character in value):
        raise mistake("is not a valid server name", "write it as in Authentication-Results, such as mx.google.com")
    return value


class LoopbackSection(ConfigSection):
    """Messages that are sent and found."""

    every: Period = Field(default=900.0, description="The interval between messages; 5m or more. Default 15m.")
    sender: Mailbox | None = Field(default=None, alias="from", description="From whom. Default: the check's sender.")
    recipient: Mailbox = Field(alias="to", description="To whom: a mailbox of your own.")
    find: FindSection = Field(description="How the messages are found.")
    bounces: FindSection | None = Field(
        default=None,
        description="How bounces are found, in the sender's mailbox: imap, graph or none. "
        "Default: as find, where its credential can read that mailbox.",
    )
    warn_after: Period = Field(default=60.0, description="A message that took longer is late. Default 1m.")
    lost_after: Period = Field(
        default=900.0, description="A message not found until then is lost; at most 12h. Default 15m."
    )
    max_per_day: int = Field(
        default=MAILBOX.per_day, ge=1, le=1000, description="Messages of the mailbox in 24 hours, at most. Default 200."
    )
    max_per_hour: int = Field(
        default=MAILBOX.per_hour, ge=1, le=120, description="Messages of the mailbox in one hour, at most. Default 12."
    )
    contact: Annotated[str, AfterValidator(_parse_contact)] = Field(
        default="", description="Whom to ask about the messages; they name it."
    )
    authserv_id: Annotated[str, AfterValidator(_parse_authserv_id)] | None = Field(
        default=None,
        description="Whose Authentication-Results are trusted, such as mx.google.com; "
        'empty ("") for those without a name, as at Exchange Online.',
    )
    delete: bool = Field(default=True, description="Whether messages that were found are deleted.")


class LoopbackResolver:
    """Fills in the defaults of the `loopback:` sections of one configuration."""

    def __init__(self, credentials: Mapping[str, Credential], named: Collection[str], problems: Problems) -> None:
        self._find = FindResolver(credentials, named, problems)
        self._problems = problems

    def loopback(self, section: LoopbackSection, check: Check, at: At) -> Loopback | None:
        """Return the whole loopback of a check, or report what cannot work about it and return None.

        `at` says where a key of the section is.
        """
        find = self._find.find(
            section.find, lambda path: at(("find", *path)), to=section.recipient, credential=check.credential
        )
        sender = section.sender or check.sender
        bounces = self._find.bounces(
            section.bounces, lambda path: at(("bounces", *path)), find=find, sender=sender, check=check
        )
        named = section.bounces is not None and section.bounces.via is not FindVia.NONE
        usable = find is not None and (bounces is not None or not named)
        if check.expect is not None:
            self._problems.error(
                at(()), "cannot be combined with expect", hint="what must be refused cannot arrive: keep one"
            )
            usable = False
        elif check.credential is None:
            self._problems.error(at(()), "needs a credential", hint="name one in the check")
            usable = False
        shortest = 1.0 if _is_on_this_machine(check.server.host) else SHORTEST_EVERY
        if section.every < shortest:
            hint = "each message stays in Sent Items and counts against the mailbox's limits: set every: 5m or more"
            self._problems.error(at(("every",)), f"must be {shortest:g}s or more, not {section.every:g}s", hint=hint)
            usable = False
        if not section.warn_after < section.lost_after <= LONGEST_LOST_AFTER:
            hint = "it is longer than warn_after, and at most 12h"
            self._problems.error(at(("lost_after",)), f"must not be {section.lost_after:g}s", hint=hint)
            usable = False
        if 86400.0 / section.every > section.max_per_day or 3600.0 / section.every > section.max_per_hour:
            self._problems.warning(
                at(("every",)),
                f"makes more messages than max_per_day: {section.max_per_day} and max_per_hour: {section.max_per_hour} "
                "allow; the rest is skipped",
                hint="send less often, or raise the limits",
            )
        if not usable or find is None:
            return None
        if check.via is not None and not api_of(check.via).carries_headers and find.via is not FindVia.NONE:
            hint = "write find: {via: none}, or send by SMTP or another API"
            message = f"cannot find its messages: {check.via.api} sends none of the headers by which they are found"
            self._problems.warning(at(("find",)), message, hint=hint)
        return Loopback(
            every=section.every,
            sender=sender,
            recipient=section.recipient,
            find=None if find.via is FindVia.NONE else find,
            warn_after=section.warn_after,
            lost_after=section.lost_after,
            limits=Limits(per_hour=section.max_per_hour, per_day=section.max_per_day),
            contact=section.contact,
            authserv_id=section.authserv_id,
            exchange_online=section.authserv_id == "" or _is_at_exchange_online(find),
            delete=section.delete,
            bounces=bounces,
            bounces_required=named,
        )


def _is_at_exchange_online(find: Find) -> bool:
    return find.via is FindVia.GRAPH or provider_of_host(find.server.host if find.server else "") is Provider.MICROSOFT


def _is_on_this_machine(host: str) -> bool:
    return host.lower() == "localhost" or (is_address(host) and ipaddress.ip_address(host).is_loopback)
