"""The last lines on the terminal, drawn again and again in place."""

from typing import IO

from rich.cells import cell_len
from rich.text import Text

__all__ = ["LiveRegion"]

# DEC private mode 2026: the terminal shows what lies between at once; those without it ignore the marks
_BEGIN, _END = "\x1b[?2026h", "\x1b[?2026l"
_ERASE_LINE, _ERASE_BELOW = "\x1b[K", "\x1b[J"


class LiveRegion:
    """Lines below all others; the cursor stands below them, in the first column.

    Args:
        file: The terminal.
    """

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._widths: list[int] = []

    def draw(self, lines: list[str], columns: int, rows: int) -> None:
        """Show `lines` (no wider than `columns`) in place of those shown before: the last that fit."""
        self._write(lines[-max(rows - 1, 1) :], columns)

    def finish(self, lines: list[str], columns: int) -> None:
        """Show all of `lines` for good; what is drawn next stands below them."""
        self._write(lines, columns)
        self._widths = []

    def _write(self, lines: list[str], columns: int) -> None:
        up = self._n_rows(columns)
        self._widths = [cell_len(Text.from_ansi(line).plain) for line in lines]
        drawn = "".join(
            # behind a full line the cursor still stands on its last column, and would erase that
            f"{line}{_ERASE_LINE if width < columns else ''}\n"
            for line, width in zip(lines, self._widths, strict=True)
        )
        self._file.write(f"{_BEGIN}\r{_up(up)}{drawn}{_ERASE_BELOW}{_END}")
        self._file.flush()

    def _n_rows(self, columns: int) -> int:
        """Count the rows of the terminal that the lines take now: a narrower one has wrapped them."""
        return sum(max(1, -(-width // columns)) for width in self._widths)


def _up(n_rows: int) -> str:
    return f"\x1b[{n_rows}A" if n_rows else ""
