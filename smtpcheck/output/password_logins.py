"""Who logs in to SMTP with a password, as a table, as JSON and as CSV, for the user who asked."""

import csv
import io
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from smtpcheck.model.printable import printable
from smtpcheck.model.timestamp import rfc3339, utc_text
from smtpcheck.output.inspection import csv_cell

Row = tuple[str, int, int, tuple[str, ...], float | None]
"""An account, its logins that succeeded and that failed, from where, and when the last one was (Unix seconds)."""

COLUMNS = ("account", "succeeded", "failed", "from", "last_at")
_CUT_OFF = "The log has more rows than were read: there may be further accounts, and the counts may be too low."


def logins_json(rows: Sequence[Row], *, is_whole: bool) -> dict[str, object]:
    """Return the logins as values that `json` can write."""
    return {"complete": is_whole, "accounts": [dict(zip(COLUMNS, _values(row), strict=True)) for row in rows]}


def logins_csv(rows: Sequence[Row]) -> str:
    """Return the logins as CSV (RFC 4180), with a header."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        account, succeeded, failed, addresses, last_at = _values(row)
        writer.writerow(map(csv_cell, (account, succeeded, failed, " ".join(addresses), last_at or "")))
    return text.getvalue()


def logins_text(rows: Sequence[Row], *, is_whole: bool) -> RenderableType:
    """Return the logins for a terminal."""
    notes = [] if is_whole else [Text(_CUT_OFF, "yellow")]
    if not rows:
        return Group(Text("Nobody logged in to SMTP with a password in the last 30 days."), *notes)
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("account", overflow="fold")
    table.add_column("logins", justify="right")
    table.add_column("failed", justify="right")
    table.add_column("from", overflow="fold")
    table.add_column("last", overflow="fold")
    for account, succeeded, failed, addresses, last_at in rows:
        last = "" if last_at is None else utc_text(last_at)
        table.add_row(printable(account), str(succeeded), str(failed), printable(" ".join(addresses)), last)
    head = f"{len(rows)} account{'s' * (len(rows) != 1)} logged in to SMTP with a password in the last 30 days."
    return Group(Text(head, "bold"), table, *notes)


def _values(row: Row) -> tuple[str, int, int, tuple[str, ...], str | None]:
    account, succeeded, failed, addresses, last_at = row
    return account, succeeded, failed, addresses, None if last_at is None else rfc3339(last_at)
