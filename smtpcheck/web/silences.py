"""Silences by the API and by the button of a check's page.

`GET /api/v1/silences` answers `{"silences": [SILENCE]}`, the next to end first; SILENCE is `{"id", "from", "to",
"active", "until_repaired", "checks": [pattern], "credentials", "labels", "comment", "author": null for one of the
configuration, "covers": how many checks}`.
`POST /api/v1/silences` begins one and answers SILENCE (201). As JSON: `{"checks": [pattern], "credentials": [name],
"labels": {name: value}, "for": "1h" | "8h" | "monday" | "repaired", or "to": Unix seconds, "comment"}`; a form has the
fields `check`, `credential`, `for` and `comment`, and is sent back to the page (303).
`POST /api/v1/silences/ID/end` ends one that was made so; those of the configuration end there: 409.

Rules of this file:
- Who may: a user where there are users, else only this machine. It is logged with the name.
- A comment is needed, seven days are the longest, and no silence is without a check.
"""

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from aiohttp import web

from smtpcheck.agent.silencing import Silences
from smtpcheck.alerts.silence import DURATIONS, LONGEST_SECONDS, Silence, end_of
from smtpcheck.model.printable import printable
from smtpcheck.web import pages
from smtpcheck.web.keys import AGENT, CLOCK, GUARD
from smtpcheck.web.security import is_loopback

MOST_SILENCES = 500
"""How many may be in force or still to come."""
MOST_NAMES = 100
MOST_COMMENT = 500


async def silences(request: web.Request) -> web.Response:
    """Answer GET /api/v1/silences."""
    book, now = request.app[AGENT].alerting.silences, request.app[CLOCK]()
    return web.json_response({"silences": [as_json(each, book, now) for each in book.all()]})


async def add(request: web.Request) -> web.Response:
    """Answer POST /api/v1/silences."""
    author = _author(request)
    book, now = request.app[AGENT].alerting.silences, request.app[CLOCK]()
    if len(book.all()) >= MOST_SILENCES:
        raise web.HTTPConflict(text=f"there are {MOST_SILENCES} silences; end one first")
    wanted = await _wanted(request)
    silence = _silence(wanted, author, now)
    if not any(map(silence.covers, request.app[AGENT].settings.checks)):
        raise web.HTTPBadRequest(text="no check is covered by these names")
    made = book.add(silence, until_repaired=wanted.get("for") == "repaired")
    if pages.prefers_html(request):
        return _back(wanted.get("checks", ()))
    return web.json_response(as_json(made, book, now), status=201)


async def end(request: web.Request) -> web.Response:
    """Answer POST /api/v1/silences/ID/end."""
    author, identity = _author(request), request.match_info["id"]
    book = request.app[AGENT].alerting.silences
    found = next((each for each in book.all() if each.id == identity), None)
    if found is None:
        raise web.HTTPNotFound(text="there is no such silence; it may have ended")
    if not book.end(identity, author):
        raise web.HTTPConflict(text="this silence is in the configuration: remove it there, and reload")
    return _back(found.checks) if pages.prefers_html(request) else web.json_response({"ended": identity})


def as_json(silence: Silence, book: Silences, now: float) -> dict[str, Any]:
    """Return a silence as the API has it."""
    return {
        "id": silence.id,
        "from": silence.starts_at,
        "to": silence.ends_at,
        "active": silence.is_active(now),
        "until_repaired": silence.until_gone is not None,
        "checks": list(silence.checks),
        "credentials": list(silence.credentials),
        "labels": dict(silence.labels),
        "comment": silence.comment,
        "author": silence.author or None,
        "covers": len(book.covered(silence)),
    }


def _author(request: web.Request) -> str:
    """Return who asks; HTTPForbidden for whom nobody knows and who is not on this machine."""
    guard = request.app[GUARD]
    if guard.authenticates:
        return guard.user(request.headers.get("Authorization", "")) or "client certificate"
    if not is_loopback(request.remote or ""):
        raise web.HTTPForbidden(
            text="refused: without users in the web configuration only this machine may begin or end a silence"
        )
    return "a user of this machine"


async def _wanted(request: web.Request) -> Mapping[str, Any]:
    """Return what the request says, in the form of the JSON; HTTPBadRequest for what has another form."""
    if request.content_type != "application/json":
        form = await request.post()
        lists = {name: [str(value) for value in form.getall(name, [])] for name in ("check", "credential")}
        rest = {name: str(form[name]) for name in ("for", "comment") if name in form}
        return {"checks": lists["check"], "credentials": lists["credential"], **rest}
    try:
        wanted = json.loads(await request.read())
    except (ValueError, RecursionError):
        raise web.HTTPBadRequest(text="the body is not JSON") from None
    if not isinstance(wanted, dict):
        raise web.HTTPBadRequest(text="the body is not a JSON object")
    return wanted


def _silence(wanted: Mapping[str, Any], author: str, now: float) -> Silence:
    comment = wanted.get("comment")
    if not isinstance(comment, str) or not comment.strip():
        raise web.HTTPBadRequest(text="a comment is needed: why are these checks silenced?")
    labels = wanted.get("labels", {})
    if not isinstance(labels, dict) or not all(isinstance(value, str) for value in labels.values()):
        raise web.HTTPBadRequest(text="labels must be names with text values")
    return Silence(
        id="",
        starts_at=now,
        ends_at=_end(wanted, now),
        checks=_names(wanted, "checks"),
        credentials=_names(wanted, "credentials"),
        labels=tuple(sorted(labels.items())),
        comment=printable(comment.strip(), limit=MOST_COMMENT),
        author=author,
    )


def _end(wanted: Mapping[str, Any], now: float) -> float:
    if "for" in wanted:
        try:
            return end_of(str(wanted["for"]), now, datetime.fromtimestamp(now).astimezone().tzinfo or UTC)
        except ValueError:
            raise web.HTTPBadRequest(text=f"for must be one of {', '.join(DURATIONS)}") from None
    to = wanted.get("to")
    if isinstance(to, bool) or not isinstance(to, int | float) or not math.isfinite(to):
        raise web.HTTPBadRequest(text=f'say how long: "for", one of {", ".join(DURATIONS)}, or "to" in Unix seconds')
    if not now < to <= now + LONGEST_SECONDS:
        raise web.HTTPBadRequest(text="to must be in the future, and at most seven days from now")
    return float(to)


def _names(wanted: Mapping[str, Any], key: str) -> tuple[str, ...]:
    names = wanted.get(key, [])
    if not isinstance(names, list) or len(names) > MOST_NAMES or not all(isinstance(each, str) for each in names):
        raise web.HTTPBadRequest(text=f"{key} must be a list of at most {MOST_NAMES} names")
    return tuple(each[:200] for each in names)


def _back(checks: Any) -> web.Response:
    """Return the answer to a posted form: a browser gets the page that it was on (RFC 9110 15.4.4)."""
    location = f"/checks/{quote(checks[0], safe='')}" if len(checks) == 1 and "*" not in checks[0] else "/"
    return web.Response(status=303, headers={"Location": location})
