"""The engine on llama.cpp."""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from qwen3vl_edge.bundle import Bundle
from qwen3vl_edge.errors import EngineError
from qwen3vl_edge.gguf_info import GGUFInfo
from qwen3vl_edge.progress import SILENT, Progress
from qwen3vl_edge.prompt import ChatTemplate, Part
from qwen3vl_edge.runtime.activation_reader import ActivationReader
from qwen3vl_edge.runtime.embedding_cache import EmbeddingCache
from qwen3vl_edge.runtime.embedding_store import EmbeddingStore
from qwen3vl_edge.runtime.engine import EngineInfo, Event, GenerateOptions
from qwen3vl_edge.runtime.engine_settings import DEFAULT_SETTINGS, EngineSettings
from qwen3vl_edge.runtime.file_identity import model_identity, projector_identity
from qwen3vl_edge.runtime.jobs import Completed, Job, Refused, Watch, nothing
from qwen3vl_edge.runtime.model import TextModel
from qwen3vl_edge.runtime.native import NodeObserver, library
from qwen3vl_edge.runtime.parallelism import choose_parallel
from qwen3vl_edge.runtime.placement import Resolved, place
from qwen3vl_edge.runtime.projector import Projector
from qwen3vl_edge.runtime.scheduler import Scheduler
from qwen3vl_edge.runtime.scoring import Scorer
from qwen3vl_edge.runtime.session import LlamaSession
from qwen3vl_edge.runtime.settings import image_limits, sampling_defaults, video_limits
from qwen3vl_edge.runtime.sizing import context_limit, context_options
from qwen3vl_edge.runtime.soundness import extra_buffers_are_sound
from qwen3vl_edge.runtime.threads import default_threads
from qwen3vl_edge.runtime.tokenized import Tokenizer
from qwen3vl_edge.runtime.workbench import Workbench

__all__ = ["LlamaEngine"]

K = TypeVar("K")


