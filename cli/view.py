"""All that is drawn or printed: product on standard output, talk on standard error."""

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import asdict
from typing import Literal

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

from qwen3vl_edge.chat import ChatEvent, Notice, Prepared
from qwen3vl_edge.cli.clip_view import ShownClips
from qwen3vl_edge.cli.json_output import print_json
from qwen3vl_edge.cli.plain_text import escaped
from qwen3vl_edge.constraints import AnswerError, Constraint
from qwen3vl_edge.errors import EngineError
from qwen3vl_edge.progress import SILENT, Progress, Task
from qwen3vl_edge.runtime.engine import Finished, Generated, Reasoned, TokenLogprob

__all__ = ["Redirected", "answer_json", "answer_text", "note", "plan", "print_json", "progress"]

ReasoningView = Literal["hidden", "dim", "shown"]

_DIM, _NORMAL = "\x1b[2m", "\x1b[22m"


def note(text: str) -> None:
    """Say something beside the product."""
    sys.stderr.write(f"qwen3vl-edge: {text}\n")


def answer_text(events: Iterable[ChatEvent], reasoning: ReasoningView | None = None) -> None:
    """Print an answer as it comes, its reasoning on standard error; say when it was cut off.

    Args:
        events: Of the answer.
        reasoning: How to show the reasoning; None: dim on a terminal, hidden elsewhere.
    """
    aside = _Aside(reasoning or ("dim" if sys.stderr.isatty() else "hidden"))
    with closing(aside):
        for event in events:
            match event:
                case Reasoned(text=text):
                    aside.write(text)
                case Generated(text=text):
                    aside.close()
                    sys.stdout.write(text)
                    sys.stdout.flush()
                case Notice(text=text):
                    note(escaped(text))
                case Finished():
                    aside.close()
                    sys.stdout.write("\n")
                    _say_end(event)


class _Aside:
    """Reasoning, beside the answer."""

    def __init__(self, shown: ReasoningView) -> None:
        self._shown = shown
        self._begun = False

    def write(self, text: str) -> None:
        if self._shown == "hidden" or not text:
            return
        if self._shown == "dim" and not self._begun:
            sys.stderr.write(_DIM)
        self._begun = True
        sys.stderr.write(text)
        sys.stderr.flush()

    def close(self) -> None:
        if self._begun:
            sys.stderr.write(f"{_NORMAL if self._shown == 'dim' else ''}\n\n")
            sys.stderr.flush()
        self._begun = False


def _say_end(event: Finished) -> None:
    """Say why an answer ended where the model would have gone on."""
    after = f"after {event.tokens.generated} tokens"
    match event.stop_reason:
        case "length":
            note(f"the answer was cut off {after}; --max-tokens allows more")
        case "context":
            note(f"the answer was cut off {after}: the context is full; --ctx gives more")
        case "loop":
            note(
                f"the answer was stopped {after}: it repeated itself without end; "
                "try --presence-penalty 1.5, or --no-loop-guard"
            )


def answer_json(events: Iterable[ChatEvent], constraint: Constraint | None = None) -> None:
    """Print an answer, its counts and times as one JSON object; ``data`` is what a schema made of it."""
    answer, reasoning = "", ""
    logprobs: list[TokenLogprob] = []
    for event in events:
        match event:
            case Generated(text=text, logprob=logprob):
                answer += text
                logprobs += [] if logprob is None else [logprob]
            case Reasoned(text=text):
                reasoning += text
            case Notice(text=text):
                note(escaped(text))
            case Finished() as end:
                report: dict[str, object] = {
                    "answer": answer,
                    "stop_reason": end.stop_reason,
                    "tokens": asdict(end.tokens),
                    "seconds": {step: round(spent, 4) for step, spent in asdict(end.seconds).items()},
                }
                if reasoning:
                    report["reasoning"] = reasoning
                if constraint is not None:
                    report |= _checked(answer, constraint)
                if logprobs:
                    report["logprobs"] = [asdict(item) for item in logprobs]
                print_json(report)
                return
    raise EngineError("the engine stopped without ending its answer")


def _checked(answer: str, constraint: Constraint) -> dict[str, object]:
    try:
        constraint.check(answer)
    except AnswerError:
        return {"valid": False}
    return {"valid": True} | ({"data": json.loads(answer)} if constraint.kind == "schema" else {})


def plan(prepared: Prepared, *, as_json: bool, clips: ShownClips) -> None:
    """Print what a question takes of the context, and how its clips are shown, after the policy."""
    needed = prepared.cost
    for said in prepared.notices:
        note(escaped(said.text))
    report = asdict(needed) | {"prompt": needed.prompt, "remaining": needed.remaining}
    if as_json:
        print_json(report | {"clips": clips.to_json(needed)})
    else:
        sys.stdout.write("".join(f"{line}\n" for line in clips.lines(needed)))
        lines = {
            "prompt": f"{needed.prompt} tokens: {needed.text} of text, {needed.vision} of pictures and clips",
            "in the context already": f"{needed.reused} tokens",
            "to be encoded": f"{needed.encode} tokens",
            "context": f"{needed.context} tokens, {max(needed.remaining, 0)} remain for the answer",
        }
        width = max(map(len, lines))
        sys.stdout.write("".join(f"{name:<{width}}  {value}\n" for name, value in lines.items()))
    if needed.remaining < 1:
        note(
            "the question does not fit; --ctx asks for more, --when-full shrink shows less of pictures "
            "and clips"
        )


def progress() -> Progress:
    """Give bars on standard error, or silence where that is not a terminal."""
    return _Drawn(Console(stderr=True)) if sys.stderr.isatty() else SILENT


class Redirected:
    """Progress that goes to ``target``, which may change while it is in use."""

    def __init__(self, target: Progress) -> None:
        self.target = target

    def task(self, description: str, total: int | None, unit: str) -> AbstractContextManager[Task]:
        """Open a task of the target as it is now."""
        return self.target.task(description, total, unit)


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
