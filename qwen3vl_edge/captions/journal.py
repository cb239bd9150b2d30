"""What became of each item, kept from run to run; nothing is told to the outside before it is in here."""

import json
import os
import sqlite3
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from qwen3vl_edge.captions.journal_database import copy_of, open_database, plain_errors
from qwen3vl_edge.captions.keys import Keys
from qwen3vl_edge.captions.record import Caption, Record
from qwen3vl_edge.captions.values import Item, Outcome, Status
from qwen3vl_edge.errors import JournalError

__all__ = ["Journal", "Known", "plain_text"]


@dataclass(frozen=True, slots=True)
class Known:
    """What the journal knows of an item, as far as it decides what to do with it."""

    n_bytes: int
    modified_ns: int
    content_hash: str | None
    digest: bytes
    status: Status
    attempts: int
    run: int
    has_captions: bool


class Journal:
    """The journal in one file; a context manager. Only one process can have it open.

    ``path`` is its file, ``is_trial`` tells that nothing it says shall be done; ``run`` is the number of
    the run under way, ``last_whole`` that of the last run with its settings that was not cut off.

    All changes since the last `commit` are one transaction: they are kept together or not at all.
    """

    def __init__(self, path: Path | None, *, trial: bool = False) -> None:
        """Open the journal `path`; None gives one that is kept nowhere, `trial` a copy of the one there.

        Raises:
            JournalError: It cannot be opened, is damaged, is in use or no journal.
        """
        self.path = path
        self.is_trial = trial
        self.where = str(path) if path else "the temporary journal"
        self.keys = Keys(path.absolute().parent if path else Path.cwd())
        copied = path is not None and trial and path.exists()
        self.database = copy_of(path) if path and copied else open_database(None if trial else path)
        self.run = self.last_whole = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; what is not committed is lost."""
        self.database.close()

    def begin(self) -> None:
        """Begin a transaction, unless one is under way."""
        if not self.database.in_transaction:
            self.database.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Have all changes on the disk.

        Raises:
            JournalError: The journal cannot be written; all changes since the last commit are undone.
        """
        with plain_errors(self.where):
            try:
                if self.database.in_transaction:
                    self.database.execute("COMMIT")
            except sqlite3.Error:
                if self.database.in_transaction:
                    self.database.execute("ROLLBACK")
                raise

    def find(self, key: bytes) -> Known | None:
        """Give what is known of an item, None if it is new.

        Raises:
            JournalError: The journal is damaged.
        """
        with plain_errors(self.where):
            row = self.database.execute(
                "SELECT n_bytes, modified_ns, content_hash, digest, status, attempts, run, answers != '[]'"
                " FROM items WHERE key = ?",
                (key,),
            ).fetchone()
        return None if row is None else Known(*row)

    def note_stamp(self, key: bytes, item: Item) -> None:
        """Note that `item`, whose content is the same, has another size or time of change now."""
        with plain_errors(self.where):
            self.begin()
            self.database.execute(
                "UPDATE items SET n_bytes = ?, modified_ns = ? WHERE key = ?",
                (item.n_bytes, item.modified_ns, key),
            )

    def put(self, key: bytes, item: Item, outcome: Outcome, record: Record, digest: bytes) -> None:
        """Note what came of `item`, in the transaction under way.

        Raises:
            JournalError: The journal cannot be written.
        """
        known, seconds = self.find(key), outcome.seconds
        attempts = known.attempts + 1 if known and known.digest == digest else 1
        with plain_errors(self.where):
            self.begin()
            self.database.execute(
                "INSERT OR REPLACE INTO items VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,"
                " ?)",
                (
                    *(key, os.fsencode(item.path), item.n_bytes, item.modified_ns, outcome.content_hash),
                    *(digest, record.status, None if record.error is None else plain_text(record.error)),
                    json.dumps([asdict(caption) for caption in record.captions]),
                    json.dumps(record.notes),
                    *(record.width, record.height, outcome.n_vision_tokens),
                    *(seconds.encode, seconds.prefill, seconds.decode),
                    *(attempts, time.time(), self.run),
                ),
            )
            self.database.execute(
                "UPDATE runs SET last = ?, n_written = n_written + 1 WHERE run = ?", (time.time(), self.run)
            )

    def set_failed(self, key: bytes, error: str) -> None:
        """Note that the caption of an item could not be written; it is kept for another attempt."""
        with plain_errors(self.where):
            self.begin()
            self.database.execute(
                "UPDATE items SET status = 'failed', error = ? WHERE key = ?", (plain_text(error), key)
            )

    def set_done(self, key: bytes) -> None:
        """Note that the caption of an item, which could not be written, is written again."""
        with plain_errors(self.where):
            self.begin()
            self.database.execute("UPDATE items SET status = 'done', error = NULL WHERE key = ?", (key,))

    def record(self, key: bytes) -> Record:
        """Give what is told of an item that is known and has captions.

        Raises:
            JournalError: The journal is damaged.
        """
        with plain_errors(self.where):
            path, answers, notes, model, quantization, version, *numbers = self.database.execute(
                "SELECT path, answers, notes, model, quantization, version, width, height,"
                " encode_s + prefill_s + decode_s FROM items JOIN runs USING (run) WHERE key = ?",
                (key,),
            ).fetchone()
        try:
            captions = tuple(Caption(**caption) for caption in json.loads(answers))
            notes = tuple(json.loads(notes))
        except (ValueError, TypeError) as error:
            raise JournalError(f"{self.where}: damaged; move it away ({error})") from error
        return Record(
            os.fsdecode(path), "done", captions, None, model, quantization, version,
            notes, *numbers,
        )  # fmt: skip


def plain_text(text: str) -> str:
    """Give `text` as it can be kept: bytes of file names that are none are escaped."""
    return text.encode("utf-8", "backslashreplace").decode()