class LlamaEngine:
    """A model and its projector, open.

    `generate` is for questions that stand alone: each is read from its beginning, so that its answer does
    not depend, to the last bit, on what was asked before. Conversations are sessions (`open_session`).

    Args:
        bundle: The pair of files.
        settings: How to open it.
        progress: Told how much of the model is loaded, and later how much of a clip is encoded.
        observer: Sees what is computed, in both halves. Pictures whose encoding is kept are not encoded.

    Raises:
        UsageError: More context is wanted than the model has.
        EngineError: llama.cpp refuses a file, no build of it works on this CPU, or memory is too small.
    """

    def __init__(
        self,
        bundle: Bundle,
        settings: EngineSettings = DEFAULT_SETTINGS,
        progress: Progress = SILENT,
        *,
        observer: NodeObserver | None = None,
    ) -> None:
        started = time.perf_counter()
        sound = extra_buffers_are_sound()
        model_info, projector_info = GGUFInfo.read(bundle.model), GGUFInfo.read(bundle.projector)
        n_threads = settings.n_threads or default_threads()
        placed = place(settings.placement)
        watching = None if observer is None else library().observed_by(observer)
        options = replace(context_options(settings, model_info, n_threads), eval_callback=watching)
        limit = context_limit(settings, options, model_info, projector_info)
        with ExitStack() as opened:
            model = TextModel(
                bundle.model, extra_buffers=sound.extra_buffers, placement=placed, progress=progress
            )
            opened.callback(model.close)
            projector = Projector(
                bundle.projector, model, n_threads=n_threads, placement=placed, eval_callback=watching
            )
            opened.callback(projector.close)
            self._info = _engine_info(bundle, model, projector_info)
            self._bench = Workbench(
                model,
                projector,
                Tokenizer(model, self._info.image_limits.factor),
                _cache(bundle, settings, placed),
                options,
                limit,
                progress,
            )
            opened.callback(self._bench.close)
            self._opened = opened.pop_all()
        self._session: LlamaSession | None = None
        self._n_parallel = settings.n_parallel
        self._bench.load_s = time.perf_counter() - started

    @property
    def info(self) -> EngineInfo:
        """What is known of the model."""
        return self._info

    def close(self) -> None:
        """Free everything; the engine refuses prompts from now on."""
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open_session(self) -> LlamaSession:
        """Give a place for one more conversation; see `Engine.open_session`."""
        self._check_open()
        return LlamaSession(self._bench, self._bench.take_sequence())

    def open_scorer(self) -> Scorer:
        """Give a place for measuring what the model thinks of given answers; see `Scorer`."""
        self._check_open()
        return Scorer(self._bench, self._bench.take_sequence())

    def open_activation_reader(self) -> ActivationReader:
        """Give a place for showing an `observer` what the weights meet; see `ActivationReader`."""
        self._check_open()
        return ActivationReader(self._bench, self._bench.take_sequence())

    def generate(self, parts: Sequence[Part], options: GenerateOptions) -> Iterator[Event]:
        """Continue the prompt `parts`; see `Engine.generate`."""
        self.begin()
        return self._alone().generate(parts, options)

    def generate_many(
        self, jobs: Iterator[Job[K] | None], *, n_parallel: int, watch: Watch[K] = nothing
    ) -> Iterator[Completed[K] | Refused[K]]:
        """Continue many prompts; see `Engine.generate_many`. One caller at a time.

        Up to ``EngineSettings.n_parallel`` at once, less the sessions that are open beyond the first. Without
        any, each sequence has cells of its own, and no session can be opened before the end.
        """
        self._clear()
        return Scheduler(self._bench, jobs, n_parallel, watch).run()

    def choose_parallel(self, job: Job[K]) -> int:
        """Measure how many jobs like this one to do at once, up to ``EngineSettings.n_parallel``."""
        self._clear()
        prompt = self._bench.tokenizer.prompt(job.parts)
        return choose_parallel(self._bench, prompt, job.options.max_tokens, self._n_parallel)

    def next_logits(self, parts: Sequence[Part]) -> NDArray[np.float32]:
        """Read the prompt `parts` and give the logits of the token after it, shape (n_vocab,)."""
        self.begin()
        return self._alone().next_logits(parts)

    def count(self, parts: Sequence[Part]) -> tuple[int, int]:
        """Give the tokens of the prompt `parts`: of text (vision marks included) and of vision."""
        cost = self._alone().cost(parts)
        return cost.text, cost.vision

    def begin(self) -> None:
        """Take back a `cancel` that came before; see `Engine.begin`."""
        library().go_on()

    def cancel(self) -> None:
        """End what is being generated; see `Engine.cancel`."""
        library().cancel()

    def _check_open(self) -> None:
        if self._bench.closed:
            raise EngineError("the engine is closed; open the model again")

    def _clear(self) -> None:
        """Begin something for which questions that stand alone leave their cells."""
        self._check_open()
        self.begin()
        if self._session is not None:
            self._session.close()
            self._session = None

    def _alone(self) -> LlamaSession:
        """Give the session of questions that stand alone, with nothing read."""
        if self._session is None:
            self._session = self.open_session()
        self._session.forget()
        return self._session


def _cache(bundle: Bundle, settings: EngineSettings, placed: Resolved) -> EmbeddingCache:
    folder, device = settings.cache_folder, placed.projector_device
    return EmbeddingCache(
        projector_identity(bundle.projector),
        ram_bytes=settings.cache_ram_bytes,
        store=EmbeddingStore(folder, limit_bytes=settings.cache_disk_bytes) if folder else None,
        variant=device.name if device else "cpu",
    )


def _engine_info(bundle: Bundle, model: TextModel, projector: GGUFInfo) -> EngineInfo:
    template = model.metadata("tokenizer.chat_template")
    if template is None:
        raise EngineError(f"{bundle.model} has no chat template; convert the checkpoint again")
    return EngineInfo(
        name=model.metadata("general.name") or bundle.model.stem,
        identity=f"{model_identity(bundle.model)} {projector_identity(bundle.projector)}",
        template=ChatTemplate(template, model.special_tokens),
        image_limits=image_limits(projector),
        video_limits=video_limits(projector),
        sampling=sampling_defaults(model.metadata),
    )
