"""A captioning run for other programs: JSON events, one a line, and a log."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from qwen3vl_edge.captions.events import Event, Opened, Parallel, Restarted
from qwen3vl_edge.captions.run_events import Noted, Passed, Recorded, RunEvent, Summary
from qwen3vl_edge.cli.json_output import json_text
from qwen3vl_edge.cli.plain_text import escaped
from qwen3vl_edge.errors import EdgeError, UsageError

if TYPE_CHECKING:
    from qwen3vl_edge.captions.settings import RunSettings
    from qwen3vl_edge.cli.caption_state import RunState

__all__ = ["EventLines", "Log", "open_lines"]

_EVERY_S = 1.0


class EventLines:
    """Writes ``start``, ``opened``, ``parallel``, ``item``, ``skipped``, ``progress``, ``restart``, ``note``
    and ``end`` events; each has ``event`` and ``time`` (seconds since 1970).
    """  # noqa: D205 -- one sentence

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._progress_s = 0.0

    def start(self, settings: "RunSettings") -> None:
        """Tell what is asked of which model."""
        model = settings.model
        self._write(
            "start",
            model=model.name,
            quantization=model.quantization,
            version=settings.version,
            mode=settings.mode,
            prompts={prompt.name: prompt.picture for prompt in settings.prompts},
        )

    def heed(self, event: RunEvent) -> None:
        """Tell what came of an item."""
        match event:
            case Recorded(record=record, is_restored=is_restored):
                self._write(
                    "item",
                    path=record.path,
                    status=record.status,
                    error=record.error,
                    captions={caption.name: caption.text for caption in record.captions},
                    notes=list(record.notes),
                    restored=is_restored,
                    seconds=round(record.seconds, 3),
                )
            case Passed(item=item, reason=reason):
                self._write("skipped", path=str(item.path), reason=reason)
            case Noted(text=text):
                self.note(text)

    def hear(self, event: Event) -> None:
        """Tell what became of the worker."""
        match event:
            case Opened(name=name):
                self._write("opened", model=name)
            case Parallel(n=n):
                self._write("parallel", n=n)
            case Restarted(reason=reason, n_parallel=n):
                self._write("restart", reason=reason, parallel=n)

    def note(self, text: str) -> None:
        """Tell something that a user should know."""
        self._write("note", text=text)

    def progress(self, state: "RunState") -> None:
        """Tell how far the run is, once a second."""
        now = time.monotonic()
        if now - self._progress_s < _EVERY_S:
            return
        self._progress_s = now
        self._write(
            "progress",
            done=state.n_done,
            failed=state.n_failed,
            skipped=state.n_skipped,
            total=state.total,
            images_per_second=_rounded(state.images_per_second),
            tokens_per_second=_rounded(state.tokens_per_second),
            seconds_left=_rounded(state.left_s),
            current=[str(path) for path in state.current],
        )

    def end(self, summary: Summary, exit_code: int) -> None:
        """Tell what the run has done; the last event."""
        self._write(
            "end",
            exit_code=exit_code,
            done=summary.done,
            restored=summary.restored,
            failed=summary.failed,
            crashed=summary.crashed,
            skipped=dict(summary.skipped),
            whole=summary.is_whole,
        )

    def _write(self, event: str, **fields: object) -> None:
        _put(self._file, json_text({"event": event, "time": round(time.time(), 3), **fields}))


class Log:
    """Writes a dated line for what a person would want to look up on the next morning."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def write(self, text: str) -> None:
        """Add a line; control characters in `text` are spelled out."""
        _put(self._file, f"{time.strftime('%Y-%m-%d %H:%M:%S')} {escaped(text)}\n")

    def heed(self, event: RunEvent) -> None:
        """Log failures and notes."""
        match event:
            case Recorded(record=record) if record.error is not None:
                self.write(f"{record.status}: {record.error}")
            case Recorded(record=record) if record.notes:
                self.write(f"note: {record.path}: {'; '.join(record.notes)}")
            case Noted(text=text):
                self.write(f"note: {text}")

    def hear(self, event: Event) -> None:
        """Log what became of the worker."""
        match event:
            case Opened(name=name):
                self.write(f"opened {name}")
            case Parallel(n=n):
                self.write(f"{n} sequences at once")
            case Restarted(reason=reason, numbers=numbers):
                self.write(f"worker restarted: {reason}; {len(numbers)} files run again alone")


@contextmanager
def open_lines(name: str, option: str) -> Iterator[IO[str]]:
    """Open the file `name` to add lines of text to it, - is standard error; any file name can be written.

    Args:
        name: Of the file.
        option: That named it, for messages.

    Raises:
        UsageError: It cannot be written.
    """
    if name == "-":
        yield sys.stderr
        return
    file = _opened(name, option)
    try:
        yield file
    finally:
        with suppress(OSError):  # of what could not be written when it was to be, and was told then
            file.close()


def _opened(name: str, option: str) -> IO[str]:
    try:
        return Path(name).open("a", encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise UsageError(f"{option} {name}: cannot be written ({error.strerror})") from error


def _put(file: IO[str], text: str) -> None:
    try:
        file.write(text)
        file.flush()
    except OSError as error:
        raise EdgeError(
            f"{file.name}: cannot be written ({error.strerror}); once it can, run the same command again: it "
            "goes on where it stopped"
        ) from error


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 3)
