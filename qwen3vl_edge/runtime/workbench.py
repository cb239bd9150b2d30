"""What the sessions of an engine share: the open files, the context, the encoder's outputs."""

from qwen3vl_edge.errors import EngineError
from qwen3vl_edge.images import VisionPart
from qwen3vl_edge.runtime.cells import Pool
from qwen3vl_edge.runtime.context import Context, ContextOptions
from qwen3vl_edge.runtime.embedding_cache import EmbeddingCache
from qwen3vl_edge.runtime.engine import Seconds
from qwen3vl_edge.runtime.model import TextModel
from qwen3vl_edge.runtime.projector import Embeddings, Projector
from qwen3vl_edge.runtime.tokenized import Tokenizer

__all__ = ["Workbench"]


class Workbench:
    """An open pair of files with room for conversations.

    Args:
        model: The language model.
        projector: Its projector.
        tokenizer: Of the model.
        cache: Keeps encoder outputs.
        options: Of the context, which is made when it is needed.
        limit: Cells that the context may have; it grows towards them from ``options.n_ctx``.
    """

    def __init__(  # noqa: PLR0913, PLR0917 -- the parts of an engine
        self,
        model: TextModel,
        projector: Projector,
        tokenizer: Tokenizer,
        cache: EmbeddingCache,
        options: ContextOptions,
        limit: int,
    ) -> None:
        self.model, self.tokenizer, self.limit = model, tokenizer, limit
        self.pool = Pool()
        self.closed = False
        self.load_s = 0.0
        self._projector, self._cache, self._options = projector, cache, options
        self._context: Context | None = None
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

    def context(self, n_cells: int) -> Context:
        """Give the context, with `n_cells` or more.

        Raises:
            EngineError: There is not enough memory for them.
        """
        if self._context is None:
            self._context = Context(
                self.model, self._options, max(n_cells, self._options.n_ctx, 1)
            )  # 0 would be the model's own
        elif n_cells > self._context.n_ctx:
            self._context.grow(max(n_cells, min(2 * self._context.n_ctx, self.limit)))
        return self._context

    def take_sequence(self) -> int:
        """Give the number of a sequence that nobody uses.

        Raises:
            EngineError: All are in use.
        """
        if not self._free:
            raise EngineError(f"{self._options.n_sequences} sessions are open at once; close one of them")
        return self._free.pop(0)

    def give_back(self, sequence: int) -> None:
        """Empty a sequence for its next user."""
        if self._context is not None:
            self._context.forget(sequence, 0)
        self._free.append(sequence)

    def has_encoded(self, digest: bytes) -> bool:
        """Tell whether a picture need not be encoded."""
        return self._cache.has(digest)

    def encode(self, vision: VisionPart) -> Embeddings:
        """Give the encoder's output for a picture or pair, shape (n_tokens, n_embd_inp)."""
        known = self._cache.get(vision.digest)
        if known is None:
            known = self._projector.encode_frames(vision.frames)
            self._cache.put(vision.digest, known)
        return known
