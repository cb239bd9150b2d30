"""An engine for tests: answers from a script, needs no model, checks its caller."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import TypeVar

import numpy as np

from qwen3vl_edge.errors import ContextFullError, EngineError
from qwen3vl_edge.limits import ImageLimits, VideoLimits
from qwen3vl_edge.prompt import ChatTemplate, Part, SpecialTokens, TextPart
from qwen3vl_edge.runtime.cells import Entry, Occupants, Pool, SavedCells
from qwen3vl_edge.runtime.engine import (
    Candidate,
    Cost,
    EngineInfo,
    Event,
    Finished,
    Generated,
    GenerateOptions,
    StopReason,
    TokenCounts,
    TokenLogprob,
)
from qwen3vl_edge.runtime.fake_jobs import ScriptedJobs
from qwen3vl_edge.runtime.jobs import Completed, Job, Refused, Watch, nothing
from qwen3vl_edge.sampling import Sampling

__all__ = ["ScriptedEngine", "ScriptedSession"]

K = TypeVar("K")

_N_PARALLEL = 4  # chosen for every job

_TEMPLATE = """\
{%- set seen = namespace(pictures=0, clips=0) %}
{%- for message in messages %}[{{ message.role }}]
{%- for item in message.content -%}
{%- if item.type == 'image' %}{% set seen.pictures = seen.pictures + 1 -%}
{%- if add_vision_id %}Picture {{ seen.pictures }}: {% endif -%}
<|vision_start|><|image_pad|><|vision_end|>
{%- elif item.type == 'video' %}{% set seen.clips = seen.clips + 1 -%}
{%- if add_vision_id %}Video {{ seen.clips }}: {% endif -%}
<|vision_start|><|video_pad|><|vision_end|>
{%- else %}{{ item.text }}{% endif -%}
{%- endfor -%}
{%- endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"""

_SPECIAL_TOKENS = SpecialTokens(
    control=("<|vision_start|>", "<|image_pad|>", "<|video_pad|>", "<|vision_end|>", "<|im_end|>"),
    user_defined=("<think>", "</think>"),
)


class ScriptedEngine:
    """Answers each prompt with ``answer(parts)``, one character a token; keeps prompts and options.

    An exception that ``answer`` raises comes out of `generate`, as a failing engine's would. A character
    of text takes a cell, a picture one for each square of 32 px.
    """

    def __init__(
        self,
        answer: Callable[[Sequence[Part]], str],
        image_limits: ImageLimits | None = None,
        video_limits: VideoLimits | None = None,
        n_ctx: int = 1 << 16,
    ) -> None:
        self.answer = answer
        self.prompts: list[tuple[Part, ...]] = []
        self.options: list[GenerateOptions] = []
        self.pool = Pool()
        self.n_ctx = n_ctx
        self.cancelled = False
        self._info = EngineInfo(
            name="scripted",
            identity="scripted",
            template=ChatTemplate(_TEMPLATE, _SPECIAL_TOKENS),
            image_limits=image_limits or ImageLimits(),
            video_limits=video_limits or VideoLimits(),
            sampling=Sampling(),
        )

    @property
    def info(self) -> EngineInfo:
        """What is known of the model."""
        return self._info

    def generate(self, parts: Sequence[Part], options: GenerateOptions) -> Iterator[Event]:
        """Continue the prompt `parts` with the scripted answer, cut at ``options.max_tokens``."""
        self.begin()
        with closing(self.open_session()) as session:
            yield from session.generate(parts, options)

    def generate_many(
        self, jobs: Iterator[Job[K] | None], *, n_parallel: int, watch: Watch[K] = nothing
    ) -> Iterator[Completed[K] | Refused[K]]:
        """Answer each job, a character of every running one in turn; see `Engine.generate_many`.

        Pictures are decoded, as an encoder would have it.
        """
        self.begin()
        return ScriptedJobs(self, jobs, n_parallel, watch).run()

    def choose_parallel(self, _job: Job[K]) -> int:
        """Give a number."""
        return _N_PARALLEL

    def open_session(self) -> "ScriptedSession":
        """Give a place for one more conversation."""
        return ScriptedSession(self, Occupants(self.pool))

    def begin(self) -> None:
        """Take back a `cancel` that came before."""
        self.cancelled = False

    def cancel(self) -> None:
        """End the answer that is being generated."""
        self.cancelled = True


class ScriptedSession:
    """A conversation with a `ScriptedEngine`."""

    def __init__(self, engine: ScriptedEngine, occupants: Occupants) -> None:
        self._engine = engine
        self._occupants = occupants

    def cost(self, parts: Sequence[Part]) -> Cost:
        """Tell what the prompt `parts` would take."""
        entries = list(_entries(parts))
        n_kept = self._n_kept(entries)
        vision = sum(entry.n_cells for entry in entries if isinstance(entry.key, bytes))
        return Cost(
            text=sum(isinstance(entry.key, int) for entry in entries),
            vision=vision,
            reused=sum(entry.n_cells for entry in entries[:n_kept]),
            encode=sum(entry.n_cells for entry in entries[n_kept:] if isinstance(entry.key, bytes)),
            context=self._room(n_kept),
        )

    def generate(self, parts: Sequence[Part], options: GenerateOptions) -> Iterator[Event]:
        """Continue the prompt `parts` with the scripted answer, cut at ``options.max_tokens``."""
        engine, cost = self._engine, self.cost(parts)
        if cost.remaining < 1:
            raise ContextFullError(f"the prompt is {cost.prompt} tokens and the context {cost.context}")
        engine.prompts.append(tuple(parts))
        engine.options.append(options)
        entries = list(_entries(parts))
        n_kept = self._n_kept(entries)
        self._occupants.cut(n_kept)
        for entry in entries[n_kept:]:
            self._occupants.append(entry)
        stop: StopReason = "stop"
        n_shown = 0
        for character in engine.answer(parts):
            if engine.cancelled or n_shown == min(options.max_tokens, cost.remaining):
                stop = "cancelled" if engine.cancelled else _limit_of(n_shown, options)
                break
            n_shown += 1
            self._occupants.append(Entry(ord(character)))
            yield Generated(character, _logprob(character, options.n_logprobs))
        if stop == "stop" and n_shown == options.max_tokens:
            stop = "length"
        if stop == "stop":
            yield Generated("", _logprob("<|im_end|>", options.n_logprobs))
        yield Finished(stop, TokenCounts(cost.text, cost.vision, n_shown + (stop == "stop"), cost.reused))

    def fork(self) -> "ScriptedSession":
        """Give another session that has read the same."""
        return ScriptedSession(self._engine, self._occupants.fork())

    def save_cells(self) -> SavedCells:
        """Give what was read."""
        return SavedCells(tuple(self._occupants.entries), np.zeros(self._occupants.n_cells, np.uint8))

    def restore_cells(self, saved: SavedCells) -> None:
        """Have read what `saved` says."""
        if saved.state.size != sum(entry.n_cells for entry in saved.entries):
            raise EngineError("the saved state is damaged")
        self._occupants.cut(0)
        for entry in saved.entries:
            self._occupants.append(Entry(entry.key, entry.n_cells, entry.n_positions))

    def close(self) -> None:
        """Give the place back."""
        self._occupants.cut(0)

    def _room(self, n_kept: int) -> int:
        entries = self._occupants.entries
        kept = sum(entry.n_cells for entry in entries[:n_kept])
        freed = sum(entry.n_cells for entry in entries[n_kept:] if entry.n_owners == 1)
        return kept + self._engine.n_ctx - (self._engine.pool.n_used - freed)

    def _n_kept(self, entries: Sequence[Entry]) -> int:
        return max(0, min(self._occupants.n_common([entry.key for entry in entries]), len(entries) - 1))


def _entries(parts: Sequence[Part]) -> Iterator[Entry]:
    for part in parts:
        if isinstance(part, TextPart):
            yield from (Entry(ord(character)) for character in part.text)
        else:
            rows, columns = part.height // 32, part.width // 32
            yield Entry(part.digest, rows * columns, max(rows, columns))


def _limit_of(n_shown: int, options: GenerateOptions) -> StopReason:
    return "length" if n_shown == options.max_tokens else "context"


def _logprob(token: str, n_candidates: int | None) -> TokenLogprob | None:
    if n_candidates is None:
        return None
    certain = Candidate(token, ord(token[0]), 0.0)
    return TokenLogprob(token, certain.id, certain.logprob, (certain,) * min(n_candidates, 1))
