"""The seam between use cases and whatever runs the model.

`LlamaEngine` is the real thing, `ScriptedEngine` the one for tests.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from qwen3vl_edge.errors import UsageError
from qwen3vl_edge.limits import ImageLimits, VideoLimits
from qwen3vl_edge.prompt import ChatTemplate, Part
from qwen3vl_edge.sampling import Sampling

__all__ = [
    "Candidate",
    "Engine",
    "EngineInfo",
    "Event",
    "Finished",
    "GenerateOptions",
    "Generated",
    "Seconds",
    "StopReason",
    "TokenCounts",
    "TokenLogprob",
]

StopReason = Literal["stop", "length"]
"""The model ended its answer, or the token limit or the context did."""


@dataclass(frozen=True)
class EngineInfo:
    """What use cases need to know of an open model."""

    name: str
    template: ChatTemplate
    image_limits: ImageLimits
    video_limits: VideoLimits
    sampling: Sampling


@dataclass(frozen=True, slots=True)
class GenerateOptions:
    """What to generate; ``n_logprobs`` None gives none, N the chosen token's and the N best.

    Raises:
        UsageError: A number is out of range.
    """

    sampling: Sampling
    max_tokens: int = 1024
    n_logprobs: int | None = None

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise UsageError(f"{self.max_tokens} tokens cannot be generated; ask for 1 or more")
        if self.n_logprobs is not None and self.n_logprobs < 0:
            raise UsageError(f"{self.n_logprobs} log-probabilities cannot be listed; ask for 0 or more")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A token that could have been next; ``logprob`` is natural, before temperature and filters."""

    token: str
    id: int
    logprob: float


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """The chosen token and the likeliest ones, best first."""

    token: str
    id: int
    logprob: float
    top: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True)
class Generated:
    """One token was chosen; ``text`` is what can be shown of the answer since the last event.

    A character whose bytes are spread over tokens is held back until it is whole, so ``text`` can
    be empty.
    """

    text: str
    logprob: TokenLogprob | None = None


@dataclass(frozen=True, slots=True)
class TokenCounts:
    """``text`` and ``vision`` make up the prompt; ``generated`` includes the token that ends the answer."""

    text: int
    vision: int
    generated: int


@dataclass(slots=True)
class Seconds:
    """Wall time of each step; opening the model is counted once, in its first answer."""

    load: float = 0.0
    encode: float = 0.0
    prefill: float = 0.0
    decode: float = 0.0


@dataclass(frozen=True, slots=True)
class Finished:
    """The answer is complete; always the last event."""

    stop_reason: StopReason
    tokens: TokenCounts
    seconds: Seconds = field(default_factory=Seconds)


Event = Generated | Finished


class Engine(Protocol):
    """Something that continues prompts."""

    @property
    def info(self) -> EngineInfo:
        """What is known of the model."""

    def generate(self, parts: Sequence[Part], options: GenerateOptions) -> Iterator[Event]:
        """Continue the prompt `parts`: a `Generated` for each token, then one `Finished`.

        Raises:
            ContextFullError: The prompt does not fit the model's context.
            EngineError: The native library failed.
        """
