"""A captioning run as the command sees it: started, watched, told of, and stopped by Ctrl-C."""

import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from qwen3vl_edge.captions.record import Record, line
from qwen3vl_edge.captions.run import CaptionRun
from qwen3vl_edge.captions.run_events import Noted, Recorded, RunEvent, Summary
from qwen3vl_edge.captions.supervisor import Supervisor
from qwen3vl_edge.cli.caption_display import Display
from qwen3vl_edge.cli.caption_events import EventLines, Log
from qwen3vl_edge.cli.caption_notes import Notes
from qwen3vl_edge.cli.caption_state import RunState
from qwen3vl_edge.cli.caption_text import caption_lines, going_on, summary_lines
from qwen3vl_edge.cli.interrupt import INTERRUPTED, Interrupted, answering
from qwen3vl_edge.errors import EdgeError

if TYPE_CHECKING:
    from qwen3vl_edge.captions.events import Event, Patience
    from qwen3vl_edge.captions.journal import Journal
    from qwen3vl_edge.captions.settings import RunSettings
    from qwen3vl_edge.captions.sink import Sink
    from qwen3vl_edge.captions.values import Item, Outcome, Request

__all__ = ["Printed", "Watched", "caption_items"]

Printed = Literal["nothing", "lines", "json"]
"""What of captions goes to standard output."""


@dataclass(frozen=True)
class Watched:
    """Whoever is told of a run; ``unlisted`` are the folders that could not be looked into."""

    state: RunState
    display: Display
    printed: Printed
    events: EventLines | None
    log: Log | None
    unlisted: list[str] = field(default_factory=list)
    notes: Notes = field(default_factory=Notes)

    def start(self, settings: "RunSettings") -> None:
        """Tell what is asked of which model."""
        if self.events is not None:
            self.events.start(settings)
        if self.log is not None:
            self.log.write(f"caption, {settings.model.name} ({settings.model.quantization})")

    def heed(self, event: RunEvent) -> None:
        """Pass on what came of an item."""
        self.state.heed(event)
        for listener in (self.events, self.log):
            if listener is not None:
                listener.heed(event)
        match event:
            case Noted(text=text):
                self.display.note(text)
            case Recorded(record=record):
                self._print(record)
                notes = [f"{record.path}: {note}" for note in self.notes.fresh(record.notes)]
                for note in notes if record.error is None else [record.error]:
                    self.display.note(note)
        self.refresh()

    def hear(self, event: "Event") -> None:
        """Pass on what the worker is at."""
        self.state.hear(event)
        for listener in (self.events, self.log):
            if listener is not None:
                listener.hear(event)
        self.refresh()

    def unreadable(self, text: str) -> None:
        """Note a folder that cannot be listed."""
        self.unlisted.append(text)
        self.note(text)

    def note(self, text: str) -> None:
        """Say something to everybody."""
        self.display.note(text)
        if self.events is not None:
            self.events.note(text)
        if self.log is not None:
            self.log.write(text)

    def refresh(self) -> None:
        """Say how far the run is, where it is time."""
        self.display.refresh()
        if self.events is not None:
            self.events.progress(self.state)

    def _print(self, record: Record) -> None:
        if self.printed == "json":
            sys.stdout.write(line(record, "jsonl").decode())
        elif self.printed == "lines" and record.error is None:
            shown = caption_lines(record, escape=sys.stdout.isatty())
            sys.stdout.write("".join(f"{text}\n" for text in shown))
        sys.stdout.flush()


def caption_items(
    items: Callable[[Callable[[str], None]], "Iterator[Item]"],
    settings: "RunSettings",
    journal: "Journal",
    sinks: "Sequence[Sink]",
    watched: Watched,
    patience: "Patience",
    *,
    count: bool,
) -> int:
    """Caption all items; returns the exit code.

    Args:
        items: Finds them, given who is told of folders that cannot be listed.
        settings: How to caption.
        journal: What is known.
        sinks: Where captions go.
        watched: Who is told.
        patience: With the worker.
        count: Whether to look for all items beforehand, in a thread, so that the end can be told.

    Raises:
        Interrupted: Ctrl-C was pressed; all that was done is kept.
        EdgeError: Nothing more can be captioned; all that was done is kept.
    """
    run = CaptionRun(settings, journal, sinks, watched.heed)
    with ExitStack() as stack:
        stack.enter_context(watched.display)
        supervisor = stack.enter_context(
            Supervisor(settings.worker, on_event=_heard(watched, run), patience=patience)
        )
        pressed = stack.enter_context(answering(supervisor))
        if count:
            threading.Thread(target=_count, args=(items, watched.state, pressed), daemon=True).start()
        try:
            found = _until(items(watched.unreadable), pressed, run)
            run.caption(found, lambda requests: _worked(supervisor, requests, watched.state))
        except EdgeError:
            _tell_end(watched, run.summary, journal, 1)
            raise
    if pressed.is_set():
        _tell_end(watched, run.summary, journal, INTERRUPTED)
        raise Interrupted
    code = 0 if run.summary.all_captioned and not watched.unlisted else 1
    _tell_end(watched, run.summary, journal, code)
    return code


def _heard(watched: Watched, run: CaptionRun) -> "Callable[[Event], None]":
    def hear(event: "Event") -> None:
        watched.hear(event)
        run.tick()

    return hear


def _worked(supervisor: Supervisor, requests: "Iterator[Request]", state: RunState) -> "Iterator[Outcome]":
    for outcome in supervisor.run(state.asked(requests)):
        state.answered(outcome)
        yield outcome


def _until(items: "Iterable[Item]", pressed: threading.Event, run: CaptionRun) -> "Iterator[Item]":
    """Give `items` until Ctrl-C, of which `run` is told: what is skipped never comes to the supervisor."""
    for item in items:
        if pressed.is_set():
            run.stop()
            return
        yield item


def _count(
    items: Callable[[Callable[[str], None]], "Iterator[Item]"], state: RunState, pressed: threading.Event
) -> None:
    count = 0
    with suppress(EdgeError, OSError):  # which the run comes to, too, and tells
        for _ in items(lambda _: None):
            count += 1
            if pressed.is_set():
                return
        state.total = count


def _tell_end(watched: Watched, summary: Summary, journal: "Journal", code: int) -> None:
    stopped = not summary.is_whole or summary.interrupted > 0 or code == INTERRUPTED
    kept = journal.path is not None
    lines = summary_lines(summary, watched.state.elapsed_s, kept=kept)
    if stopped:
        lines.append(going_on(summary, kept=kept))
    says_more = kept or summary.failures  # than the captions themselves, printed
    for text in [*(lines if says_more else ()), *watched.notes.lines()]:
        watched.display.note(text)
    if watched.log is not None:
        watched.log.write("; ".join([*lines, *watched.notes.lines()]))
    if watched.events is not None:
        watched.events.end(summary, code)
