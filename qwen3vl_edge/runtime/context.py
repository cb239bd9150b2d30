"""KV cells and what is evaluated into them: sequences of tokens and encoded pictures."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from qwen3vl_edge.errors import ContextFullError, EngineError
from qwen3vl_edge.ggml_types import TYPES_BY_NAME, TensorType
from qwen3vl_edge.runtime.cells import State
from qwen3vl_edge.runtime.model import TextModel
from qwen3vl_edge.runtime.native import Cancelled, library
from qwen3vl_edge.runtime.projector import Embeddings

__all__ = ["Context", "ContextOptions", "FlashAttention"]

FlashAttention = Literal["auto", "on", "off"]

_FLASH_ATTENTION: dict[FlashAttention, int] = {"auto": -1, "off": 0, "on": 1}  # llama_flash_attn_type
_NO_ROOM, _ABORTED = 1, 2  # results of llama_decode
_CELLS_STEP = 256  # llama.cpp pads contexts to multiples of this
_DIMENSIONS = 4  # of a position under M-RoPE: time, row, column, and one that pictures do not use


@dataclass(frozen=True, slots=True)
class ContextOptions:
    """How to make a context: ``n_ctx`` cells at least, ``n_batch`` tokens evaluated at once."""

    n_ctx: int
    n_threads: int
    n_sequences: int = 16
    n_batch: int = 512
    kv_type: TensorType = TYPES_BY_NAME["F16"]
    flash_attention: FlashAttention = "auto"


class Context:
    """The cells of up to ``n_sequences`` sequences of `model`, which must outlive it.

    Sequences are numbered from 0; they share cells (``kv_unified``), so that a copied one costs none.

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
        """Make the empty sequence `target` a copy of `source`, in the same cells."""
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
        positions = np.arange(position, position + len(tokens), dtype=np.int32)
        self._decode(np.asarray(tokens, np.int32), None, positions, sequence, logits=logits)

    def read_vision(
        self, embeddings: Embeddings, grid: tuple[int, int], sequence: int, position: int
    ) -> None:
        """Put an encoded picture or pair into the cells.

        Under M-RoPE its tokens share the time `position` and count rows and columns from there
        (llama.cpp 0c1e57098, ``tools/mtmd/mtmd-helper.cpp``, ``set_position_mrope_2d``).

        Args:
            embeddings: Shape (rows · columns, model.n_embd_inp), float32.
            grid: Rows and columns of tokens.
            sequence: Where to.
            position: Where the picture stands.

        Raises:
            ContextFullError, Cancelled, EngineError: As for `read_tokens`.
        """
        rows, columns = np.indices(grid, np.int32).reshape(2, -1)
        if embeddings.shape != (rows.size, self._model.n_embd_inp):  # llama.cpp would read past their end
            raise EngineError(
                f"{embeddings.shape} embeddings do not fill a grid of {grid}; clear the media cache"
            )
        positions = np.zeros((_DIMENSIONS, rows.size), np.int32)
        positions[:3] = position
        positions[1] += rows
        positions[2] += columns
        for start in range(0, rows.size, self.n_batch):
            part = slice(start, start + self.n_batch)
            self._decode(None, embeddings[part], positions[:, part], sequence, logits=False)

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
        parameters.n_ctx = -(-n_ctx // _CELLS_STEP) * _CELLS_STEP
        parameters.n_batch = parameters.n_ubatch = options.n_batch
        parameters.n_seq_max = parameters.n_outputs_max = options.n_sequences
        parameters.kv_unified = True
        parameters.n_threads = parameters.n_threads_batch = options.n_threads
        parameters.type_k = parameters.type_v = options.kv_type.id
        parameters.flash_attn_type = _FLASH_ATTENTION[options.flash_attention]
        library().forget_complaints()
        handle = self._llama.llama_init_from_model(self._model.handle, parameters)
        if not handle:
            raise EngineError(
                f"no memory for a context of {n_ctx} tokens: {library().complaint()}; ask for less"
            )
        self._llama.llama_set_abort_callback(handle, *library().abort_callback)
        return handle

    def _decode(
        self,
        tokens: NDArray[np.int32] | None,
        embeddings: Embeddings | None,
        positions: NDArray[np.int32],
        sequence: int,
        *,
        logits: bool,
    ) -> None:
        """Evaluate one batch: ids (n,) or embeddings (n, n_embd_inp), with positions (n,) or (4, n)."""
        n_tokens = positions.shape[-1]
        flags = np.zeros(n_tokens, np.int8)
        flags[-1] = logits
        ids = None if tokens is None else np.ascontiguousarray(tokens)
        floats = None if embeddings is None else np.ascontiguousarray(embeddings, np.float32)
        positions = np.ascontiguousarray(positions)
        counts = np.ones(n_tokens, np.int32)
        number = ctypes.c_int32(sequence)
        sequences = (ctypes.POINTER(ctypes.c_int32) * n_tokens)(*[ctypes.pointer(number)] * n_tokens)
        batch = self._llama.llama_batch(
            n_tokens,
            None if ids is None else ids.ctypes.data_as(ctypes.POINTER(ctypes.c_int32)),
            None if floats is None else floats.ctypes.data_as(ctypes.POINTER(ctypes.c_float)),
            positions.ctypes.data_as(ctypes.POINTER(ctypes.c_int32)),
            counts.ctypes.data_as(ctypes.POINTER(ctypes.c_int32)),
            sequences,
            flags.ctypes.data_as(ctypes.POINTER(ctypes.c_int8)),
        )
        library().forget_complaints()
        self._check(self._llama.llama_decode(self.handle, batch))

    def _check(self, result: int) -> None:
        if result == _ABORTED:
            raise Cancelled
        if result == _NO_ROOM:
            raise ContextFullError(f"the context of {self.n_ctx} tokens is full; ask for more with --ctx")
        if result:
            raise EngineError(f"llama.cpp failed to evaluate ({result}): {library().complaint()}")


def _bytes_of(data: State) -> object:
    return data.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
