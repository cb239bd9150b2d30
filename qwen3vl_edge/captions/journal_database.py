"""The journal's file: an SQLite database, opened, checked, and laid out if it is new."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qwen3vl_edge.errors import JournalError

__all__ = ["SCHEMA_VERSION", "copy_of", "open_database", "plain_errors"]

SCHEMA_VERSION = 1
_APPLICATION_ID = 0x51335643  # "Q3VC"; tells this database from those of other programs
_BUSY_SECONDS = 1.0

# runs: one row a run; "ended" is null if it was cut off. items: one row an item, what came of it last.
# outputs: where captions go; of a file that grows, "end" is its length when all is written, "swap" its length
# after a tidying under way.
# records: what an output holds for an item, or shall hold; "written" is 0 if it may not, 2 if a power cut may
# undo it, else 1; "place" is the text file's, "at" and "n_bytes" the line's. dead: replaced lines.
_SCHEMA = """
CREATE TABLE runs (
    run INTEGER PRIMARY KEY, started REAL NOT NULL, last REAL NOT NULL, ended REAL, pid INTEGER NOT NULL,
    model TEXT NOT NULL, quantization TEXT NOT NULL, identity TEXT NOT NULL, version TEXT NOT NULL,
    mode TEXT NOT NULL, options TEXT NOT NULL, digest BLOB NOT NULL, n_written INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE items (
    key BLOB PRIMARY KEY, path BLOB NOT NULL, n_bytes INTEGER NOT NULL, modified_ns INTEGER NOT NULL,
    content_hash TEXT, digest BLOB NOT NULL, status TEXT NOT NULL, error TEXT, answers TEXT NOT NULL,
    notes TEXT NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL, n_vision_tokens INTEGER NOT NULL,
    encode_s REAL NOT NULL, prefill_s REAL NOT NULL, decode_s REAL NOT NULL, attempts INTEGER NOT NULL,
    finished REAL NOT NULL, run INTEGER NOT NULL REFERENCES runs (run)
) WITHOUT ROWID;
CREATE TABLE outputs (
    output INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE, "end" INTEGER NOT NULL DEFAULT 0, swap INTEGER
);
CREATE TABLE records (
    output INTEGER NOT NULL REFERENCES outputs (output), key BLOB NOT NULL, holding TEXT NOT NULL,
    place BLOB, at INTEGER, n_bytes INTEGER, content BLOB, keep INTEGER NOT NULL DEFAULT 0,
    written INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (output, key)
) WITHOUT ROWID;
CREATE INDEX pending ON records (output) WHERE written = 0;
CREATE INDEX unsure ON records (output) WHERE written = 2;
CREATE INDEX places ON records (output, place) WHERE place IS NOT NULL;
CREATE TABLE dead (output INTEGER NOT NULL, at INTEGER NOT NULL, n_bytes INTEGER NOT NULL,
    PRIMARY KEY (output, at)) WITHOUT ROWID;
"""


@contextmanager
def plain_errors(where: str) -> Iterator[None]:
    """Turn what SQLite says of the journal `where` into one line that says what to do."""
    try:
        yield
    except sqlite3.Error as error:
        raise _refusal(where, error) from error


def open_database(path: Path | None) -> sqlite3.Connection:
    """Open the journal `path`, new if there is none; None gives one that is gone when it is closed.

    A commit is on the disk when it returns (WAL, synchronous FULL): the outputs are written only then, so
    that a power cut cannot keep a caption in an output that the journal has forgotten, which the next run
    would put behind itself. The lock is exclusive: without shared memory, WAL works on network drives.

    Raises:
        JournalError: It cannot be opened, is damaged, is in use or no journal.
    """
    where = str(path) if path else "the temporary journal"
    if path and path.exists() and not path.is_file():
        raise JournalError(f"{where}: not a regular file; name another journal")
    with plain_errors(where):
        database = sqlite3.connect(path or "", timeout=_BUSY_SECONDS, isolation_level=None)
        try:
            database.execute("PRAGMA locking_mode = EXCLUSIVE")
            _check(database, where)
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = FULL")
            if _number(database, "user_version") == 0:
                _lay_out(database)
        except BaseException:
            database.close()
            raise
    return database


def copy_of(path: Path) -> sqlite3.Connection:
    """Give a copy of the journal `path` that is gone when it is closed; what the file says stays the same.

    Raises:
        JournalError: As `open_database`.
    """
    # a log beside it is that of a run under way, whose lock is heeded, or of a killed one, to be taken in
    has_log = path.with_name(f"{path.name}-wal").exists()
    address = f"{path.absolute().as_uri()}?{'mode=rw' if has_log else 'immutable=1'}"
    with plain_errors(str(path)):
        source = sqlite3.connect(address, timeout=_BUSY_SECONDS, uri=True)
        database = sqlite3.connect("", isolation_level=None)
        try:
            source.execute("PRAGMA locking_mode = EXCLUSIVE")
            _check(source, str(path))
            source.backup(database)
        except BaseException:
            database.close()
            raise
        finally:
            source.close()
    return database


def _lay_out(database: sqlite3.Connection) -> None:
    """Make all tables, or none: what was killed here is an empty file."""
    database.executescript(
        f"BEGIN; {_SCHEMA} PRAGMA application_id = {_APPLICATION_ID};"
        f" PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
    )


def _check(database: sqlite3.Connection, where: str) -> None:
    version, application = _number(database, "user_version"), _number(database, "application_id")
    is_new = (version, application) == (0, 0) and _number(database, "schema_version") == 0
    if not is_new and application != _APPLICATION_ID:
        raise JournalError(f"{where}: a database, but no journal of captions; name another journal")
    if not is_new and version != SCHEMA_VERSION:
        raise JournalError(
            f"{where}: a journal of version {version}, and this program knows {SCHEMA_VERSION}; "
            "use the program that wrote it, or name another journal"
        )


def _number(database: sqlite3.Connection, pragma: str) -> int:
    row = database.execute(f"PRAGMA {pragma}").fetchone()
    return int(row[0])


def _refusal(where: str, error: sqlite3.Error) -> JournalError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest says more than is needed
    match code:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return JournalError(f"{where}: in use by another run; wait for it, or name another journal")
        case sqlite3.SQLITE_FULL | sqlite3.SQLITE_IOERR:
            return JournalError(
                f"{where}: cannot be written ({error}); once it can, run the same command again: "
                "it goes on where it stopped"
            )
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return JournalError(
                f"{where}: no journal, or damaged ({error}); move it away: what the outputs hold then counts "
                "as done"
            )
        case _:
            return JournalError(f"{where}: cannot be used ({error})")
