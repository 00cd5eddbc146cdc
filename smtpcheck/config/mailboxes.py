"""`mailboxes:` - one check for each row of a list or of a CSV file.

Rules of this file:
- The first line of a CSV file names its columns: `mailbox` and any key of a check, an inner one with a dot
  (`labels.team`, `server.host`, `warn.certificate`). A cell wins over what the check says; an empty cell says nothing.
- Commas separate; semicolons do if the first line has no comma (as spreadsheets in many countries write them).
- In a name `{local}`, `{domain}` and `{mailbox}` stand for parts of the address; what no name may hold becomes `_`.
"""

import csv
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from smtpcheck.config.contents import Contents
from smtpcheck.config.expect import ExpectSection
from smtpcheck.config.models import CheckSection, MailboxesFile, ServerSection, WarnSection
from smtpcheck.config.problems import KeyPath, Place, Problems, nearest
from smtpcheck.config.validation import validated
from smtpcheck.config.via import ViaSection

_PART = re.compile(r"\{([^{}]*)\}")
_PARTS = ("local", "domain", "mailbox")
_OF_NO_NAME = re.compile(r"[^a-zA-Z0-9_.-]")
_INNER: dict[str, type[BaseModel]] = {
    "server": ServerSection,
    "via": ViaSection,
    "warn": WarnSection,
    "expect": ExpectSection,
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One check as it was written, and where each of its values is."""

    raw: Mapping[str, Any]
    place: Place
    moved: Mapping[KeyPath, Place] = field(default_factory=dict)
    """Values that are not in the check itself."""

    def at(self, path: KeyPath) -> Place:
        """Return where the value at `path` within the check is."""
        return self.moved.get(path) or self.place + path


class Table:
    """A CSV file as a source of problems; its paths are (row, column)."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.lines: list[int] = []

    def line(self, path: KeyPath) -> int | None:
        """Return the line of a row; of the first line of all without one."""
        return self.lines[path[0]] if path and isinstance(path[0], int) else 1

    def shown(self, path: KeyPath) -> str:
        """Return the column."""
        return ".".join(str(key) for key in path[1:])


def expand(
    raw: Mapping[str, Any], place: Place, folder: Path | None, contents: Contents, problems: Problems
) -> tuple[list[Entry], Path | None]:
    """Return the single checks that one item of `checks` stands for, and the CSV file if one was named."""
    if "mailboxes" not in raw:
        return [Entry(raw, place)], None
    if "mailbox" in raw:
        problems.error(place / "mailboxes", "cannot be combined with mailbox", hint="keep one of the two")
        return [], None
    rest = {key: value for key, value in raw.items() if key != "mailboxes"}
    given, at = raw["mailboxes"], place / "mailboxes"
    file = None
    if isinstance(given, list):
        entries = _of_list(rest, given, place)
    elif isinstance(given, Mapping):
        named = validated(MailboxesFile, given, at.__add__, problems, folder)
        file = named.file if named else None
        entries = list(_of_file(rest, file, place, contents, problems)) if file else []
    else:
        problems.error(at, "must be a list of addresses, or {file: PATH}", value=given)
        return [], None
    if not entries and file is None and isinstance(given, list):
        problems.error(at, "is empty")
    return _with_names(entries, problems), file


def _of_list(rest: Mapping[str, Any], given: list[Any], place: Place) -> list[Entry]:
    return [
        Entry({**rest, "mailbox": mailbox}, place, {("mailbox",): place / "mailboxes" / index})
        for index, mailbox in enumerate(given)
    ]


def _of_file(
    rest: Mapping[str, Any], file: Path, place: Place, contents: Contents, problems: Problems
) -> Iterator[Entry]:
    at = place / "mailboxes" / "file"
    try:
        text = contents.read(file).decode("utf-8-sig")
    except UnicodeDecodeError:
        problems.error(at, "is not UTF-8 text", value=str(file), hint="save the file as UTF-8")
        return
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "refused"
        problems.error(at, f"cannot be read: {reason.lower()}", value=str(file))
        return
    table = Table(str(file))
    first = text.partition("\n")[0]
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=";" if ";" in first and "," not in first else ",")
    try:
        header = [cell.strip() for cell in next(rows, [])]
        columns = _columns(header, table, problems)
        if columns is not None:
            yield from _rows(Entry(rest, place), rows, columns, table, problems)
    except csv.Error as error:
        table.lines.append(rows.line_num)
        problems.error(Place(table, (len(table.lines) - 1,)), f"is not valid CSV: {error}")


