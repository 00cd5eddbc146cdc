"""What the provider says of a check's credential and mailbox: shown to users who may see names and addresses.

Rules of this file:
- Shown only where a user's password or a required client certificate has admitted the request, and
  `agent.expose_addresses` is true; else the page says in a line what is missing, and the JSON has no such key.
- Only what is about the check's own credential and mailboxes. Every text is bounded, and what looks like a secret is
  masked; a row of the sign-in log is no more than its code, resource, address and key.
- What grows with the number of mailboxes is read off the event loop.

JSON: `{"credential", "by", "wrong": [{"cause", "about", "says", "source"}], "facts": [{"about", "fact", "item",
"value", "wrong": a cause or "", "source", "asked", "read_at", "changed_at"}], "left_out": how many facts are not in it,
"not_readable": [{"question", "about", "reason", "detail", "read_at"}], "incidents", "announcements"}`.
"""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from aiohttp import web

from smtpcheck.config.settings import Settings
from smtpcheck.diagnosis.inspected.defects import defects_of
from smtpcheck.diagnosis.masking import mask
from smtpcheck.model.check import Check
from smtpcheck.model.inspection import Inspection
from smtpcheck.model.printable import printable
from smtpcheck.output.inspection import inspection_json, value_text
from smtpcheck.output.report_json import Json
from smtpcheck.web.keys import AGENT, CLOCK, IDENTIFIED

MOST_FACTS = 100
MOST_ITEMS, LONGEST_ITEM = 30, 100
"""Of a value that is a list, and how many characters of each of its texts."""
LONGEST = 300
"""Characters of any other text."""
_SID = re.compile(r"S-1(-\d{1,10}){1,15}")
"""A security identifier, which looks like a token and is none."""


@dataclass(frozen=True, slots=True)
class Inspected:
    """What a check's page says of the inspection of its credential."""

    credential: str
    hidden: str = ""
    """What is missing for anything to be shown, in words; empty where it is shown."""
    content: Json | None = None
    """What is shown."""
    next_reading_at: float | None = None
    """When the next reading begins (Unix seconds); None where one is under way."""


async def inspected(request: web.Request, check: Check) -> Inspected | None:
    """Return what the page says of a check's inspection, None where its credential has no inspector."""
    agent, credential = request.app[AGENT], check.credential or ""
    if credential not in agent.settings.inspections:
        return None
    if hidden := _why_hidden(request, agent.settings):
        return Inspected(credential, hidden)
    found = replace(
        agent.inspection.found(credential),
        incidents=agent.inspection.incidents(),
        announcements=agent.inspection.announcements(),
    )
    now = request.app[CLOCK]()
    content = await asyncio.to_thread(_content, agent.settings, check, found, now)
    begins = agent.inspection.next_reading_at(credential)
    return Inspected(credential, content=content, next_reading_at=begins if begins and begins > now else None)


def shown_value(value: object) -> str:
    """Return a value of the JSON in words."""
    is_list = isinstance(value, list)
    return value_text(tuple(value) if is_list else value)  # type: ignore[arg-type]


def subjects(content: Json) -> list[str]:
    """Return what facts are about and what could not be read is about, the application first."""
    return sorted({each["about"] for each in (*content["facts"], *content["not_readable"])})


def _why_hidden(request: web.Request, settings: Settings) -> str:
    identified, exposed = request.get(IDENTIFIED, False), settings.agent.expose_addresses
    needs = (
        (identified, "users or required client certificates in the web configuration file"),
        (exposed, "agent.expose_addresses: true in the configuration"),
    )
    return " and ".join(words for there, words in needs if not there)


def _content(settings: Settings, check: Check, found: Inspection, now: float) -> Json:
    credential = check.credential or ""
    ours = found.about((check.mailbox, check.sender))
    hints = settings.credentials[credential].hints(credential) if credential in settings.credentials else None
    defects = defects_of(ours, (check.mailbox,), hints, now)
    content = inspection_json(credential, ours, defects, time=float)
    facts, missed = content["facts"], content["not_readable"]
    return {
        **content,
        "by": settings.inspections[credential].by,
        "facts": [_bounded(each) for each in facts[:MOST_FACTS]],
        "left_out": max(len(facts) - MOST_FACTS, 0),
        "not_readable": [_bounded(each) for each in missed[:MOST_FACTS]],
    }


def _bounded(row: Mapping[str, object]) -> Json:
    return {name: _bounded_value(value) for name, value in row.items()}


def _bounded_value(value: object, limit: int = LONGEST) -> object:
    if isinstance(value, tuple):
        more = len(value) - MOST_ITEMS
        shown = [_bounded_value(each, LONGEST_ITEM) for each in value[:MOST_ITEMS]]
        return [*shown, f"and {more} more"] if more > 0 else shown
    if not isinstance(value, str) or _SID.fullmatch(value):
        return value
    return printable(mask(value), limit=limit)
