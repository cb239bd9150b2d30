"""What the sessions of an engine share: the open files, the context, the encoder's outputs."""

from bisect import insort
from contextlib import AbstractContextManager
from dataclasses import replace

from qwen3vl_edge.errors import ContextFullError, EngineError
from qwen3vl_edge.images import VisionPart
from qwen3vl_edge.progress import SILENT, Progress, Task
from qwen3vl_edge.runtime.cells import Pool
from qwen3vl_edge.runtime.context import Context, ContextOptions
from qwen3vl_edge.runtime.embedding_cache import EmbeddingCache
from qwen3vl_edge.runtime.engine import Seconds
from qwen3vl_edge.runtime.graph_memory import CELLS_STEP
from qwen3vl_edge.runtime.model import TextModel
from qwen3vl_edge.runtime.projector import Embeddings, Projector
from qwen3vl_edge.runtime.tokenized import Tokenizer

__all__ = ["Workbench"]

_FOR_ANSWER = 1024  # cells; a longer answer has the context grow on the way
_MOST_APART = 0.5  # of the cells there may be: cells apart are there, full or not
_LONG = 4  # pictures and moments of which an encoder on a CPU makes people wait


class Workbench:
    """An open pair of files with room for conversations.

    Args:
        model: The language model.
        projector: Its projector.
        tokenizer: Of the model.
        cache: Keeps encoder outputs.
        options: Of the context, which is made when it is needed.
        limit: Cells that the context may have; it grows towards them from ``options.n_ctx``.
        progress: Told how many moments of a clip are encoded.
    """

    def __init__(  # noqa: PLR0913, PLR0917 -- the parts of an engine
        self,
        model: TextModel,
        projector: Projector,
        tokenizer: Tokenizer,
        cache: EmbeddingCache,
        options: ContextOptions,
        limit: int,
        progress: Progress = SILENT,
    ) -> None:
        self.model, self.tokenizer, self.limit = model, tokenizer, limit
        self.pool = Pool()
        self.closed = False
        self.load_s = 0.0
        self._projector, self._cache, self._options = projector, cache, options
        self._progress = progress
        self._context: Context | None = None
        self._n_apart = 0  # sequences with cells of their own
        self.n_each = limit
        """Cells that one sequence may fill."""
        self._free = list(range(options.n_sequences))

    def close(self) -> None:
        """Free the context."""
        self.closed = True
        if self._context is not None:
            self._context.close()
            self._context = None

    def first_seconds(self) -> Seconds:
        """Give a clock that holds, the first time, how long opening took."""
        seconds, self.load_s = Seconds(load=self.load_s), 0.0
        return seconds

    def n_free(self) -> int:
        """Cells that can still be filled, by whichever session."""
        return self.limit - self.pool.n_used

    def context(self, n_cells: int, n_answer: int = 0) -> Context:
        """Give the context, with `n_cells` or more; one that is made or grows has some for an answer, too.

        Raises:
            ContextFullError: There may not be so many.
            EngineError: There is not enough memory for them.
        """
        if n_cells > self.limit:
            raise ContextFullError(f"{n_cells} tokens are wanted, and the context may have {self.limit}")
        more = min(n_cells + min(n_answer, _FOR_ANSWER), self.limit)
        if self._context is None:
            self._context = self._open(more)
        elif n_cells > self._context.n_ctx:
            try:
                self._context.grow(max(more, min(2 * self._context.n_ctx, self.limit)))
            finally:
                self.closed = self._context.handle is None
        return self._context

    def n_sequences_free(self) -> int:
        """Sequences that nobody uses."""
        return len(self._free)

    def prepare(self, n_cells: int) -> None:
        """Make the context, if there is none yet, with `n_cells` or what it may have."""
        if self._context is None:
            self.context(min(n_cells, self.limit))

    def empty(self, sequence: int, position: int) -> None:
        """Empty the cells of a sequence from `position` on."""
        if self._context is not None:
            self._context.forget(sequence, position)

    def take_sequence(self) -> int:
        """Give the number of a sequence that nobody uses.

        Raises:
            EngineError: All are in use.
        """
        if not self._free:
            raise EngineError(f"{self._options.n_sequences} sessions are open at once; close one of them")
        if self._n_apart:
            if not self._all_free():
                raise EngineError("many prompts are under way; open a session when they are done")
            self._arrange(0, self.limit)
        return self._free.pop(0)

    def take_apart(self, count: int, n_each: int) -> list[int]:
        """Take `count` sequences, each with `n_each` cells or more of its own.

        Cells apart are faster where many sequences run: nobody's attention passes over those of others.

        Returns:
            Their numbers; none if sequences are in use, or if so many cells are too many to have all at once.
        """
        n_each = -(-n_each // CELLS_STEP) * CELLS_STEP
        too_many = count * n_each > self.limit * _MOST_APART or count > self._options.n_sequences
        if count == 1 or too_many or not self._all_free():
            return []
        if count != self._n_apart or n_each > self.n_each:
            self._arrange(count, n_each)
        taken, self._free = self._free[:count], self._free[count:]
        return taken

    def give_back(self, sequence: int) -> None:
        """Take a sequence, which is empty, back for its next user."""
        insort(self._free, sequence)

    def has_encoded(self, digest: bytes) -> bool:
        """Tell whether a picture need not be encoded."""
        return self._cache.has(digest)

    def measuring(self) -> AbstractContextManager[Task]:
        """Open a task of trials that take some seconds together."""
        return self._progress.task("measuring how many to run at once", None, "trials")

    def encoding(self, n_visions: int) -> AbstractContextManager[Task]:
        """Open a task of so many pictures and moments; few of them are not worth a bar."""
        progress = self._progress if n_visions >= _LONG else SILENT
        return progress.task("encoding", n_visions, "moments")

    def encode(self, vision: VisionPart) -> Embeddings:
        """Give the encoder's output for a picture or pair, shape (n_tokens, n_embd_inp)."""
        known = self._cache.get(vision.digest)
        if known is None:
            known = self.encode_anew(vision)
            self._cache.put(vision.digest, known)
        return known

    def encode_anew(self, vision: VisionPart) -> Embeddings:
        """Give what `encode` gives, computed, and keep it nowhere."""
        return self._projector.encode_frames(vision.frames)

    def _all_free(self) -> bool:
        return len(self._free) == self._options.n_sequences

    def _arrange(self, n_apart: int, n_each: int) -> None:
        """Have the next context, which is empty, divided anew."""
        if self._context is not None:
            self._context.close()
            self._context = None
        self._n_apart, self.n_each = n_apart, n_each

    def _open(self, n_cells: int) -> Context:
        if not self._n_apart:
            return Context(self.model, self._options, max(n_cells, self._options.n_ctx, 1))
        options = replace(self._options, n_sequences=self._n_apart, apart=True)
        return Context(self.model, options, self._n_apart * self.n_each)
