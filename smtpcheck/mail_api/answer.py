"""What an answer of a described API means.

Rules of this file:
- Pure. An answer is untrusted: its values are bounded and looked at by type; nothing of it is evaluated.
- Success is stated, never assumed: an answer that the description does not call one is an error, under HTTP 200 too.
  A page in HTML is none, nor is what is no JSON where something was asked for.
- A proof that is answered as if it had sent something is the worst there is (`unexpected`): the check must stop.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from smtpcheck.mail_api.description import Call, Description, Match, Proof, Send
from smtpcheck.model.cause import Cause

MAX_CODE = 80
MAX_MESSAGE = 400
_DEEPEST = 16
_SEARCHED = 16_384
"""Characters of an answer in which words are looked for."""
_NOT_THE_API = ((Cause.API_ANSWER_INVALID, 0.9),)
_PAGE = ("<!doctype html", "<html", "<head", "<body")


class Meaning(StrEnum):
    """What an answer comes to."""

    DONE = "done"
    """The request did what it is for."""
    REFUSED = "refused"
    UNEXPECTED = "unexpected"
    """A proof was answered as if it had sent a message."""
    NOT_THE_API = "not_the_api"
    """A page, an empty body, a redirect: something else answered."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as it was received."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    is_whole: bool = True
    """Whether `body` is the whole body, not the part that fits the limit."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What an answer means."""

    meaning: Meaning
    code: str = ""
    """The API's own code."""
    message: str = ""
    causes: tuple[tuple[Cause, float], ...] = ()
    """What it means, each with its certainty, best first; none: the description does not say."""
    message_id: str = ""

    @property
    def cause(self) -> Cause | None:
        """Return what it means most likely."""
        return self.causes[0][0] if self.causes else None


def read_answer(description: Description, call: Call, answer: Answer) -> Reading:
    """Return what an answer to one of the description's calls means."""
    text = answer.body[: 4 * _SEARCHED].decode("utf-8", "replace")[:_SEARCHED]
    body = _json(answer)
    code = _first(description.answer.code, body, MAX_CODE)
    message = _first(description.answer.message, body, MAX_MESSAGE)
    seen = _Seen(answer.status, code, f"{code} {message} {text}".lower(), body)
    if 300 <= answer.status < 400:
        where = answer.headers.get("location", "")[:MAX_CODE]
        return Reading(Meaning.NOT_THE_API, "", f"a redirect to {where}", ((Cause.API_ANSWER_INVALID, 0.95),))
    if seen.fits(call.success) and not seen.is_page and not (_reads(call) and body is None):
        return Reading(Meaning.DONE, message_id=_message_id(call, answer, body))
    if isinstance(call, Proof) and any(seen.fits(match) for match in call.proven_by):
        return Reading(Meaning.DONE, code, message)
    if isinstance(call, Proof) and not call.is_safe and 200 <= answer.status < 300:
        return Reading(Meaning.UNEXPECTED, code, message, ((Cause.UNEXPECTED_SUCCESS, 1.0),))
    return _refusal(description, call, seen, message)


def _reads(call: Call) -> bool:
    """Return whether a call asks for something: its answer is JSON, not any page that says 200."""
    return isinstance(call, Proof) and call.is_safe


def _refusal(description: Description, call: Call, seen: "_Seen", message: str) -> Reading:
    for row in description.errors:
        if seen.fits(row):
            return Reading(Meaning.REFUSED, seen.code, message, ((row.cause, row.certainty), *row.also.items()))
    if seen.is_page and (seen.status < 500 or seen.status in call.success.status):
        return Reading(Meaning.NOT_THE_API, "", "a page in HTML", _NOT_THE_API)
    if 200 <= seen.status < 300 and seen.body is None and (call.success.body or _reads(call)):
        return Reading(Meaning.NOT_THE_API, "", "no JSON", _NOT_THE_API)
    if seen.status in call.success.status and call.success.otherwise is not None:
        return Reading(Meaning.REFUSED, seen.code, message, ((call.success.otherwise, 0.9),))
    return Reading(Meaning.REFUSED, seen.code, message)


@dataclass(frozen=True, slots=True)
class _Seen:
    """An answer as a match looks at it."""

    status: int
    code: str
    text: str
    """In lower case."""
    body: Any

    @property
    def is_page(self) -> bool:
        return self.body is None and any(mark in self.text[:1024] for mark in _PAGE)

    def fits(self, match: Match) -> bool:
        """Return whether all that the match names is there."""
        return (
            (not match.status or self.status in match.status)
            and (not match.code or self.code in map(str, match.code))
            and (not match.text or any(part.lower() in self.text for part in match.text))
            and all(_has(_at(self.body, path), allowed) for path, allowed in match.body.items())
        )


def _has(value: Any, allowed: Sequence[str | int | bool]) -> bool:
    """Return whether a value of the body, or one in a list of it, is among those that are allowed."""
    values = value if isinstance(value, list) else [value]
    known = {_word(each) for each in allowed}
    return any(_word(each) in known for each in values if isinstance(each, str | int | bool))


def _word(value: str | int | bool) -> str:
    """Return a value as text: a code may be a number in one answer and a text in the next."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _at(value: Any, path: str) -> Any:
    """Return the value of a JSON body at a path; None where there is none."""
    for name in path.split("."):
        if isinstance(value, dict):
            value = value.get(name)
        elif isinstance(value, list) and name.isdigit() and int(name) < len(value):
            value = value[int(name)]
        else:
            return None
    return value


def _first(paths: Sequence[str], body: Any, limit: int) -> str:
    """Return the first of several values that is there, as text."""
    for path in paths:
        value = _at(body, path)
        if isinstance(value, str | int) and not isinstance(value, bool):
            return str(value)[:limit]
    return ""


def _message_id(call: Call, answer: Answer, body: Any) -> str:
    if not isinstance(call, Send):
        return ""
    if call.message_id_header is not None:
        return answer.headers.get(call.message_id_header.lower(), "")[:MAX_CODE]
    return _first((call.message_id,) if call.message_id else (), body, MAX_CODE)


def _json(answer: Answer) -> Any:
    """Return the body as a JSON object or list; None where it is neither, not whole, or nested too deep."""
    try:
        value = json.loads(answer.body) if answer.is_whole and answer.body else None
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict | list) and _is_shallow(value) else None


def _is_shallow(value: Any) -> bool:
    layer = [value]
    for _ in range(_DEEPEST):
        layer = [
            inner
            for each in layer
            for inner in (each.values() if isinstance(each, dict) else each)
            if isinstance(inner, dict | list)
        ]
        if not layer:
            return True
    return False
