"""A pair of files, opened when something is asked of it for the first time."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from types import TracebackType
from typing import Self

from qwen3vl_edge.ask import one_question
from qwen3vl_edge.progress import SILENT, Progress, Task
from qwen3vl_edge.prompt import Part
from qwen3vl_edge.quant.comparison.material import Question
from qwen3vl_edge.quant.comparison.pairs import Pair
from qwen3vl_edge.runtime.engine_settings import EngineSettings
from qwen3vl_edge.runtime.llama_engine import LlamaEngine
from qwen3vl_edge.runtime.scoring import Scorer

__all__ = ["Opened"]


class Opened:
    """A context that closes what was opened in it; if nothing was needed, nothing was opened.

    Args:
        pair: The files.
        settings: How to open them.
        progress: Told how much of the model is loaded.
    """

    def __init__(self, pair: Pair, settings: EngineSettings, progress: Progress = SILENT) -> None:
        self._pair, self._settings, self._progress = pair, settings, _WhileOpening(progress)
        self._stack = ExitStack()
        self._opened: tuple[LlamaEngine, Scorer] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened = None
        self._stack.close()

    def open(self) -> tuple[LlamaEngine, Scorer]:
        """Give the engine and its scorer.

        Raises:
            EngineError: The pair cannot be opened.
        """
        if self._opened is None:
            engine = self._stack.enter_context(LlamaEngine(self._pair.bundle, self._settings, self._progress))
            self._progress.silent = True
            self._opened = engine, engine.open_scorer()
        return self._opened

    @property
    def scorer(self) -> Scorer:
        """The scorer of the pair."""
        return self.open()[1]

    def parts(self, question: Question) -> Sequence[Part]:
        """Give the prompt that asks `question`, by the model's own template.

        Raises:
            MediaError: The picture or clip cannot be read.
        """
        info = self.open()[0].info
        return info.template.parts(one_question([question.sight.load(info)], question.text))


class _WhileOpening:
    """Progress of opening a model, and of nothing after that: two bars at once would be one too many."""

    def __init__(self, progress: Progress) -> None:
        self.silent = False
        self._progress = progress

    def task(self, description: str, total: int | None, unit: str) -> AbstractContextManager[Task]:
        return (SILENT if self.silent else self._progress).task(description, total, unit)
