"""An answer as Markdown while it streams: finished blocks are printed for good, only the last is redrawn."""

import time

from rich.console import Console
from rich.markdown import Markdown
from rich.text import Text

from qwen3vl_edge.cli.terminal.live_region import LiveRegion
from qwen3vl_edge.cli.terminal.markdown_blocks import blocks, n_final, parsed, showable
from qwen3vl_edge.cli.terminal.safe_text import safe

__all__ = ["MarkdownAnswer"]

_BETWEEN_DRAWINGS_S = 1 / 15
_REST = 9  # a long block is drawn less often: at most a tenth of the time goes into that


class MarkdownAnswer:
    """One answer on a terminal.

    Args:
        console: Where to.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._region = LiveRegion(console.file)
        self._tail = ""
        self._begun = False
        self._draw_at = 0.0

    def write(self, text: str) -> None:
        """Take the next piece of the answer."""
        self._tail += safe(text)
        begun = time.monotonic()
        if begun < self._draw_at:
            return
        self._commit(n_final(self._tail))
        self._region.draw(self._lines(showable(self._tail)), *self._console.size)
        now = time.monotonic()
        self._draw_at = now + max(_BETWEEN_DRAWINGS_S, _REST * (now - begun))

    def finish(self) -> None:
        """Print what is left."""
        if self._tail.strip():
            self._commit(len(self._tail))
        else:
            self._region.finish([], self._console.width)

    def _commit(self, n_characters: int) -> None:
        if n_characters:
            self._region.finish(self._lines(self._tail[:n_characters]), self._console.width)
            self._tail = self._tail[n_characters:]
            self._begun = True

    def _lines(self, text: str) -> list[str]:
        """Render `text`, an empty line between its blocks and below what stands above it."""
        lines: list[str] = []
        for block in blocks(text):
            rendered = self._rendered(block)
            if rendered:
                lines += [*([""] if lines or self._begun else []), *rendered]
        return lines

    def _rendered(self, block: str) -> list[str]:
        markdown = Markdown("", hyperlinks=False)
        markdown.parsed = parsed(block)
        with self._console.capture() as captured:
            self._console.print(markdown)
        lines = [line.rstrip(" ") for line in captured.get().split("\n")]
        filled = [number for number, line in enumerate(lines) if Text.from_ansi(line).plain.strip()]
        return lines[filled[0] : filled[-1] + 1] if filled else []
