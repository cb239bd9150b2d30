"""The progress of a captioning run on standard error: live on a terminal, a line now and then elsewhere."""

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from qwen3vl_edge.cli.caption_state import RunState
from qwen3vl_edge.cli.caption_text import counts
from qwen3vl_edge.cli.plain_text import escaped, plain

__all__ = ["Display", "LiveDisplay", "PlainDisplay", "SilentDisplay", "drawing"]

_PLAIN_EVERY_S = 30.0
_REFRESHES = 4  # a second
_NAME_CELLS = 32
_MOST_NAMES = 4
_BAR_CELLS, _LEAST_BAR_CELLS = 30, 6


class Display(Protocol):
    """Where a run is seen; a context manager."""

    def note(self, text: str) -> None:
        """Say something that stays."""

    def refresh(self) -> None:
        """Look at the state, if it is time."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End; what was drawn live is gone."""


class SilentDisplay:
    """Shows nothing."""

    def note(self, text: str) -> None:
        """Say nothing."""

    def refresh(self) -> None:
        """Look at nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class PlainDisplay(SilentDisplay):
    """Lines on standard error: notes, and every half a minute how far the run is."""

    def __init__(self, state: RunState, now: Callable[[], float] = time.monotonic) -> None:
        self._state, self._now = state, now
        self._said_s = now()

    def note(self, text: str) -> None:
        """Write `text`, in which no control character is obeyed."""
        sys.stderr.write(f"qwen3vl-edge: {escaped(text)}\n")
        sys.stderr.flush()

    def refresh(self) -> None:
        """Write how far the run is, if the last time is long ago."""
        if self._now() - self._said_s >= _PLAIN_EVERY_S:
            self._said_s = self._now()
            self.note(self._state.activity or counts(self._state))


class LiveDisplay:
    """A bar with the figures beside it, and the files that the model is at, drawn over and over."""

    def __init__(self, state: RunState, console: Console) -> None:
        self._console = console
        self._live = Live(
            console=console,
            get_renderable=lambda: drawing(state, console.width),
            refresh_per_second=_REFRESHES,
            transient=True,
            redirect_stdout=False,  # else rich would send the product to standard error
            redirect_stderr=False,
        )

    def note(self, text: str) -> None:
        """Write `text` above the bar."""
        self._console.print(plain(f"qwen3vl-edge: {text}"), soft_wrap=True, highlight=False)

    def refresh(self) -> None:
        """Do nothing: it is drawn by a thread."""

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()


def drawing(state: RunState, width: int) -> RenderableType:
    """Draw `state` in two lines of at most `width` cells."""
    text = counts(state, width)
    room = min(_BAR_CELLS, width - len(text) - 1)
    line: RenderableType = Text(text, no_wrap=True, overflow="ellipsis")
    if room >= _LEAST_BAR_CELLS:
        row = Table.grid(padding=(0, 1))
        row.add_row(ProgressBar(state.total, state.n_seen, room, pulse=state.total is None), line)
        line = row
    return Group(line, Text(_below(state, width), style="dim", no_wrap=True, overflow="ellipsis"))


def _below(state: RunState, width: int) -> str:
    """Say what goes on: which files, as far as they fit, or what else."""
    paths = state.current
    if state.activity or not paths:
        return state.activity
    names: list[str] = []
    for path in paths[:_MOST_NAMES]:
        name = _cropped(escaped(path.name), _NAME_CELLS)
        if cell_len(", ".join([*names, name])) > max(width - 12, _NAME_CELLS):
            break
        names.append(name)
    more = len(paths) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")


def _cropped(name: str, cells: int) -> str:
    """Leave out the middle of a name that is too long: beginnings and suffixes tell names apart."""
    name = name.encode("utf-8", "replace").decode()  # half a surrogate pair has no width
    if cell_len(name) <= cells:
        return name
    half = (cells - 1) // 2
    head, tail = name[:half], name[-half:]
    while cell_len(head) + cell_len(tail) > cells - 1:
        head, tail = head[:-1], tail[1:]
    return f"{head}…{tail}"
