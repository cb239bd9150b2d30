"""All that is drawn or printed: product on standard output, talk on standard error."""

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as Bars

from qwen3vl_edge.caption import Caption, Failure
from qwen3vl_edge.errors import EngineError
from qwen3vl_edge.progress import SILENT, Progress, Task
from qwen3vl_edge.runtime.engine import Event, Finished, Generated, TokenLogprob

__all__ = ["answer_json", "answer_text", "caption_line", "note", "print_json", "progress"]


def note(text: str) -> None:
    """Say something beside the product."""
    sys.stderr.write(f"qwen3vl-edge: {text}\n")


def print_json(value: object) -> None:
    """Print one JSON document."""
    sys.stdout.write(_as_json(value, indent=2))


def _as_json(value: object, indent: int | None = None) -> str:
    """Give JSON as it is read best: escaped only where a file name is no valid text."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    try:
        text.encode()
    except UnicodeEncodeError:
        text = json.dumps(value, indent=indent)
    return text + "\n"


def answer_text(events: Iterable[Event]) -> None:
    """Print an answer as it comes; say when it was cut off."""
    for event in events:
        match event:
            case Generated(text=text):
                sys.stdout.write(text)
                sys.stdout.flush()
            case Finished(stop_reason=reason, tokens=tokens):
                sys.stdout.write("\n")
                if reason == "length":
                    note(f"the answer was cut off after {tokens.generated} tokens; --max-tokens allows more")


def answer_json(events: Iterable[Event]) -> None:
    """Print an answer, its counts and times as one JSON object."""
    answer = ""
    logprobs: list[TokenLogprob] = []
    for event in events:
        match event:
            case Generated(text=text, logprob=logprob):
                answer += text
                logprobs += [] if logprob is None else [logprob]
            case Finished() as end:
                report: dict[str, object] = {
                    "answer": answer,
                    "stop_reason": end.stop_reason,
                    "tokens": asdict(end.tokens),
                    "seconds": {step: round(spent, 4) for step, spent in asdict(end.seconds).items()},
                }
                if logprobs:
                    report["logprobs"] = [asdict(item) for item in logprobs]
                print_json(report)
                return
    raise EngineError("the engine stopped without ending its answer")


def caption_line(result: Caption | Failure, *, as_json: bool) -> None:
    """Print one picture's caption on one line, or report why it has none."""
    if as_json:
        sys.stdout.write(_as_json(asdict(result) | {"path": str(result.path)}))
    elif isinstance(result, Caption):
        sys.stdout.write(f"{result.path}: {' '.join(result.caption.split())}\n")
        if result.stop_reason == "length":
            note(f"the caption of {result.path} was cut off; --max-tokens allows more")
    else:
        note(result.error)
    sys.stdout.flush()


def progress(*, beside_output: bool = False) -> Progress:
    """Give bars on standard error, or silence where that is not a terminal.

    Args:
        beside_output: The product is printed while the bars stand; on one terminal they would get
            into each other's way, and the product shows the progress.
    """
    drawn = sys.stderr.isatty() and not (beside_output and sys.stdout.isatty())
    return _Drawn(Console(stderr=True)) if drawn else SILENT


class _Drawn:
    """Progress as bars, one a task, gone when it ends."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def task(self, description: str, total: int | None, unit: str) -> Iterator[Task]:
        columns: tuple[ProgressColumn, ...] = (
            (DownloadColumn(binary_units=True), TransferSpeedColumn())
            if unit == "bytes"
            else (MofNCompleteColumn(), TextColumn(unit))
        )
        bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            *columns,
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            redirect_stdout=False,  # else rich would send the product to standard error
        )
        with bars:
            yield _Bar(bars, description, total)


class _Bar:
    def __init__(self, bars: Bars, description: str, total: int | None) -> None:
        self._bars = bars
        self._id = bars.add_task(description, total=total)

    def advance(self, amount: int = 1) -> None:
        self._bars.advance(self._id, amount)
