"""What goes between the supervisor and its worker: one JSON object a line.

File names that are no text come as Python has them, each odd byte half a surrogate pair, which JSON's
escapes carry; nothing is ever evaluated.
"""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

from qwen3vl_edge.captions.values import Answer, Kind, Outcome, Request, Status
from qwen3vl_edge.captions.wire_fields import WireError, one_of, texts
from qwen3vl_edge.captions.wire_settings import settings_of, settings_to_json
from qwen3vl_edge.captions.worker_settings import WorkerSettings
from qwen3vl_edge.errors import join_problems
from qwen3vl_edge.json_fields import Fields
from qwen3vl_edge.runtime.engine import Seconds, StopReason

__all__ = [
    "Beat",
    "Fault",
    "FaultKind",
    "Message",
    "Opened",
    "Parallel",
    "Reading",
    "Running",
    "StepKind",
    "WireError",
    "Working",
    "decode",
    "encode",
]

StepKind = Literal["encode", "prefill", "decode"]
FaultKind = Literal["usage", "files", "memory", "engine"]
"""Why a worker gives up: the settings, the model's files, too little memory, or the native library."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The worker has opened the model."""

    name: str
    identity: str


@dataclass(frozen=True, slots=True)
class Parallel:
    """The worker runs so many sequences at once from now on."""

    n: int


@dataclass(frozen=True, slots=True)
class Working:
    """Long work goes on, such as loading the model: ``done`` of ``total`` units, None if unknown."""

    what: str
    done: int
    total: int | None


@dataclass(frozen=True, slots=True)
class Beat:
    """A long native step goes on."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The requests whose files are being read and decoded right now, all of them."""

    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Running:
    """A native step begins, for these requests; ``n_tokens`` were generated since the worker began."""

    kind: StepKind
    numbers: tuple[int, ...]
    n_tokens: int


@dataclass(frozen=True, slots=True)
class Fault:
    """The worker's last message: why it ends."""

    kind: FaultKind
    error: str


Message = WorkerSettings | Request | Opened | Parallel | Working | Beat | Reading | Running | Outcome | Fault


def encode(message: Message) -> bytes:
    """Give `message` as one line, its end included."""
    fields = settings_to_json(message) if isinstance(message, WorkerSettings) else asdict(message)
    line = json.dumps({"type": type(message).__name__, **fields}, default=os.fspath)
    return line.encode("ascii") + b"\n"


def decode(line: bytes) -> Message:
    """Read what `encode` gave.

    Raises:
        WireError: It is no message.
        UsageError: A setting is out of range.
    """
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise WireError(f"no message: {line[:60]!r} ({error})") from error
    if not isinstance(found, dict):
        raise WireError(f"no message: {line[:60]!r}")
    reader = _READERS.get(str(found.get("type")))
    if reader is None:
        raise WireError(f"a message of an unknown type: {line[:60]!r}")
    fields = Fields(found, str(found["type"]))
    message = reader(fields)
    if fields.problems:
        raise WireError(f"a damaged message: {join_problems(fields.problems)}")
    return message


def _request(fields: Fields) -> Request:
    return Request(
        number=_number(fields),
        path=Path(fields.text("path")),
        kind=one_of(fields, "kind", get_args(Kind)),
        existing=fields.text("existing"),
        tags=fields.text("tags"),
    )


def _outcome(fields: Fields) -> Outcome:
    return Outcome(
        number=_number(fields),
        status=one_of(fields, "status", get_args(Status)),
        answers=tuple(map(_answer, fields.sections("answers"))),
        error=fields.text("error") if fields.has("error") else None,
        content_hash=fields.text("content_hash") if fields.has("content_hash") else None,
        width=fields.integer("width", least=0),
        height=fields.integer("height", least=0),
        n_vision_tokens=fields.integer("n_vision_tokens", least=0),
        notes=texts(fields, "notes"),
        seconds=_seconds(fields.section("seconds")),
    )


def _answer(fields: Fields) -> Answer:
    return Answer(
        prompt=fields.text("prompt"),
        text=fields.text("text"),
        stop_reason=one_of(fields, "stop_reason", get_args(StopReason)),
        n_tokens=fields.integer("n_tokens", least=0),
    )


def _seconds(fields: Fields) -> Seconds:
    return Seconds(*(fields.number(key) for key in ("load", "encode", "prefill", "decode")))


def _opened(fields: Fields) -> Opened:
    return Opened(fields.text("name"), fields.text("identity"))


def _working(fields: Fields) -> Working:
    total = fields.integer("total", least=0) if fields.has("total") else None
    return Working(fields.text("what"), fields.integer("done", least=0), total)


def _running(fields: Fields) -> Running:
    kind: StepKind = one_of(fields, "kind", get_args(StepKind))
    return Running(kind, fields.integers("numbers"), fields.integer("n_tokens", least=0))


def _fault(fields: Fields) -> Fault:
    return Fault(one_of(fields, "kind", get_args(FaultKind)), fields.text("error"))


_READERS: Mapping[str, Callable[[Fields], Message]] = {
    "WorkerSettings": settings_of,
    "Request": _request,
    "Opened": _opened,
    "Parallel": lambda fields: Parallel(fields.integer("n")),
    "Working": _working,
    "Beat": lambda _fields: Beat(),
    "Reading": lambda fields: Reading(fields.integers("numbers")),
    "Running": _running,
    "Outcome": _outcome,
    "Fault": _fault,
}


def _number(fields: Fields) -> int:
    return fields.integer("number", least=0)
