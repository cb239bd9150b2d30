"""The engine on llama.cpp."""

import codecs
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from qwen3vl_edge.bundle import Bundle
from qwen3vl_edge.errors import ContextFullError, EngineError, UsageError
from qwen3vl_edge.gguf_info import GGUFInfo
from qwen3vl_edge.prompt import ChatTemplate, Part, TextPart, VisionPart
from qwen3vl_edge.runtime.context import Context
from qwen3vl_edge.runtime.engine import (
    EngineInfo,
    Event,
    Finished,
    Generated,
    GenerateOptions,
    Seconds,
    StopReason,
    TokenCounts,
)
from qwen3vl_edge.runtime.logprobs import token_logprob
from qwen3vl_edge.runtime.model import TextModel
from qwen3vl_edge.runtime.projector import Projector
from qwen3vl_edge.runtime.sampler import Sampler
from qwen3vl_edge.runtime.settings import image_limits, sampling_defaults, video_limits
from qwen3vl_edge.runtime.soundness import extra_buffers_are_sound
from qwen3vl_edge.runtime.threads import default_threads

__all__ = ["LlamaEngine"]

_CONTEXT_STEP = 256  # llama.cpp pads contexts to multiples of this
_N_VISION_MARKS = 2  # <|vision_start|> and <|vision_end|>


@dataclass
class _Prompt:
    """A prompt with its text tokenized: token ids and vision parts in order."""

    steps: list[list[int] | VisionPart] = field(default_factory=list)
    n_text: int = 0
    n_vision: int = 0

    def text_tokens(self) -> Iterator[int]:
        for step in self.steps:
            if not isinstance(step, VisionPart):
                yield from step


