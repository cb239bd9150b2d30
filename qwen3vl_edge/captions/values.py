"""What is captioned, and what came of it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from qwen3vl_edge.runtime.engine import Seconds, StopReason

__all__ = ["Answer", "Item", "Kind", "Outcome", "Request", "Status"]

Kind = Literal["picture", "clip"]
"""What a file holds, told by its content."""

Status = Literal["done", "failed", "crashed"]
"""`failed`: it cannot be read or does not fit; `crashed`: the native library ended or hung over it, twice."""


@dataclass(frozen=True, slots=True)
class Item:
    """A file to caption, as it was found; `modified_ns` and `n_bytes` tell whether it changed since."""

    path: Path
    kind: Kind
    n_bytes: int
    modified_ns: int


@dataclass(frozen=True, slots=True)
class Request:
    """An item on its way to the worker.

    ``number`` is what its outcome is told by; ``existing`` is the caption that it has already, ``tags``
    its tags: what prompts may name and the worker cannot know.
    """

    number: int
    path: Path
    kind: Kind
    existing: str = ""
    tags: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model wrote, as it wrote it, to ``prompt``: a template with its fields filled in."""

    prompt: str
    text: str
    stop_reason: StopReason
    n_tokens: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a request: an answer for each prompt, or the error, one line.

    ``content_hash`` is the SHA-256 of the file's bytes in hex, None if they could not be read (or, of a
    clip, what its source is identified by); ``width`` and ``height`` are the picture's own, upright, in
    pixels, 0 if unknown. ``notes`` say what of a clip could not be used. ``seconds`` is the item's share.
    """

    number: int
    status: Status
    answers: tuple[Answer, ...] = ()
    error: str | None = None
    content_hash: str | None = None
    width: int = 0
    height: int = 0
    n_vision_tokens: int = 0
    notes: tuple[str, ...] = ()
    seconds: Seconds = field(default_factory=Seconds)
