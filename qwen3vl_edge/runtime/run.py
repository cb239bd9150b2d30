"""What sessions and the scheduler share of one prompt and its answer."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from qwen3vl_edge.errors import ContextFullError
from qwen3vl_edge.runtime.answer import Answer
from qwen3vl_edge.runtime.engine import Finished, GenerateOptions, Seconds, StopReason, TokenCounts
from qwen3vl_edge.runtime.sampler import Sampler
from qwen3vl_edge.runtime.tokenized import TokenizedPrompt
from qwen3vl_edge.runtime.workbench import Workbench

__all__ = ["Run", "check_room", "clock", "open_sampler"]


@dataclass
class Run:
    """A prompt on its way to its answer."""

    prompt: TokenizedPrompt
    options: GenerateOptions
    seconds: Seconds
    n_reused: int = 0
    n_generated: int = 0
    n_reasoning: int = 0
    stop: StopReason = "cancelled"

    def follow(self, answer: Answer) -> None:
        """Take over how far `answer` has come."""
        self.n_generated, self.n_reasoning = answer.n_tokens, answer.n_reasoning
        self.stop = answer.stop_reason or self.stop

    def finished(self) -> Finished:
        """Give the last event."""
        counts = TokenCounts(
            self.prompt.n_text, self.prompt.n_vision, self.n_generated, self.n_reused, self.n_reasoning
        )
        return Finished(self.stop, counts, self.seconds)


def open_sampler(bench: Workbench, run: Run) -> Sampler:
    """Give what chooses the tokens of the answer.

    Raises:
        UsageError: The options cannot be obeyed by this model.
    """
    constraint = run.options.constraint
    return Sampler(
        bench.model,
        run.options.sampling,
        run.prompt.text_tokens(),
        bench.limit,
        constraint.grammar if constraint else None,
    )


def check_room(prompt: TokenizedPrompt, room: int) -> None:
    """Refuse a prompt that leaves, of `room` cells, none for an answer.

    Raises:
        ContextFullError: It does.
    """
    if prompt.n_cells + 1 > room:
        raise ContextFullError(
            f"the prompt is {prompt.n_cells} tokens ({prompt.n_vision} of them pictures) and the context "
            f"{room}; give fewer or smaller pictures, or less text"
        )


@contextmanager
def clock(seconds: Seconds, step: Literal["encode", "prefill", "decode"]) -> Iterator[None]:
    """Add the time that the block takes to a step."""
    started = time.perf_counter()
    try:
        yield
    finally:
        setattr(seconds, step, getattr(seconds, step) + time.perf_counter() - started)