class LlamaEngine:
    """A model and its projector, open.

    Args:
        bundle: The pair of files.
        n_ctx: KV cells; None takes what each prompt and its answer need, at most the model's own.
        n_threads: None takes the cores this process may use.

    Raises:
        UsageError: `n_ctx` is more than the model has.
        EngineError: llama.cpp refuses a file, or no build of it works on this CPU.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        n_ctx: int | None = None,
        n_threads: int | None = None,
    ) -> None:
        started = time.perf_counter()
        self._closed = False
        self._n_prompts = 0  # read so far; an answer goes on only while its prompt is the last
        self._n_threads = n_threads or default_threads()
        self._context: Context | None = None
        sound = extra_buffers_are_sound()
        with ExitStack() as opened:
            self._model = TextModel(bundle.model, extra_buffers=sound.extra_buffers)
            opened.callback(self._model.close)
            self._projector = Projector(bundle.projector, self._model, n_threads=self._n_threads)
            opened.callback(self._projector.close)
            self._info = _engine_info(bundle, self._model)
            self._n_ctx = _checked_n_ctx(n_ctx, self._model)
            self._opened = opened.pop_all()
        self._factor = self._info.image_limits.factor
        self._limit = self._n_ctx or self._model.n_ctx_train
        self._load_s = time.perf_counter() - started

    @property
    def info(self) -> EngineInfo:
        """What is known of the model."""
        return self._info

    def close(self) -> None:
        """Free everything; the engine refuses prompts from now on."""
        self._closed = True
        if self._context is not None:
            self._context.close()
            self._context = None
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def count(self, parts: Sequence[Part]) -> tuple[int, int]:
        """Give the tokens of the prompt `parts`: of text (vision marks included) and of vision."""
        prompt = self._tokenized(parts)
        return prompt.n_text, prompt.n_vision

    def next_logits(self, parts: Sequence[Part]) -> NDArray[np.float32]:
        """Read the prompt `parts` and give the logits of the token after it, shape (n_vocab,)."""
        prompt = self._tokenized(parts)
        context = self._empty_context(prompt, 1)
        self._read(context, prompt, Seconds())
        return context.logits().copy()

    def generate(self, parts: Sequence[Part], options: GenerateOptions) -> Iterator[Event]:
        """Continue the prompt `parts`; see `Engine.generate`."""
        seconds = Seconds(load=self._load_s)
        self._load_s = 0.0
        prompt = self._tokenized(parts)
        context = self._empty_context(prompt, options.max_tokens)
        mine = self._n_prompts
        self._read(context, prompt, seconds)
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        n_generated = 0
        with closing(Sampler(context, options.sampling, prompt.text_tokens())) as sampler:
            while True:
                with _clock(seconds, "decode"):
                    token = sampler.choose()
                n_generated += 1
                ended = self._model.ends_answer(token)
                last = ended or n_generated == options.max_tokens or context.n_cells >= self._limit
                piece = b"" if ended else self._model.piece(token)
                logprob = token_logprob(self._model, context.logits(), token, options.n_logprobs)
                yield Generated(decoder.decode(piece, final=last), logprob)
                if last:
                    break
                self._check_turn(mine)
                with _clock(seconds, "decode"):
                    context.read_tokens([token])
        stop: StopReason = "stop" if ended else "length"
        yield Finished(stop, TokenCounts(prompt.n_text, prompt.n_vision, n_generated), seconds)

    def _check_turn(self, mine: int) -> None:
        if self._closed or mine != self._n_prompts:
            raise EngineError("this answer cannot go on: the engine was closed or given another prompt")

    def _tokenized(self, parts: Sequence[Part]) -> _Prompt:
        if self._closed:
            raise EngineError("the engine is closed; open the model again")
        if not parts or not isinstance(parts[-1], TextPart):
            raise EngineError("a prompt must end in text; add some after the last picture")
        prompt = _Prompt()
        for part in parts:
            if isinstance(part, TextPart):
                tokens = self._model.tokenize(part.text, parse_special=part.parse_special)
                prompt.steps.append(tokens)
                prompt.n_text += len(tokens)
            else:
                height, width, _ = part.frames[0].shape
                prompt.steps.append(part)
                prompt.n_vision += (height // self._factor) * (width // self._factor)
                prompt.n_text += _N_VISION_MARKS
        return prompt

    def _empty_context(self, prompt: _Prompt, n_answer: int) -> Context:
        """Give a context with nothing in it and, if the model allows, room for prompt and answer."""
        n_prompt = prompt.n_text + prompt.n_vision
        limit = self._limit
        if n_prompt + 1 > limit:
            raise ContextFullError(
                f"the prompt is {n_prompt} tokens ({prompt.n_vision} of them pictures) and the context "
                f"{limit}; give fewer or smaller pictures, or less text"
            )
        wanted = self._n_ctx or min(n_prompt + n_answer, limit)
        if self._context is None or self._context.n_ctx < wanted:
            if self._context is not None:
                self._context.close()
                self._context = None
            n_ctx = -(-wanted // _CONTEXT_STEP) * _CONTEXT_STEP
            self._context = Context(self._model, n_ctx, n_threads=self._n_threads)
        self._context.clear()
        self._n_prompts += 1
        return self._context

    def _read(self, context: Context, prompt: _Prompt, seconds: Seconds) -> None:
        """Evaluate the prompt; text between two pictures goes in as one batch."""
        pending: list[int] = []
        for step in prompt.steps:
            if not isinstance(step, VisionPart):
                pending += step
                continue
            with self._projector.cut(step.frames) as chunk:
                with _clock(seconds, "encode"):
                    embeddings = self._projector.encode(chunk)
                with _clock(seconds, "prefill"):
                    context.read_tokens(pending + chunk.before)
                    context.read_vision(self._projector, chunk, embeddings)
                pending = list(chunk.after)
        with _clock(seconds, "prefill"):
            context.read_tokens(pending)


def _checked_n_ctx(n_ctx: int | None, model: TextModel) -> int | None:
    if n_ctx is not None and not 0 < n_ctx <= model.n_ctx_train:
        raise UsageError(f"a context of {n_ctx} tokens is wanted; the model has 1 to {model.n_ctx_train}")
    return n_ctx


def _engine_info(bundle: Bundle, model: TextModel) -> EngineInfo:
    template = model.metadata("tokenizer.chat_template")
    if template is None:
        raise EngineError(f"{bundle.model} has no chat template; convert the checkpoint again")
    projector = GGUFInfo.read(bundle.projector)
    return EngineInfo(
        name=model.metadata("general.name") or bundle.model.stem,
        template=ChatTemplate(template, model.special_tokens),
        image_limits=image_limits(projector),
        video_limits=video_limits(projector),
        sampling=sampling_defaults(model.metadata),
    )


@contextmanager
def _clock(seconds: Seconds, step: Literal["encode", "prefill", "decode"]) -> Iterator[None]:
    started = time.perf_counter()
    try:
        yield
    finally:
        setattr(seconds, step, getattr(seconds, step) + time.perf_counter() - started)
