"""KV cells and what is evaluated into them: sequences of tokens and encoded pictures."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from qwen3vl_edge.errors import ContextFullError, EngineError
from qwen3vl_edge.ggml_types import TYPES_BY_NAME, TensorType
from qwen3vl_edge.runtime.batch import Batch, TextPiece, VisionPiece, text_batch, vision_batch
from qwen3vl_edge.runtime.cells import State
from qwen3vl_edge.runtime.graph_memory import CELLS_STEP
from qwen3vl_edge.runtime.model import TextModel
from qwen3vl_edge.runtime.native import Cancelled, library
from qwen3vl_edge.runtime.projector import Embeddings

__all__ = ["Context", "ContextOptions", "FlashAttention"]

FlashAttention = Literal["auto", "on", "off"]

_FLASH_ATTENTION: dict[FlashAttention, int] = {"auto": -1, "off": 0, "on": 1}  # llama_flash_attn_type
_NO_ROOM, _ABORTED = 1, 2  # results of llama_decode


@dataclass(frozen=True, slots=True)
class ContextOptions:
    """How to make a context: ``n_ctx`` cells at least, ``n_batch`` tokens evaluated at once.

    ``n_outputs`` of the tokens of a batch may have logits; one for each sequence can in any case. With
    ``apart`` each sequence has an equal part of the cells to itself.
    ``eval_callback``, of `Library.observed_by`, sees the nodes of the graphs.
    """

    n_ctx: int
    n_threads: int
    n_sequences: int = 16
    n_batch: int = 512
    kv_type: TensorType = TYPES_BY_NAME["F16"]
    flash_attention: FlashAttention = "auto"
    n_outputs: int = 1
    apart: bool = False
    eval_callback: object | None = None

    @property
    def most_outputs(self) -> int:
        """Tokens of a batch that can have logits."""
        return max(self.n_sequences, self.n_outputs)


class Context:
    """The cells of up to ``n_sequences`` sequences of `model`, which must outlive it.

    Sequences are numbered from 0. They share cells (``kv_unified``), so that a copied one costs none; or they
    are ``apart``: then attention does not pass over the cells of others, and a batch is evaluated in one go
    if it goes through its sequences in ascending order without a gap (llama.cpp 0c1e57098,
    ``src/llama-batch.cpp``, ``split_equal``).

    Raises:
        EngineError: There is not enough memory for the cells.
    """

    def __init__(self, model: TextModel, options: ContextOptions, n_ctx: int) -> None:
        self._llama = library().llama
        self._model = model
        self._options = options
        self.handle = self._open(n_ctx)

    @property
    def n_ctx(self) -> int:
        """Cells there are."""
        return int(self._llama.llama_n_ctx(self.handle))

    @property
    def n_batch(self) -> int:
        """Tokens evaluated at once."""
        return self._options.n_batch

    def close(self) -> None:
        """Free the cells."""
        if self.handle:
            self._llama.llama_free(self.handle)
            self.handle = None

    def grow(self, n_ctx: int) -> None:
        """Have `n_ctx` cells or more, with all that stands in them.

        Raises:
            EngineError: There is not enough memory; the context stays as it was, or is closed if not even
                that can be had again.
        """
        size = self._llama.llama_state_get_size(self.handle)
        everything = np.empty(size, np.uint8)
        self._llama.llama_state_get_data(self.handle, _bytes_of(everything), size)
        before = self.n_ctx
        self.close()
        try:
            self.handle = self._open(n_ctx)
        except EngineError:
            self.handle = self._open(before)
            self._put_back(everything)
            raise
        self._put_back(everything)

    def forget(self, sequence: int, position: int) -> None:
        """Empty the cells of a sequence from `position` on."""
        self._llama.llama_memory_seq_rm(self._memory, sequence, position, -1)

    def last_position(self, sequence: int) -> int:
        """Give the highest position in a sequence; -1 if it is empty."""
        return int(self._llama.llama_memory_seq_pos_max(self._memory, sequence))

    def copy(self, source: int, target: int) -> None:
        """Make the empty sequence `target` a copy of `source`, in the same cells unless they are apart."""
        self._llama.llama_memory_seq_cp(self._memory, source, target, -1, -1)

    def state(self, sequence: int) -> State:
        """Give what stands in the cells of a sequence."""
        size = self._llama.llama_state_seq_get_size(self.handle, sequence)
        data = np.empty(size, np.uint8)
        written = self._llama.llama_state_seq_get_data(self.handle, _bytes_of(data), size, sequence)
        return data[:written]

    def restore(self, sequence: int, state: State) -> None:
        """Put into the cells what `state` gave, in this process or an earlier one.

        Raises:
            EngineError: It is from another model or other types of cells, or there is no room for it.
        """
        library().forget_complaints()
        read = self._llama.llama_state_seq_set_data(self.handle, _bytes_of(state), state.size, sequence)
        if read != state.size:
            self.forget(sequence, 0)
            raise EngineError(f"llama.cpp does not take the saved state: {library().complaint()}")

    def read_tokens(
        self, tokens: Sequence[int], sequence: int, position: int, *, logits: bool = True
    ) -> None:
        """Evaluate at most `n_batch` tokens of text from `position` on.

        If `logits` are wanted, those after the last token can be had afterwards.

        Raises:
            ContextFullError: There are not enough free cells.
            Cancelled: `Library.cancel` was called meanwhile; some of the tokens may stand in the cells.
            EngineError: The evaluation failed.
        """
        self.read_text([TextPiece(tokens, sequence, position, int(logits))])

    def read_text(self, pieces: Sequence[TextPiece]) -> None:
        """Evaluate text of several sequences at once, at most `n_batch` tokens.

        Raises:
            ContextFullError, Cancelled, EngineError: As for `read_tokens`.
        """
        self._decode(text_batch(pieces))

    def read_scored(self, tokens: Sequence[int], sequence: int, position: int) -> NDArray[np.float32]:
        """Evaluate text as `read_tokens` does, and give the logits after each of the tokens.

        Args:
            tokens: At most `n_batch`, and no more than `ContextOptions.most_outputs`.
            sequence: Where to.
            position: Of the first of them.

        Returns:
            Shape (n_tokens, n_vocab); valid until the next reading.

        Raises:
            ContextFullError, Cancelled, EngineError: As for `read_tokens`.
        """
        self.read_text([TextPiece(tokens, sequence, position, len(tokens))])
        pointer = self._llama.llama_get_logits(self.handle)
        return np.ctypeslib.as_array(pointer, (len(tokens), self._model.n_vocab))

    @property
    def n_scored(self) -> int:
        """Tokens that `read_scored` takes at once."""
        return min(self.n_batch, self._options.most_outputs)

    def read_vision(
        self, embeddings: Embeddings, grid: tuple[int, int], sequence: int, position: int
    ) -> None:
        """Put an encoded picture or pair into the cells; see `VisionPiece`.

        Raises:
            ContextFullError, Cancelled, EngineError: As for `read_tokens`.
        """
        self.read_visions([VisionPiece(embeddings, grid, sequence, position)])

    def read_visions(self, pieces: Sequence[VisionPiece]) -> None:
        """Put pictures into the cells, of several sequences at once where they fit `n_batch`.

        Raises:
            ContextFullError, Cancelled, EngineError: As for `read_tokens`.
        """
        for piece in pieces:
            rows, columns = piece.grid
            fitting = (rows * columns, self._model.n_embd_inp)
            if piece.embeddings.shape != fitting:  # llama.cpp would read past their end
                raise EngineError(
                    f"{piece.embeddings.shape} embeddings do not fill a grid of {piece.grid}; "
                    "clear the media cache"
                )
        batch = vision_batch(pieces)
        for start in range(0, batch.sequences.size, self.n_batch):
            self._decode(batch.cut(slice(start, start + self.n_batch)))

    def wait(self) -> None:
        """Wait until all is evaluated: on a GPU reading only asks for it."""
        self._llama.llama_synchronize(self.handle)

    def logits(self) -> NDArray[np.float32]:
        """Give the logits after the last text token, shape (n_vocab,); valid until the next reading."""
        pointer = self._llama.llama_get_logits_ith(self.handle, -1)
        return np.ctypeslib.as_array(pointer, (self._model.n_vocab,))

    def _put_back(self, everything: State) -> None:
        read = self._llama.llama_state_set_data(self.handle, _bytes_of(everything), everything.size)
        if read != everything.size:
            raise EngineError(f"the context is lost: {library().complaint()}; open the model again")

    @property
    def _memory(self) -> object:
        return self._llama.llama_get_memory(self.handle)

    def _open(self, n_ctx: int) -> object:
        options, parameters = self._options, self._llama.llama_context_default_params()
        parameters.n_ctx = -(-n_ctx // CELLS_STEP) * CELLS_STEP
        parameters.n_batch = parameters.n_ubatch = options.n_batch
        parameters.n_seq_max = options.n_sequences
        parameters.n_outputs_max = options.most_outputs
        parameters.kv_unified = not options.apart
        parameters.n_threads = parameters.n_threads_batch = options.n_threads
        parameters.type_k = parameters.type_v = options.kv_type.id
        parameters.flash_attn_type = _FLASH_ATTENTION[options.flash_attention]
        if options.eval_callback is not None:
            parameters.cb_eval = options.eval_callback
        library().forget_complaints()
        handle = self._llama.llama_init_from_model(self._model.handle, parameters)
        if not handle:
            raise EngineError(
                f"no memory for a context of {n_ctx} tokens: {library().complaint()}; ask for less"
            )
        self._llama.llama_set_abort_callback(handle, *library().abort_callback)
        return handle

    def _decode(self, batch: Batch) -> None:
        library().forget_complaints()
        self._check(self._llama.llama_decode(self.handle, batch.native()))

    def _check(self, result: int) -> None:
        if result == _ABORTED:
            raise Cancelled
        if result == _NO_ROOM:
            raise ContextFullError(f"the context of {self.n_ctx} tokens is full; ask for more with --ctx")
        if result:
            raise EngineError(f"llama.cpp failed to evaluate ({result}): {library().complaint()}")


def _bytes_of(data: State) -> object:
    return data.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
