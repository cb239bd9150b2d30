"""The KV cells and the evaluation of one sequence."""

import ctypes
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from qwen3vl_edge.errors import ContextFullError, EngineError
from qwen3vl_edge.runtime.model import TextModel
from qwen3vl_edge.runtime.native import library
from qwen3vl_edge.runtime.projector import Embeddings, Projector, VisionChunk

__all__ = ["Context"]

_SEQUENCE = 0


class Context:
    """One sequence of `model`, empty at first.

    ``n_cells`` counts the KV cells in use, which are tokens; ``position`` is the next M-RoPE
    position, which grows more slowly over pictures.

    Args:
        model: The language model; must outlive the context.
        n_ctx: KV cells to reserve.
        n_threads: Threads for prefill and decoding.
        n_batch: Tokens evaluated at once.

    Raises:
        EngineError: There is not enough memory for the cells.
    """

    def __init__(self, model: TextModel, n_ctx: int, *, n_threads: int, n_batch: int = 512) -> None:
        self._llama = library().llama
        self.n_vocab = model.n_vocab
        parameters = self._llama.llama_context_default_params()
        parameters.n_ctx = n_ctx
        parameters.n_batch = parameters.n_ubatch = n_batch
        parameters.n_threads = parameters.n_threads_batch = n_threads
        library().forget_complaints()
        self.handle = self._llama.llama_init_from_model(model.handle, parameters)
        if not self.handle:
            raise EngineError(
                f"no memory for a context of {n_ctx} tokens: {library().complaint()}; ask for less"
            )
        self.n_ctx: int = self._llama.llama_n_ctx(self.handle)
        self._n_batch = n_batch
        self.n_cells = 0
        self.position = 0

    def close(self) -> None:
        """Free the KV cells."""
        if self.handle:
            self._llama.llama_free(self.handle)
            self.handle = None

    def clear(self) -> None:
        """Forget everything evaluated so far."""
        self._llama.llama_memory_clear(self._llama.llama_get_memory(self.handle), True)
        self.n_cells = self.position = 0

    def read_tokens(self, tokens: Sequence[int]) -> None:
        """Evaluate text; afterwards `logits` are those after its last token.

        Raises:
            ContextFullError: There are not enough free cells.
            EngineError: The evaluation failed.
        """
        self._reserve(len(tokens))
        library().forget_complaints()
        for start in range(0, len(tokens), self._n_batch):
            piece = tokens[start : start + self._n_batch]
            self._check(self._decode(piece))
            self.n_cells += len(piece)
            self.position += len(piece)

    def read_vision(self, projector: Projector, chunk: VisionChunk, embeddings: Embeddings) -> None:
        """Put an encoded picture or pair into the cells.

        Args:
            projector: Where `chunk` comes from.
            chunk: Gives the grid, and with it the positions.
            embeddings: Shape (chunk.n_tokens, model.n_embd_inp), float32.

        Raises:
            ContextFullError: There are not enough free cells.
            EngineError: The evaluation failed.
        """
        self._reserve(chunk.n_tokens)
        library().forget_complaints()
        position = self._llama.llama_pos(self.position)
        failed = library().mtmd.mtmd_helper_decode_image_chunk(
            projector.handle,
            self.handle,
            chunk.handle,
            np.ascontiguousarray(embeddings).ctypes.data_as(ctypes.POINTER(ctypes.c_float)),
            self.position,
            _SEQUENCE,
            self._n_batch,
            ctypes.byref(position),
            library().mtmd.mtmd_helper_post_decode_callback(),
            ctypes.c_void_p(0),
        )
        self._check(failed)
        self.n_cells += chunk.n_tokens
        self.position = position.value

    def logits(self) -> NDArray[np.float32]:
        """Give the logits after the last text token, shape (n_vocab,); valid until the next reading."""
        pointer = self._llama.llama_get_logits_ith(self.handle, -1)
        return np.ctypeslib.as_array(pointer, (self.n_vocab,))

    def _decode(self, tokens: Sequence[int]) -> int:
        count = len(tokens)
        batch = self._llama.llama_batch_init(count, 0, 1)
        try:
            batch.n_tokens = count
            for index, token in enumerate(tokens):
                batch.token[index] = token
                batch.pos[index] = self.position + index
                batch.n_seq_id[index] = 1
                batch.seq_id[index][0] = _SEQUENCE
                batch.logits[index] = index == count - 1
            return int(self._llama.llama_decode(self.handle, batch))
        finally:
            self._llama.llama_batch_free(batch)

    def _reserve(self, n_tokens: int) -> None:
        if self.n_cells + n_tokens > self.n_ctx:
            raise ContextFullError(
                f"the context of {self.n_ctx} tokens is full: {self.n_cells} in use, {n_tokens} more wanted"
            )

    def _check(self, failed: int) -> None:
        if failed:
            raise EngineError(f"llama.cpp failed to evaluate ({failed}): {library().complaint()}")
