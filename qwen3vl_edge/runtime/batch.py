"""What is evaluated at once: pieces of several sequences, of text or of pictures."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from qwen3vl_edge.runtime.native import library
from qwen3vl_edge.runtime.projector import Embeddings

__all__ = ["Batch", "TextPiece", "VisionPiece", "text_batch", "vision_batch"]

_DIMENSIONS = 4  # of a position under M-RoPE: time, row, column, and one that pictures do not use


@dataclass(frozen=True, slots=True)
class TextPiece:
    """Tokens of a sequence from `position` on, one or more; the last `n_logits` get logits."""

    tokens: Sequence[int]
    sequence: int
    position: int
    n_logits: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class VisionPiece:
    """An encoded picture or pair of a sequence.

    Under M-RoPE its tokens share the time `position` and count rows and columns from there
    (llama.cpp 0c1e57098, ``tools/mtmd/mtmd-helper.cpp``, ``set_position_mrope_2d``).

    Args:
        embeddings: Shape (rows · columns, n_embd_inp), float32.
        grid: Rows and columns of tokens.
        sequence: Where to.
        position: Where the picture stands.
    """

    embeddings: Embeddings
    grid: tuple[int, int]
    sequence: int
    position: int

    @property
    def positions(self) -> NDArray[np.int32]:
        """Those of its tokens, shape (4, rows · columns)."""
        rows, columns = np.indices(self.grid, np.int32).reshape(2, -1)
        positions = np.zeros((_DIMENSIONS, rows.size), np.int32)
        positions[:3] = self.position
        positions[1] += rows
        positions[2] += columns
        return positions


@dataclass(frozen=True, eq=False)
class Batch:
    """Arrays as llama.cpp takes them.

    Args:
        tokens: Ids, shape (n,), or None.
        embeddings: Shape (n, n_embd_inp), where there are no tokens.
        positions: Shape (n,) of tokens, (4, n) of embeddings.
        sequences: Shape (n,).
        logits: 1 for those that get logits, shape (n,).
    """

    tokens: NDArray[np.int32] | None
    embeddings: Embeddings | None
    positions: NDArray[np.int32]
    sequences: NDArray[np.int32]
    logits: NDArray[np.int8]
    _held: list[object] = field(default_factory=list, repr=False)

    def cut(self, part: slice) -> "Batch":
        """Give a part of an embedded batch."""
        floats = None if self.embeddings is None else self.embeddings[part]
        return Batch(None, floats, self.positions[:, part], self.sequences[part], self.logits[part])

    def native(self) -> object:
        """Give the struct that llama.cpp reads; valid as long as this batch."""
        llama, count = library().llama, self.sequences.size
        ids = None if self.tokens is None else self._pointer(self.tokens, ctypes.c_int32)
        floats = None if self.embeddings is None else self._pointer(self.embeddings, ctypes.c_float)
        sequences = np.ascontiguousarray(self.sequences)
        addresses = sequences.ctypes.data + np.arange(count, dtype=np.uintp) * sequences.itemsize
        self._held.append(sequences)
        return llama.llama_batch(
            count,
            ids,
            floats,
            self._pointer(self.positions, ctypes.c_int32),
            self._pointer(np.ones(count, np.int32), ctypes.c_int32),
            self._pointer(addresses, ctypes.POINTER(ctypes.c_int32)),
            self._pointer(self.logits, ctypes.c_int8),
        )

    def _pointer(self, array: NDArray[np.generic], kind: "type[ctypes._CDataType]") -> object:
        whole = np.ascontiguousarray(array)
        self._held.append(whole)
        return whole.ctypes.data_as(ctypes.POINTER(kind))


def text_batch(pieces: Sequence[TextPiece]) -> Batch:
    """Join pieces of text."""
    lengths = [len(piece.tokens) for piece in pieces]
    tokens = np.concatenate([np.asarray(piece.tokens, np.int32) for piece in pieces])
    positions = [
        np.arange(n, dtype=np.int32) + piece.position for n, piece in zip(lengths, pieces, strict=True)
    ]
    flags = [np.arange(n) >= n - piece.n_logits for n, piece in zip(lengths, pieces, strict=True)]
    sequences = np.repeat(np.array([piece.sequence for piece in pieces], np.int32), lengths)
    return Batch(tokens, None, np.concatenate(positions), sequences, np.concatenate(flags).astype(np.int8))


def vision_batch(pieces: Sequence[VisionPiece]) -> Batch:
    """Join pictures; none of their tokens gets logits."""
    lengths = [len(piece.embeddings) for piece in pieces]
    one = len(pieces) == 1
    embeddings = pieces[0].embeddings if one else np.concatenate([piece.embeddings for piece in pieces])
    positions = np.concatenate([piece.positions for piece in pieces], axis=1)
    sequences = np.repeat(np.array([piece.sequence for piece in pieces], np.int32), lengths)
    return Batch(None, embeddings, positions, sequences, np.zeros(sequences.size, np.int8))
