"""What stands in the KV cells, kept as a list beside them: llama.cpp does not tell.

A text token takes one cell and one position. A picture of w × h tokens takes w · h cells, and, under
M-RoPE, max(w, h) positions (llama.cpp 0c1e57098, ``tools/mtmd/mtmd.cpp``, ``mtmd_image_tokens_get_n_pos``).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["Entry", "Key", "Occupants", "Pool", "SavedCells", "State"]

Key = int | bytes
"""What an entry is told by: a token's id, or the digest of a picture's pixels."""


State = NDArray[np.uint8]
"""What the engine keeps of one sequence, shape (n_bytes,)."""


@dataclass(slots=True, eq=False)
class Entry:
    """A token, or a picture as a whole; forks share it."""

    key: Key
    n_cells: int = 1
    n_positions: int = 1
    n_owners: int = 0


@dataclass(frozen=True, eq=False)
class SavedCells:
    """What a session has read, to be taken up later: its entries, and what the engine keeps of them."""

    entries: tuple[Entry, ...]
    state: State


@dataclass(slots=True)
class Pool:
    """The cells of a context; ``n_used`` counts those that several sequences share once."""

    n_used: int = 0


@dataclass(slots=True)
class Occupants:
    """The entries of one sequence, in order; ``position`` is that of the next one."""

    pool: Pool
    entries: list[Entry] = field(default_factory=list)
    n_cells: int = 0
    position: int = 0

    @property
    def last_position(self) -> int:
        """The highest position in the cells, -1 without any: all of a picture stands at its first."""
        if not self.entries:
            return -1
        last = self.entries[-1]
        return self.position - (1 if isinstance(last.key, int) else last.n_positions)

    def n_common(self, keys: Sequence[Key]) -> int:
        """Count the entries that `keys` begins with."""
        count = 0
        for entry, key in zip(self.entries, keys, strict=False):
            if entry.key != key:
                break
            count += 1
        return count

    def append(self, entry: Entry) -> None:
        """Take `entry` in at the end."""
        if entry.n_owners == 0:
            self.pool.n_used += entry.n_cells
        entry.n_owners += 1
        self.entries.append(entry)
        self.n_cells += entry.n_cells
        self.position += entry.n_positions

    def cut(self, n_entries: int) -> None:
        """Keep the first `n_entries`."""
        for entry in self.entries[n_entries:]:
            entry.n_owners -= 1
            if entry.n_owners == 0:
                self.pool.n_used -= entry.n_cells
            self.n_cells -= entry.n_cells
            self.position -= entry.n_positions
        del self.entries[n_entries:]

    def fork(self) -> "Occupants":
        """Give another sequence that shares every entry."""
        twin = Occupants(self.pool)
        for entry in self.entries:
            twin.append(entry)
        return twin
