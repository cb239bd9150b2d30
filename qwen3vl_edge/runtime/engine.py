"""The seam between use cases and whatever runs the model.

`LlamaEngine` is the real thing, `ScriptedEngine` the one for tests.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeVar

from qwen3vl_edge.constraints import Constraint
from qwen3vl_edge.errors import UsageError
from qwen3vl_edge.limits import ImageLimits, VideoLimits
from qwen3vl_edge.prompt import ChatTemplate, Part
from qwen3vl_edge.runtime.cells import SavedCells
from qwen3vl_edge.runtime.jobs import Completed, Job, Refused, Watch, nothing
from qwen3vl_edge.sampling import Sampling

__all__ = [
    "Candidate",
    "Cost",
    "Engine",
    "EngineInfo",
    "Event",
    "Finished",
    "GenerateOptions",
    "Generated",
    "Reasoned",
    "Seconds",
    "Session",
    "StopReason",
    "TokenCounts",
    "TokenLogprob",
]

K = TypeVar("K")

StopReason = Literal["stop", "length", "context", "loop", "cancelled"]
"""What ended an answer: the model or a stop string, the token limit, the full context, the loop guard,
`Engine.cancel`."""


@dataclass(frozen=True)
class EngineInfo:
    """What use cases need to know of an open model; ``identity`` tells its files from others."""

    name: str
    identity: str
    template: ChatTemplate
    image_limits: ImageLimits
    video_limits: VideoLimits
    sampling: Sampling


@dataclass(frozen=True, slots=True)
class GenerateOptions:
    """What to generate, and when to stop.

    ``n_logprobs`` None gives none, N the chosen token's and the N best. An answer ends before the first
    of the `stop` strings that it would hold. ``loop_guard`` ends one that repeats itself without end.
    ``think_budget`` closes the reasoning of a Thinking model after so many tokens; None lets it go on.
    ``constraint`` holds for the answer, not for the reasoning; where tokens run out, the answer is closed in
    good form. No token that ends the answer is chosen before ``min_tokens`` others; ``ignore_end`` goes on
    to ``max_tokens`` as if there were none, for benchmarks.

    Raises:
        UsageError: A number is out of range, or a stop string is empty.
    """

    sampling: Sampling
    max_tokens: int = 1024
    n_logprobs: int | None = None
    stop: tuple[str, ...] = ()
    loop_guard: bool = True
    think_budget: int | None = None
    constraint: Constraint | None = None
    min_tokens: int = 0
    ignore_end: bool = False

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise UsageError(f"{self.max_tokens} tokens cannot be generated; ask for 1 or more")
        if not 0 <= self.min_tokens <= self.max_tokens:
            raise UsageError(f"an answer cannot have {self.min_tokens} to {self.max_tokens} tokens")
        if self.n_logprobs is not None and self.n_logprobs < 0:
            raise UsageError(f"{self.n_logprobs} log-probabilities cannot be listed; ask for 0 or more")
        if self.think_budget is not None and self.think_budget < 0:
            raise UsageError(f"reasoning cannot take {self.think_budget} tokens; allow 0 or more")
        if "" in self.stop:
            raise UsageError("a stop string is empty; every answer would end before it began")


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
class Reasoned:
    """As `Generated`, of the reasoning that a Thinking model puts before its answer."""

    text: str
    logprob: TokenLogprob | None = None


@dataclass(frozen=True, slots=True)
class TokenCounts:
    """``text`` and ``vision`` make up the prompt, of which ``reused`` stood in the context already.

    ``generated`` includes the ``reasoning`` and the token that ends the answer.
    """

    text: int
    vision: int
    generated: int
    reused: int = 0
    reasoning: int = 0


@dataclass(frozen=True, slots=True)
class Cost:
    """What a prompt takes, in tokens, before it is read.

    ``text`` and ``vision`` make it up; ``reused`` of them stand in the context already; ``encode`` of
    the vision tokens have to be encoded. ``context`` is what the prompt and its answer may take.
    """

    text: int
    vision: int
    reused: int
    encode: int
    context: int

    @property
    def prompt(self) -> int:
        """All tokens of the prompt."""
        return self.text + self.vision

    @property
    def remaining(self) -> int:
        """What is left for the answer; negative if the prompt does not fit."""
        return self.context - self.prompt


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


Event = Generated | Reasoned | Finished


class Session(Protocol):
    """One conversation's place in an engine: what it has read stays read.

    A prompt that begins as the one before it did, in text and pictures, is read from where they part.
    """

    def cost(self, parts: Sequence[Part]) -> Cost:
        """Tell what the prompt `parts` would take."""

    def generate(self, parts: Sequence[Part], options: GenerateOptions) -> Iterator[Event]:
        """Continue the prompt `parts`, as `Engine.generate` does."""

    def fork(self) -> "Session":
        """Give another session that has read the same; it costs no memory until they part."""

    def save_cells(self) -> SavedCells:
        """Give what was read, to be kept and taken up by `restore_cells`, in another process too."""

    def restore_cells(self, saved: SavedCells) -> None:
        """Have read what `saved` says.

        Raises:
            ContextFullError: There is no room for it.
            EngineError: It comes from another model or from other settings.
        """

    def close(self) -> None:
        """Give the place back."""


class Engine(Protocol):
    """Something that continues prompts."""

    @property
    def info(self) -> EngineInfo:
        """What is known of the model."""

    def generate(self, parts: Sequence[Part], options: GenerateOptions) -> Iterator[Event]:
        """Continue the prompt `parts`: an event for each token, then one `Finished`.

        Raises:
            ContextFullError: The prompt does not fit the model's context.
            EngineError: The native library failed.
        """

    def generate_many(
        self, jobs: Iterator[Job[K] | None], *, n_parallel: int, watch: Watch[K] = nothing
    ) -> Iterator[Completed[K] | Refused[K]]:
        """Continue many prompts, up to `n_parallel` at once; what is done first comes first.

        Args:
            jobs: Asked for the next one when there is room for it. None says that there is none yet: what
                runs goes on, and where nothing runs `jobs` is asked again soon.
            n_parallel: Sequences at once, 1 or more.
            watch: Told each step before it begins.

        Every job that was taken is given back once. After a `cancel` those are ``cancelled``, with what
        they have so far, and nothing more is taken.

        Raises:
            EngineError: The native library failed, not because of a single job.
        """

    def choose_parallel(self, job: Job[K]) -> int:
        """Give the least ``n_parallel`` that does jobs like this one nearly as fast as any that has room."""

    def open_session(self) -> Session:
        """Give a place for one more conversation.

        Raises:
            EngineError: There are too many.
        """

    def begin(self) -> None:
        """Take back a `cancel` that came before: something new begins."""

    def cancel(self) -> None:
        """End what is being read or generated, within a token; any thread may call this."""
