"""Options of `caption` that say how a run goes, and who is told."""

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from qwen3vl_edge.errors import UsageError

if TYPE_CHECKING:  # the commands must start fast: nothing heavy is imported before it is needed
    from contextlib import ExitStack

    from qwen3vl_edge.captions.events import Patience
    from qwen3vl_edge.cli.caption_display import Display
    from qwen3vl_edge.cli.caption_run import Printed, Watched
    from qwen3vl_edge.cli.caption_state import RunState

__all__ = ["RunningOptions"]


@dataclass(frozen=True, slots=True)
class RunningOptions:
    """How the run goes, and who is told."""

    parallel: Annotated[
        str,
        typer.Option(
            metavar="auto|N",
            help="Captions written at once; auto measures what is fastest and fits the memory.",
        ),
    ] = "auto"
    item_timeout: Annotated[
        float,
        typer.Option(metavar="SECONDS", help="Give a file up after so long without a sign of life."),
    ] = 600.0
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Say what would be done and how long that takes, and stop."),
    ] = False
    quiet: Annotated[
        bool, typer.Option("-q", "--quiet", help="No progress, notes or summary on standard error.")
    ] = False
    log: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Add dated lines on failures to this file.", show_default=False),
    ] = None
    events: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|-",
            help="Write JSON events, one a line, into this file; - is standard error, in place of progress.",
            show_default=False,
        ),
    ] = None

    @property
    def n_parallel(self) -> int | None:
        """How many captions are written at once, None to measure.

        Raises:
            UsageError: It is no number that an engine can do.
        """
        from qwen3vl_edge.runtime.engine_settings import MOST_PARALLEL

        if self.parallel == "auto":
            return None
        is_number = self.parallel.isascii() and self.parallel.isdigit() and len(self.parallel) < 10
        if not (is_number and 1 <= int(self.parallel) <= MOST_PARALLEL):
            raise UsageError(
                f"--parallel {self.parallel!r:.40}: give auto, or a number from 1 to {MOST_PARALLEL}"
            )
        return int(self.parallel)

    def patience(self) -> "Patience":
        """Give how long the worker is waited for.

        Raises:
            UsageError: That is not above 0.
        """
        from qwen3vl_edge.captions.events import Patience

        return Patience(item_s=self.item_timeout)

    def _display(self, state: "RunState", *, prints: bool) -> "Display":
        """Give what is shown on standard error: a bar only where no captions come in between."""
        from rich.console import Console

        from qwen3vl_edge.cli.caption_display import LiveDisplay, PlainDisplay, SilentDisplay

        if self.quiet or self.events == "-":
            return SilentDisplay()
        live = sys.stderr.isatty() and not (prints and sys.stdout.isatty())
        return LiveDisplay(state, Console(stderr=True)) if live else PlainDisplay(state)

    def watched(self, printed: "Printed", stack: "ExitStack") -> "Watched":
        """Give who is told of a run; `stack` closes what is opened for it.

        Raises:
            UsageError: A file cannot be written.
        """
        from qwen3vl_edge.cli.caption_events import EventLines, Log, open_lines
        from qwen3vl_edge.cli.caption_run import Watched
        from qwen3vl_edge.cli.caption_state import RunState

        state = RunState()
        events = log = None
        if self.events is not None:
            events = EventLines(stack.enter_context(open_lines(self.events, "--events")))
        if self.log is not None:
            log = Log(stack.enter_context(open_lines(self.log, "--log")))
        display = self._display(state, prints=printed != "nothing")
        return Watched(state, display, printed, events, log)
