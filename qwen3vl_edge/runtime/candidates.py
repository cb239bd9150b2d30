"""Tokens with their logits, as llama.cpp's samplers take and change them."""

import ctypes

import numpy as np
from numpy.typing import NDArray

from qwen3vl_edge.runtime.native import library

__all__ = ["Candidates"]

# struct llama_token_data, llama.h 0c1e57098
_TOKEN_DATA = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])


class Candidates:
    """Tokens that may be next.

    Args:
        ids: Shape (n,), int32, n at least 1.
        logits: Shape (n,), float32; copied.
    """

    def __init__(self, ids: NDArray[np.int32], logits: NDArray[np.float32]) -> None:
        self._llama = library().llama
        self._data = np.empty(len(ids), _TOKEN_DATA)
        self._data["id"], self._data["logit"] = ids, logits
        self._array = self._llama.llama_token_data_array(
            self._data.ctypes.data_as(self._llama.llama_token_data_p), len(ids), -1, False
        )

    def apply(self, sampler: object) -> None:
        """Let the native `sampler` change the logits, leave candidates out or choose one."""
        self._llama.llama_sampler_apply(sampler, ctypes.byref(self._array))

    @property
    def logits(self) -> NDArray[np.float32]:
        """Shape (n,), in the order given, as long as no sampler has filtered or sorted; a view."""
        view: NDArray[np.float32] = self._data["logit"]
        return view

    @property
    def chosen(self) -> int:
        """The token that the last sampler has chosen."""
        return int(self._array.data[self._array.selected].id)
