"""The failures in a log of many events: each distinct one once, with its lines and how often it occurs.

Rules of this file:
- Two events are never read as one: what stands in another event says nothing of this one.
- A transcript, a bounce, a stack trace and a reply of several lines are one event, however long.
- An event that is only possibly a failure yields to a likely one right after it, as a status yields to its details.
- The work is bounded: events that differ only in times, ids, addresses and numbers are explained once.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from smtpcheck.diagnosis.explain import LIKELY, Catalogue, explain
from smtpcheck.diagnosis.mail_reading import read_mail
from smtpcheck.diagnosis.observation import from_text
from smtpcheck.diagnosis.quoted import course_of
from smtpcheck.model.cause import Cause
from smtpcheck.model.report import Finding

MAX_LINES = 20
"""How many line numbers of one failure are named."""
_MAX_DISTINCT = 2000
_LEAST_CERTAINTY = 0.25
_QUOTED = re.compile(r"^>(?: |$)")
_LEAST_QUOTED = 3
"""How many lines a quotation has at least; fewer may be the commands of a transcript."""
_CLOSE = 2
"""How many events later the details of a failure may be."""
_STAMP = re.compile(
    r"(?i)^[\[(<]?(?:\d{1,3}>)?(?:\d{4}[-/]\d\d[-/]\d\d[t ]\d\d:\d\d|\d\d/\w{3}/\d{4}:\d\d:\d\d"
    r"|\d\d[./]\d\d[./]\d{2,4},? \d\d:\d\d|(?:mon|tue|wed|thu|fri|sat|sun)[a-z]{0,6},? "
    r"|(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec) {1,2}\d{1,2} \d\d:\d\d|\d\d:\d\d:\d\d"
    r"|time=\"?\d{4}-|level=|\{\"(?:time|ts|timestamp|@timestamp|level)\"|ts=|\[ {0,6}\d{1,9}\.\d{3,6}\])"
)
"""How an event of a log begins: with a time, or as a record of a structured log."""
_VARIABLE = re.compile(
    r"[\w.+-]{1,64}@[\w.-]{1,190}|(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,5})?"
    r"|\[\d{1,9}\]|\b(?=[0-9a-f-]{0,40}\d)[0-9a-f-]{8,40}\b"
    r"|\b\d{4,20}\b|\d{1,2}:\d\d(?::\d\d)?(?:[.,]\d{1,9})?|\b\d{1,9}(?:\.\d{1,9})? ?(?:ms|s|seconds?|/\d)",
    re.IGNORECASE,
)
_DONE = re.compile(r"status=sent|stat=sent|\bC=\"250|(?:^|\s)Completed$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Failure:
    """One distinct failure in a text."""

    lines: tuple[int, ...]
    """The numbers of the lines with which its events begin, from 1, the first few."""
    count: int
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a log."""

    line: int
    """The number of its first line, from 1."""
    text: str


def failures_of(text: str, catalogue: Catalogue) -> tuple[Failure, ...]:
    """Return the distinct failures of a text in their order; of a text that is no log, its one, known or not."""
    text = _unquoted(text)
    if mail := read_mail(text):
        return (Failure((1,), 1, explain(mail, catalogue)),)
    events = events_of(text)
    found: dict[tuple[str, str], tuple[list[int], tuple[Finding, ...]]] = {}
    for line, findings in _telling(list(_explained(events, catalogue))):
        found.setdefault((findings[0].cause, findings[0].rule), ([], findings))[0].append(line)
    if found:
        return tuple(
            Failure(tuple(lines[:MAX_LINES]), len(lines), findings)
            for lines, findings in sorted(found.values(), key=lambda item: item[0][0])
        )
    if events:
        return (Failure((), 0, explain(from_text(""), catalogue)),)
    return (Failure((1,), 1, explain(from_text(text), catalogue)),)


def events_of(text: str) -> tuple[Event, ...]:
    """Return the events of a log; none of a text that is no log."""
    return tuple(_events(text)) if _is_log(text) else ()


def _explained(events: Sequence[Event], catalogue: Catalogue) -> Iterator[tuple[int, int, tuple[Finding, ...]]]:
    """Yield the events that are failures: the number of each, the line that it begins with, and what is found in it."""
    known: dict[str, tuple[Finding, ...]] = {}
    for number, event in enumerate(events):
        if _DONE.search(event.text):
            continue
        shape = _VARIABLE.sub("#", _STAMP.sub("", event.text[:2000]))
        if shape not in known:
            if len(known) >= _MAX_DISTINCT:
                continue
            known[shape] = explain(from_text(event.text), catalogue)
        first = known[shape][0]
        if first.cause is not Cause.UNKNOWN and first.certainty >= _LEAST_CERTAINTY:
            yield number, event.line, known[shape]


def _telling(failures: list[tuple[int, int, tuple[Finding, ...]]]) -> Iterator[tuple[int, tuple[Finding, ...]]]:
    """Yield line and findings of each failure but of those that a likely one explains right after."""
    for (number, line, findings), (after, _, later) in pairwise(failures):
        if findings[0].certainty >= LIKELY or later[0].certainty < LIKELY or after - number > _CLOSE:
            yield line, findings
    yield from ((line, findings) for _, line, findings in failures[-1:])


def _unquoted(text: str) -> str:
    """Return a text that is quoted in a reply, line by line, without its marks; any other text as it is."""
    lines = text.splitlines()
    marked = sum(1 for line in lines if _QUOTED.match(line))
    if marked < _LEAST_QUOTED or marked < len([line for line in lines if line.strip()]):
        return text
    return "\n".join(_QUOTED.sub("", line) for line in lines)


def _is_log(text: str) -> bool:
    """Return whether most lines begin an event, and they are not the lines of one dialogue."""
    lines = [line for line in text.splitlines() if line.strip() and not line[0].isspace()]
    stamped = sum(1 for line in lines if _STAMP.match(line))
    return stamped > 1 and stamped * 2 > len(lines) and not course_of(text).sent


def _events(text: str) -> Iterator[Event]:
    begin, lines = 1, list[str]()
    for number, line in enumerate(text.splitlines(), 1):
        if _STAMP.match(line) and lines:
            yield Event(begin, "\n".join(lines))
            lines.clear()
        if not lines:
            begin = number
        lines.append(line)
    if lines:
        yield Event(begin, "\n".join(lines))
