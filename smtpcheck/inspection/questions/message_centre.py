"""Has Microsoft announced a change of how applications submit mail by SMTP?

A message counts for its title alone: bodies name SMTP AUTH where they say that it is not concerned, or as a way out.
Only those that were changed within a year are read. That a message is there proves nothing of any check.
https://learn.microsoft.com/graph/api/serviceannouncement-list-messages
"""

import re
from math import inf

from smtpcheck.inspection import members
from smtpcheck.inspection.graph import GraphItem, GraphPath
from smtpcheck.inspection.question import About, Answer, Api, Asked, Needs, Question
from smtpcheck.model.inspection import Announcement
from smtpcheck.model.timestamp import rfc3339

_YEAR = 365 * 86400.0
_MOST = 10
_ID = re.compile(r"MC\d{1,9}")
_SERVICE = "exchange online"
_SUBMISSION = re.compile(
    r"""
    \bsmtp[ -]auth(?:entication)?\b | \bauthenticated\ (?:client\ )?smtp\b
    | \bclient\ smtp\ submission\b | \bsmtp\ (?:client\ )?submission\b
    | \bsmtp(?:-legacy)?\.office365\.com\b | \bsmtp\.send(?:asapp)?\b
    | \b(?:rbac|role[ -]based\ access\ control(?:\ \(rbac\))?)\ for\ applications\b
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""What names submission by SMTP, or the roles that allow it."""
_PROTOCOL = re.compile(r"\bsmtp\b|\bclient submission\b", re.IGNORECASE)
_LOGIN = re.compile(r"\boauth\b|\b(?:basic|modern) auth(?:entication)?\b", re.IGNORECASE)
"""A title that names the protocol and the login is about it too."""


def concerns_submission(title: str) -> bool:
    """Return whether a message of this title is about how applications submit mail by SMTP."""
    is_login = _PROTOCOL.search(title) is not None and _LOGIN.search(title) is not None
    return is_login or _SUBMISSION.search(title) is not None


async def _ask(asked: Asked) -> Answer:
    listing = await asked.graph.listing(GraphPath.MESSAGES, since=rfc3339(asked.now - _YEAR))
    found = {each.id: each for item in listing.items if (each := _announcement(item, asked.now)) is not None}
    return tuple(sorted(found.values(), key=lambda each: -(each.changed_at or -inf))[:_MOST])


def _announcement(item: GraphItem, now: float) -> Announcement | None:
    message = item.members
    identity, title = members.text(message, "id", 20), members.text(message, "title", 200)
    services = {each.lower() for each in members.texts(message, "services")}
    if _ID.fullmatch(identity) is None or _SERVICE not in services or not concerns_submission(title):
        return None
    return Announcement(
        *("microsoft", "exchange_online", identity, title),
        act_by=members.moment(message, "actionRequiredByDateTime"),
        changed_at=members.moment(message, "lastModifiedDateTime", item.offset),
        read_at=now,
    )


MESSAGE_CENTRE = Question(
    "message_centre",
    "announced changes of submission by SMTP",
    About.TENANT,
    Needs(Api.GRAPH, ("ServiceMessage.Read.All",)),
    _ask,
    (),
)
