"""Lines of a file that later ones have replaced, and how the file becomes one without them.

The new file is complete on the disk before `begin_swap`, and takes the place before `end_swap`: whoever
finds a swap under way and the new file still beside the old one, renames it, and ends the swap.
"""

from collections.abc import Iterator

from qwen3vl_edge.captions.journal_database import plain_errors
from qwen3vl_edge.captions.outbox import Outbox

__all__ = ["DeadLines"]

_ROWS = 500  # in memory at once


class DeadLines:
    """The dead lines of one output."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._database = outbox.journal.database

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Give where dead lines begin, and their length in bytes, in order."""
        at = -1
        while True:
            with plain_errors(self._outbox.where):
                rows = self._database.execute(
                    "SELECT at, n_bytes FROM dead WHERE output = ? AND at > ? ORDER BY at LIMIT ?",
                    (self._outbox.output, at, _ROWS),
                ).fetchall()
            yield from rows
            if not rows:
                return
            at = rows[-1][0]

    @property
    def n_bytes(self) -> int:
        """How much of the file they are."""
        return self._number("SELECT COALESCE(SUM(n_bytes), 0) FROM dead WHERE output = ?")

    @property
    def swap(self) -> int:
        """The file's length after the swap that is under way, 0 if there is none."""
        return self._number("SELECT COALESCE(swap, 0) FROM outputs WHERE output = ?")

    def begin_swap(self, end: int) -> None:
        """Note that a file without dead lines, `end` bytes long, is about to take the place."""
        with plain_errors(self._outbox.where):
            self._outbox.journal.begin()
            self._database.execute("UPDATE outputs SET swap = ? WHERE output = ?", (end, self._outbox.output))
        self._outbox.journal.commit()

    def end_swap(self) -> None:
        """Note that it has: each line has moved up by the dead ones before it."""
        output = (self._outbox.output,)
        with plain_errors(self._outbox.where):
            self._outbox.journal.begin()
            self._database.execute("CREATE TEMP TABLE moved (at INTEGER PRIMARY KEY, by INTEGER)")
            self._database.execute(
                "INSERT INTO moved SELECT at, SUM(n_bytes) OVER (ORDER BY at) FROM dead WHERE output = ?",
                output,
            )
            self._database.execute(
                "UPDATE records SET at = at - COALESCE((SELECT by FROM moved WHERE moved.at < records.at"
                " ORDER BY moved.at DESC LIMIT 1), 0) WHERE output = ?",
                output,
            )
            self._database.execute("DROP TABLE moved")
            self._database.execute("DELETE FROM dead WHERE output = ?", output)
            self._database.execute('UPDATE outputs SET "end" = swap, swap = NULL WHERE output = ?', output)
        self._outbox.journal.commit()

    def _number(self, query: str) -> int:
        with plain_errors(self._outbox.where):
            row = self._database.execute(query, (self._outbox.output,)).fetchone()
        return int(row[0])
