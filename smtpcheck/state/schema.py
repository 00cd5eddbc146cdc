"""The tables of the state file, and how an earlier version's file becomes this one's.

Rules of this file:
- The version of a file is its `user_version`: how many of the steps below have been done. A step is never changed once
  it has been released; what comes later is a further step.
- All steps of one opening are one transaction: a file is of one version or of the next, never between.
"""

import re
import sqlite3
from contextlib import closing
from typing import NamedTuple

APPLICATION_ID = 0x736D7470
"""`smtp`: by this file(1) and others know whose file it is (https://www.sqlite.org/pragma.html#pragma_application_id)."""

STEPS = (
    """
    CREATE TABLE checks (
        name TEXT PRIMARY KEY,
        runs INTEGER NOT NULL,
        failures INTEGER NOT NULL,
        last_success REAL,
        since REAL NOT NULL,
        last_run REAL NOT NULL,
        day INTEGER NOT NULL,
        refusals INTEGER NOT NULL,
        backoff_until REAL,
        history BLOB NOT NULL,
        report BLOB NOT NULL
    );
    CREATE TABLE failures (
        name TEXT PRIMARY KEY,
        report BLOB NOT NULL
    );
    CREATE TABLE days (
        day INTEGER NOT NULL,
        name TEXT NOT NULL,
        hours BLOB NOT NULL,
        PRIMARY KEY (day, name)
    ) WITHOUT ROWID;
    """,
    """
    CREATE TABLE sent (
        at REAL NOT NULL,
        mailbox TEXT NOT NULL,
        tenant TEXT NOT NULL
    );
    """,
    """
    CREATE TABLE tenures (
        since REAL NOT NULL,
        shard INTEGER NOT NULL,
        shards INTEGER NOT NULL
    );
    INSERT INTO tenures (since, shard, shards) SELECT 0, 0, 1 WHERE EXISTS (SELECT 1 FROM checks);
    """,
    """
    CREATE TABLE loopbacks (
        name TEXT PRIMARY KEY,
        sequence INTEGER NOT NULL,
        slot INTEGER NOT NULL,
        rest BLOB NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE messages (
        name TEXT NOT NULL,
        slot INTEGER NOT NULL,
        message BLOB NOT NULL,
        PRIMARY KEY (name, slot)
    ) WITHOUT ROWID;
    """,
    """
    CREATE TABLE alert_watches (
        name TEXT PRIMARY KEY,
        watches BLOB
    ) WITHOUT ROWID;
    CREATE TABLE alert_entries (
        notifier TEXT NOT NULL,
        alert TEXT NOT NULL,
        entry BLOB,
        PRIMARY KEY (notifier, alert)
    ) WITHOUT ROWID;
    """,
    """
    CREATE TABLE outages (
        name TEXT NOT NULL,
        place INTEGER NOT NULL,
        number INTEGER NOT NULL,
        began REAL NOT NULL,
        ended REAL,
        cause TEXT NOT NULL,
        PRIMARY KEY (name, place)
    ) WITHOUT ROWID;
    CREATE TABLE failed (
        name TEXT NOT NULL,
        place INTEGER NOT NULL,
        outage INTEGER NOT NULL,
        at REAL NOT NULL,
        cause TEXT NOT NULL,
        report BLOB NOT NULL,
        PRIMARY KEY (name, place)
    );
    CREATE INDEX failed_at ON failed (at);
    """,
    """
    DROP TABLE tenures;
    """,
    """
    CREATE TABLE silences (
        id TEXT PRIMARY KEY,
        ends_at REAL NOT NULL,
        silence BLOB NOT NULL
    ) WITHOUT ROWID;
    """,
    """
    CREATE TABLE inspections (
        credential TEXT PRIMARY KEY,
        reading BLOB
    ) WITHOUT ROWID;
    """,
)


LATEST_PLAUSIBLE = 1000
"""A version beyond this one is damage, and not a later version of smtpcheck."""
_LARGE = frozenset({"days", "failed"})
"""Tables that are too large to be read as a whole at a start; their rows are checked where they are used."""
_STORED_AS = {"INTEGER": "'integer'", "REAL": "'real', 'integer'", "TEXT": "'text'", "BLOB": "'blob'"}


class NewerFileError(Exception):
    """The file is of a later version of smtpcheck."""


class DamagedFileError(Exception):
    """What is in the file is not what was written."""


class Column(NamedTuple):
    """One column of a table."""

    name: str
    type: str
    required: bool


def tables(version: int | None = None) -> dict[str, tuple[Column, ...]]:
    """Return the tables of a file of some version, by default of this one."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript("".join(STEPS[:version]))
        return _tables_of(connection)


def _tables_of(connection: sqlite3.Connection) -> dict[str, tuple[Column, ...]]:
    names = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    return {name: _columns(connection, name) for name in names}


def _columns(connection: sqlite3.Connection, table: str) -> tuple[Column, ...]:
    rows = connection.execute("SELECT name, type, [notnull] OR pk FROM pragma_table_info(?)", (table,))
    return tuple(Column(name, kind, bool(required)) for name, kind, required in rows)


def verify(connection: sqlite3.Connection) -> None:
    """Check that a file has the tables of its version and values of their types.

    Raises DamagedFileError where it has not, NewerFileError, and sqlite3.Error where it cannot be read.
    """
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if not 0 <= version <= LATEST_PLAUSIBLE:
        raise DamagedFileError(f"no version is {version}")
    if version > len(STEPS):
        raise NewerFileError(f"it was written by a newer version of smtpcheck (its version is {version})")
    expected, found = tables(version), _tables_of(connection)
    names = expected.keys() | set(re.findall(r"CREATE TABLE (\w+)", "".join(STEPS)))
    if any(found.get(name) != expected.get(name) for name in names):
        raise DamagedFileError(f"its tables are not those of its version {version}")
    for name in expected.keys() - _LARGE:
        wrong = " OR ".join(_is_wrong(column) for column in expected[name])
        if connection.execute(f"SELECT 1 FROM {name} WHERE {wrong} LIMIT 1").fetchone():  # noqa: S608 - our own names
            raise DamagedFileError(f"its table {name} has a value of a wrong type")


def _is_wrong(column: Column) -> str:
    null = "" if column.required else ", 'null'"
    return f"typeof({column.name}) NOT IN ({_STORED_AS[column.type]}{null})"


def migrate(connection: sqlite3.Connection) -> None:
    """Bring a file that `verify` has passed to this version. Raises sqlite3.Error where it cannot be written."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version < len(STEPS):
        connection.executescript(
            "BEGIN IMMEDIATE;"
            + "".join(STEPS[version:])
            + f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {len(STEPS)}; COMMIT;"
        )
