"""What an inspection has read, as a table, as JSON and as CSV.

Rules of this file:
- What is wrong comes first, then what could not be read, then the rest.
- Names, addresses and places are in it only for a user who asked for them (`personal`).
- A cell of the CSV that a spreadsheet would take for a formula gets a quote in front (OWASP, CSV injection).
"""

import csv
import io
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from smtpcheck.diagnosis.catalogue import Catalogue
from smtpcheck.diagnosis.explain import meaning
from smtpcheck.diagnosis.inspected.view import Defect
from smtpcheck.model.inspection import Announcement, Fact, Incident, Inspection, NotReadable, Value
from smtpcheck.model.printable import printable
from smtpcheck.model.timestamp import rfc3339, utc_text

COLUMNS = ("about", "fact", "item", "value", "wrong", "source", "asked", "read_at", "changed_at")
_HIDDEN = "(hidden)"
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_LONGEST_CELL = 120


def value_text(value: Value) -> str:
    """Return a fact's value in words."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(value) or "none"
    return "not set" if value is None else value


def fact_rows(
    inspection: Inspection, defects: Iterable[Defect], *, personal: bool, time: Callable[[float], object] = rfc3339
) -> list[dict[str, object]]:
    """Return each fact as values that `json` can write, those that show something wrong first; `time` writes times."""
    wrong = {id(fact): defect.cause for defect in defects for fact in defect.facts[:1]}
    return [
        {
            "about": fact.subject,
            "fact": fact.name.value,
            "item": fact.item,
            "value": _HIDDEN if fact.personal and not personal else fact.value,
            "wrong": str(wrong.get(id(fact), "")),
            "source": fact.source,
            "asked": fact.asked,
            "read_at": time(fact.read_at),
            "changed_at": None if fact.changed_at is None else time(fact.changed_at),
        }
        for fact in sorted(inspection.facts, key=lambda fact: (id(fact) not in wrong, fact.subject, _section(fact)))
    ]


def inspection_json(
    credential: str,
    inspection: Inspection,
    defects: Sequence[Defect],
    *,
    personal: bool = True,
    time: Callable[[float], object] = rfc3339,
) -> dict[str, Any]:
    """Return all of it as values that `json` can write; `time` writes times."""
    return {
        "credential": credential,
        "wrong": [
            {
                "cause": str(each.cause),
                "about": each.facts[0].subject,
                "says": each.says,
                "source": each.facts[0].source,
            }
            for each in defects
        ],
        "facts": fact_rows(inspection, defects, personal=personal, time=time),
        "not_readable": [
            {
                "question": each.question,
                "about": each.subject,
                "reason": str(each.obstacle),
                "detail": each.detail,
                "read_at": time(each.read_at),
            }
            for each in inspection.not_readable
        ],
        "incidents": [incident_json(each, time) for each in inspection.incidents],
        "announcements": [_announcement_json(each, time) for each in inspection.announcements],
    }


def incident_json(incident: Incident, time: Callable[[float], object] = rfc3339) -> dict[str, object]:
    """Return an incident as values that `json` can write; `time` writes times."""
    return {
        "provider": incident.provider,
        "service": incident.service,
        "id": incident.id,
        "status": str(incident.status),
        "title": incident.title,
        "began_at": None if incident.began_at is None else time(incident.began_at),
    }


def _announcement_json(announcement: Announcement, time: Callable[[float], object]) -> dict[str, object]:
    return {
        "provider": announcement.provider,
        "service": announcement.service,
        "id": announcement.id,
        "title": announcement.title,
        "act_by": None if announcement.act_by is None else time(announcement.act_by),
        "changed_at": None if announcement.changed_at is None else time(announcement.changed_at),
    }


def inspection_csv(inspection: Inspection, defects: Iterable[Defect]) -> str:
    """Return the facts as CSV (RFC 4180), with a header."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in fact_rows(inspection, defects, personal=True):
        writer.writerow([csv_cell(row[column]) for column in COLUMNS])
    for each in inspection.not_readable:
        values = dict.fromkeys(COLUMNS, "") | {
            "about": each.subject,
            "fact": each.question,
            "value": f"not readable: {each.detail}",
            "read_at": rfc3339(each.read_at),
        }
        writer.writerow([csv_cell(values[column]) for column in COLUMNS])
    return text.getvalue()


def csv_cell(value: object) -> str:
    """Return a value as a cell that no spreadsheet takes for a formula."""
    text = value_text(value) if value is None or isinstance(value, bool | tuple) else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def inspection_text(inspection: Inspection, defects: Sequence[Defect], catalogue: Catalogue) -> RenderableType:
    """Return all of it for a terminal."""
    parts: list[RenderableType] = []
    for defect in defects:
        about = defect.facts[0].subject or "the application"
        parts.append(Text.assemble(("wrong: ", "bold red"), (meaning(catalogue.entries[defect.cause]), "bold")))
        said = printable(f"{defect.facts[0].source} on {about}: {defect.says} ({defect.cause})")
        parts.append(Padding(Text(said), (0, 0, 0, 7)))
    if not defects:
        parts.append(Text("Nothing that was read is wrong.", "green" if inspection.facts else ""))
    parts += [Text(f"incident {each.id}: {each.title} ({each.status})", "yellow") for each in inspection.incidents]
    parts += [Text(_announced(each)) for each in inspection.announcements]
    wrong = {id(fact) for defect in defects for fact in defect.facts[:1]}
    rows = defaultdict[str, tuple[list[Fact], list[NotReadable]]](lambda: ([], []))
    for fact in inspection.facts:
        rows[fact.subject][0].append(fact)
    for each in inspection.not_readable:
        rows[each.subject][1].append(each)
    for subject, (facts, not_readable) in sorted(rows.items()):
        parts += [Text(), Text(subject or "Application and tenant", "bold")]
        parts.append(_table(facts, not_readable, wrong))
    if inspection.facts:
        first, last = (edge(fact.read_at for fact in inspection.facts) for edge in (min, max))
        parts += [Text(), Text(f"Read from {utc_text(first)} to {utc_text(last)}.", "dim")]
    return Group(*parts)


def _announced(announcement: Announcement) -> str:
    times = (("to act by", announcement.act_by), ("changed", announcement.changed_at))
    said = ", ".join(f"{what} {rfc3339(at)[:10]}" for what, at in times if at is not None)
    return f"announced {announcement.id}: {announcement.title}{f' ({said})' if said else ''}"


def _table(facts: Iterable[Fact], not_readable: Iterable[NotReadable], wrong: set[int]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("what", overflow="fold", max_width=31)
    table.add_column("value", overflow="fold")
    table.add_column("said by", overflow="fold", max_width=26)
    for fact in sorted(facts, key=lambda fact: (id(fact) not in wrong, _section(fact))):
        value = printable(value_text(fact.value), limit=_LONGEST_CELL)
        shown = f"{value} ({fact.item})" if fact.item else value
        table.add_row(fact_words(fact.name.value), Text(shown, "bold red" if id(fact) in wrong else ""), fact.source)
    for each in not_readable:
        table.add_row(fact_words(each.question), Text(f"not readable: {each.detail}", "yellow"), "")
    return table


def _section(fact: Fact) -> tuple[str, str, str]:
    section, _, name = fact.name.value.partition(".")
    return section, name, fact.item


def fact_words(name: str) -> str:
    """Return the name of a fact or a question as people read it."""
    return name.replace("enterprise_application", "enterprise app").replace(".", " ").replace("_", " ")
