"""Many prompts at once: what goes into a scheduler, and what comes out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

from qwen3vl_edge.errors import EdgeError
from qwen3vl_edge.prompt import Part

if TYPE_CHECKING:  # the engine's protocol speaks of jobs
    from qwen3vl_edge.runtime.engine import Finished, GenerateOptions

__all__ = ["Completed", "Job", "Refused", "Step", "Watch", "nothing"]

K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class Job(Generic[K]):
    """A prompt to be continued; ``key`` is the caller's name for it."""

    key: K
    parts: Sequence[Part]
    options: "GenerateOptions"


@dataclass(frozen=True, slots=True)
class Completed(Generic[K]):
    """The whole answer to a job, and its reasoning; ``finished.seconds`` is the job's share of each step."""

    key: K
    text: str
    reasoning: str
    finished: "Finished"


@dataclass(frozen=True, slots=True)
class Refused(Generic[K]):
    """A job that cannot be done, alone: its prompt does not fit, or what it shows cannot be decoded."""

    key: K
    error: EdgeError


@dataclass(frozen=True, slots=True)
class Step(Generic[K]):
    """What the native library is about to do, and for which jobs: if it crashes, one of these was it."""

    kind: Literal["encode", "prefill", "decode"]
    keys: tuple[K, ...]


Watch = Callable[[Step[K]], None]
"""Told each step before it begins."""


def nothing(_step: Step[K]) -> None:
    """Watch without a word."""
