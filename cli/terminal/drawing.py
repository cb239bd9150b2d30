"""Pictures on this terminal: what it can show is found out once, when the first one comes."""

import os
from dataclasses import dataclass
from functools import cached_property

from rich.console import Console

from qwen3vl_edge.cli.preview import Cell, Protocol, ask_cell, detect_protocol, has_truecolor, preview
from qwen3vl_edge.cli.terminal.terminal_query import ask_terminal
from qwen3vl_edge.images import Pixels

__all__ = ["Drawing"]

_COLUMNS, _ROWS = 40, 14


@dataclass
class Drawing:
    """Draws pictures on `console`."""

    console: Console

    def draw(self, pixels: Pixels) -> None:
        """Draw `pixels`, shape (height, width, 3), where that is possible."""
        width, height = self.console.size
        drawn = preview(
            pixels,
            min(_COLUMNS, width - 1),
            self._protocol,
            has_truecolor(os.environ),
            rows=min(_ROWS, height - 1),
            cell=self._cell,
        )
        self.console.file.write(drawn)
        self.console.file.flush()

    @cached_property
    def _protocol(self) -> Protocol:
        return detect_protocol(os.environ, self.console.is_terminal, ask_terminal)

    @cached_property
    def _cell(self) -> Cell | None:
        return ask_cell(ask_terminal) if self._protocol == "sixel" else None
