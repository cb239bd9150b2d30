"""Notes on captions, of which two million can be the same."""

from collections import Counter
from collections.abc import Iterable

__all__ = ["Notes"]

_SHOWN = 3


class Notes:
    """Lets the first few of equal notes through and counts the others."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def fresh(self, notes: Iterable[str]) -> list[str]:
        """Give those of a file's `notes` that were not heard often yet, each once."""
        fresh = []
        for note in dict.fromkeys(notes):
            self._counts[note] += 1
            if self._counts[note] <= _SHOWN:
                fresh.append(note)
        return fresh

    def lines(self) -> list[str]:
        """Give how often the others were, in all."""
        return [f"{count} times: {note}" for note, count in self._counts.items() if count > _SHOWN]