def _columns(header: list[str], table: Table, problems: Problems) -> list[KeyPath] | None:
    """Return the path of each column within a check; None if the first line cannot be used."""
    known = _known_columns()
    place = Place(table)
    wrong = False
    for column in header:
        if column not in known and not (column.startswith("labels.") and column != "labels."):
            problems.error(place, "unknown column", value=column, hint=nearest(column, known))
            wrong = True
        elif header.count(column) > 1:
            problems.error(place, "duplicate column", value=column)
            wrong = True
    if "mailbox" not in header:
        problems.error(place, "has no column mailbox", hint="the first line names the columns")
        wrong = True
    return None if wrong else [tuple(column.split(".", 1)) for column in header]


def _known_columns() -> set[str]:
    plain = {name for name in CheckSection.model_fields if name not in {*_INNER, "labels"}}
    inner = {f"{name}.{key}" for name, section in _INNER.items() for key in section.model_fields}
    return plain | inner


def _rows(check: Entry, rows: Any, columns: list[KeyPath], table: Table, problems: Problems) -> Iterator[Entry]:
    for cells in rows:
        if not any(cells):
            continue
        row = len(table.lines)
        table.lines.append(rows.line_num)
        if len(cells) > len(columns):
            problems.error(Place(table, (row,)), f"has {len(cells)} cells for {len(columns)} columns")
            continue
        raw, moved = dict(check.raw), {}
        for path, cell in zip(columns, cells, strict=False):
            if cell:
                _put(raw, path, cell)
                moved[path] = Place(table, (row, *path))
        if "mailbox" in raw:
            yield Entry(raw, check.place, moved)
        else:
            problems.error(Place(table, (row, "mailbox")), "is missing")


def _put(raw: dict[str, Any], path: KeyPath, cell: str) -> None:
    if len(path) == 1:
        raw[str(path[0])] = cell
    else:
        outer = raw.get(str(path[0]))
        raw[str(path[0])] = {**(outer if isinstance(outer, Mapping) else {}), str(path[1]): cell}


def _with_names(entries: list[Entry], problems: Problems) -> list[Entry]:
    """Return the checks with the parts of their address put into their names."""
    named = []
    for entry in entries:
        name, mailbox = entry.raw.get("name"), entry.raw["mailbox"]
        if not isinstance(mailbox, str):
            problems.error(entry.at(("mailbox",)), "must be text", value=mailbox, hint="write it in quotes")
        elif not isinstance(name, str):
            named.append(entry)
        elif unknown := [part for part in _PART.findall(name) if part not in _PARTS]:
            hint = "use {local}, {domain} or {mailbox}"
            problems.error(
                entry.at(("name",)),
                f"contains {{{unknown[0]}}}, which is not a part of an address",
                value=name,
                hint=hint,
            )
        elif len(entries) > 1 and "{" not in name and ("name",) not in entry.moved:
            hint = "put {local}, {domain} or {mailbox} into it"
            problems.error(entry.at(("name",)), "would be the name of several checks", value=name, hint=hint)
        else:
            moved = {("name",): entry.at(("mailbox",)), **entry.moved}
            named.append(Entry({**entry.raw, "name": _filled(name, mailbox)}, entry.place, moved))
    return named


def _filled(name: str, mailbox: str) -> str:
    local, _, domain = mailbox.strip().rpartition("@")
    parts = {"local": local, "domain": domain, "mailbox": mailbox.strip()}
    return _PART.sub(lambda match: _OF_NO_NAME.sub("_", parts[match[1]]), name)
