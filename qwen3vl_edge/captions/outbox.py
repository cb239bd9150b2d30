"""What each output holds, or shall hold: noted in the journal before it is written, crossed out after."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from qwen3vl_edge.captions.journal import Journal
from qwen3vl_edge.captions.journal_database import plain_errors
from qwen3vl_edge.captions.modes import Holding

__all__ = ["Held", "Outbox", "Pending"]

_ROWS = 500  # in memory at once


@dataclass(frozen=True, slots=True)
class Pending:
    """What an output shall hold for an item; ``at`` is where in a file that grows."""

    key: bytes
    place: Path | None
    at: int
    content: bytes


@dataclass(frozen=True, slots=True)
class Held:
    """What an output holds for an item; ``content`` is None where the journal need not keep it."""

    holding: Holding
    at: int
    n_bytes: int
    content: bytes | None


class Outbox:
    """One output's part of the `journal`; ``name`` tells it from the others, ``output`` is its number."""

    def __init__(self, journal: Journal, name: bytes) -> None:
        """Find the output in the journal, or enter it.

        Raises:
            JournalError: The journal is damaged or cannot be written.
        """
        self.journal = journal
        self._database = journal.database
        self.where = journal.where
        with plain_errors(self.where):
            row = self._database.execute("SELECT output FROM outputs WHERE name = ?", (name,)).fetchone()
            self.is_new = row is None
            if row is None:
                self.journal.begin()
                row = self._database.execute(
                    "INSERT INTO outputs (name) VALUES (?) RETURNING output", (name,)
                ).fetchone()
        self.output = int(row[0])

    def held(self, key: bytes) -> Held | None:
        """Give what the output holds for an item, or shall; None: nothing."""
        with plain_errors(self.where):
            row = self._database.execute(
                "SELECT holding, at, n_bytes, content FROM records WHERE output = ? AND key = ?",
                (self.output, key),
            ).fetchone()
        return None if row is None else Held(*row)

    def owners(self, place: Path) -> Sequence[bytes]:
        """Give the keys of the items that the text file `place` was written for."""
        with plain_errors(self.where):
            rows = self._database.execute(
                "SELECT key FROM records WHERE output = ? AND place = ?",
                (self.output, self.journal.keys.key(place)),
            ).fetchall()
        return [key for (key,) in rows]

    def put_file(self, key: bytes, holding: Holding, place: Path, content: bytes) -> None:
        """Note that the text file `place` shall hold `content`, which is kept."""
        with plain_errors(self.where):
            self.journal.begin()
            self._database.execute(
                "INSERT OR REPLACE INTO records (output, key, holding, place, content, keep)"
                " VALUES (?, ?, ?, ?, ?, 1)",
                (self.output, key, holding, self.journal.keys.key(place), content),
            )

    def put_line(self, key: bytes, holding: Holding, content: bytes, *, keep: bool) -> None:
        """Note that `content` shall stand at the end of the file; an earlier line of the item is dead.

        What the journal could not make again from the item is to be kept.
        """
        with plain_errors(self.where):
            self.journal.begin()
            self._bury(key)
            end = self.end
            self._database.execute(
                "INSERT OR REPLACE INTO records (output, key, holding, at, n_bytes, content, keep)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (self.output, key, holding, end, len(content), content, keep),
            )
            self.set_end(end + len(content))

    def note_line(self, key: bytes, holding: Holding, at: int, n_bytes: int) -> None:
        """Note a line that was found in the file; an earlier one of the item is dead."""
        with plain_errors(self.where):
            self.journal.begin()
            self._bury(key)
            self._database.execute(
                "INSERT OR REPLACE INTO records (output, key, holding, at, n_bytes, written)"
                " VALUES (?, ?, ?, ?, ?, 1)",
                (self.output, key, holding, at, n_bytes),
            )

    def pending(self) -> Iterator[Sequence[Pending]]:
        """Give what is to be written, some at a time, lines in order; `cross_out` each before the next."""
        while True:
            with plain_errors(self.where):
                rows = self._database.execute(
                    "SELECT key, place, at, content FROM records INDEXED BY pending"
                    " WHERE output = ? AND written = 0 ORDER BY at LIMIT ?",
                    (self.output, _ROWS),
                ).fetchall()
            if not rows:
                return
            yield [
                Pending(key, None if place is None else self.journal.keys.path(place), at or 0, content)
                for key, place, at, content in rows
            ]

    def cross_out(self, written: Sequence[Pending]) -> None:
        """Note that these are written; it is committed with the next items."""
        with plain_errors(self.where):
            self.journal.begin()
            self._database.executemany(
                "UPDATE records SET written = 1, content = CASE WHEN keep THEN content END"
                " WHERE output = ? AND key = ?",
                [(self.output, pending.key) for pending in written],
            )

    def note_unsure(self, written: Sequence[Pending]) -> None:
        """Note that these are written, but may be undone by a power cut until they are crossed out."""
        with plain_errors(self.where):
            self.journal.begin()
            self._database.executemany(
                "UPDATE records SET written = 2 WHERE output = ? AND key = ?",
                [(self.output, pending.key) for pending in written],
            )

    def doubt_unsure(self) -> None:
        """Have written again what nobody has made sure of."""
        with plain_errors(self.where):
            self.journal.begin()
            self._database.execute(
                "UPDATE records SET written = 0 WHERE output = ? AND written = 2", (self.output,)
            )

    def forget(self, key: bytes) -> None:
        """Note that the output holds nothing for an item."""
        with plain_errors(self.where):
            self.journal.begin()
            self._database.execute("DELETE FROM records WHERE output = ? AND key = ?", (self.output, key))

    def forget_all(self) -> None:
        """Note that the output holds nothing."""
        with plain_errors(self.where):
            self.journal.begin()
            for table in ("records", "dead"):
                self._database.execute(f"DELETE FROM {table} WHERE output = ?", (self.output,))  # noqa: S608
            self._database.execute(
                'UPDATE outputs SET "end" = 0, swap = NULL WHERE output = ?', (self.output,)
            )

    @property
    def end(self) -> int:
        """How long the file is when all is written, in bytes."""
        return self._number('SELECT "end" FROM outputs WHERE output = ?')

    def set_end(self, end: int) -> None:
        """Note how long the file is when all is written."""
        with plain_errors(self.where):
            self.journal.begin()
            self._database.execute('UPDATE outputs SET "end" = ? WHERE output = ?', (end, self.output))

    @property
    def written_end(self) -> int:
        """How long the file is at least: where the first line begins that may not be written."""
        return self._number(
            'SELECT COALESCE((SELECT MIN(at) FROM records WHERE output = ?1 AND written = 0), "end")'
            " FROM outputs WHERE output = ?1"
        )

    def _bury(self, key: bytes) -> None:
        self._database.execute(
            "INSERT INTO dead SELECT output, at, n_bytes FROM records WHERE output = ? AND key = ?",
            (self.output, key),
        )

    def _number(self, query: str) -> int:
        with plain_errors(self.where):
            row = self._database.execute(query, (self.output,)).fetchone()
        return int(row[0])
