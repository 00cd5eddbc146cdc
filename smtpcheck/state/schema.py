"""The tables of the state file, and how an earlier version's file becomes this one's.

Rules of this file:
- The version of a file is its `user_version`: how many of the steps below have been done. A step is never changed once
  it has been released; what comes later is a further step.
- All steps of one opening are one transaction: a file is of one version or of the next, never between.
"""

import sqlite3

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
)


class NewerFileError(Exception):
    """The file is of a later version of smtpcheck."""


def migrate(connection: sqlite3.Connection) -> None:
    """Bring a file to this version. Raises NewerFileError, and sqlite3.Error where it cannot be read or written."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > len(STEPS):
        raise NewerFileError(f"it was written by a later version of smtpcheck (its version is {version})")
    if version < len(STEPS):
        connection.executescript(
            "BEGIN IMMEDIATE;"
            + "".join(STEPS[version:])
            + f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {len(STEPS)}; COMMIT;"
        )
