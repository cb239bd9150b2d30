"""Importance matrices: how much an error in each column of a tensor matters.

The importance of a column is the mean square of what it is multiplied with, over some text or pictures.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qwen3vl_edge.errors import GGUFError, UsageError, join_problems
from qwen3vl_edge.gguf_format import ValueType
from qwen3vl_edge.quant.imatrix_files import read_imatrix_file
from qwen3vl_edge.quant.imatrix_kind import is_of_projector
from qwen3vl_edge.writing.gguf_header import KeyValue

__all__ = ["Imatrix"]

_MAX_TEXT_BYTES = 127  # llama_model_kv_override.val_str in include/llama.h, less the NUL


@dataclass(frozen=True, slots=True, eq=False)
class Imatrix:
    """One importance matrix.

    Attributes:
        path: The file.
        entries: Tensor name -> (experts, row length), finite, at least 0, never 0 in a whole row. Files
            of the old format know no experts: there it is (1, experts · row length).
        datasets: What it was made from.
        n_chunks: Of how many chunks of text; 0 if the file does not say.
        sha256: Of the file.
    """

    path: Path
    entries: Mapping[str, NDArray[np.float32]]
    datasets: tuple[str, ...] = ()
    n_chunks: int = 0
    sha256: str = ""

    @classmethod
    def read(cls, path: Path) -> "Imatrix":
        """Read llama-imatrix's GGUF or its older .dat, told apart by the magic.

        Experts that no token was sent to have 1 in every column, as in llama-quantize.

        Raises:
            GGUFError: `path` cannot be read, is of neither format or damaged, or holds values that
                are none, with the names of their tensors.
        """
        contents = read_imatrix_file(path)
        if not contents.entries:
            raise GGUFError(f"{path}: has no entries; make the importance matrix anew")
        faults = [f"{n!r:.80} {fault}" for n, rows in contents.entries.items() if (fault := _fault(rows))]
        if faults:
            raise GGUFError(f"{path}: {join_problems(faults, 3)}; make the importance matrix anew")
        return cls(path, contents.entries, contents.datasets, contents.n_chunks, _sha256(path))

    def for_tensors(self, tensors: Sequence[tuple[str, tuple[int, ...]]]) -> dict[str, NDArray[np.float32]]:
        """Return what there is for these tensors: name -> (experts or 1, row length).

        Tensors may be without; llama-imatrix sees neither the embedding nor, by default, the output.

        Args:
            tensors: Name and row-major shape of all tensors of a language model, a projector or both.
                Entries of the one that is not there are passed over.

        Raises:
            UsageError: the matrix has nothing for these tensors.
            GGUFError: the matrix is of another model: it has names that are not there or other sizes.
        """
        shapes = dict(tensors)
        sides = {is_of_projector(name) for name in shapes}
        entries = {name: rows for name, rows in self.entries.items() if is_of_projector(name) in sides}
        if not entries:
            raise UsageError(
                f"--imatrix {self.path}: has nothing for these tensors; give the matrix of this model, or "
                "quantize the half that it is of"
            )
        if faults := list(_mismatches(entries, shapes)):
            raise GGUFError(
                f"{self.path}: is of another model: {join_problems(faults, 3)}; give the matrix of this one"
            )
        return {name: rows.reshape(-1, shapes[name][-1]) for name, rows in entries.items()}

    def metadata(self, n_entries: int) -> tuple[KeyValue, ...]:
        """Return what llama-quantize notes of the matrix in its output; of `path`, the name alone.

        `n_entries` are those that are for this file; there is nothing to note if there are none.

        Source: main in tools/quantize/quantize.cpp; whole numbers become UINT32 in src/llama-quant.cpp
        (llama.cpp 0c1e57098).
        """
        if n_entries == 0:
            return ()
        entries = [KeyValue("quantize.imatrix.file", ValueType.STRING, _cut(self.path.name))]
        if self.datasets:
            first = _cut(self.datasets[0])
            entries.append(KeyValue("quantize.imatrix.dataset", ValueType.STRING, first))
        entries.append(KeyValue("quantize.imatrix.entries_count", ValueType.UINT32, n_entries))
        if self.n_chunks > 0:
            entries.append(KeyValue("quantize.imatrix.chunks_count", ValueType.UINT32, self.n_chunks))
        return tuple(entries)


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as failure:
        raise GGUFError(f"{path}: cannot be read ({failure.strerror})") from failure


def _fault(rows: NDArray[np.float32]) -> str | None:
    """Say what is wrong with the values of an entry."""
    if not np.isfinite(rows).all():
        return "is NaN or infinite"
    if rows.min() < 0:
        return "is negative"
    return None if rows.any(axis=1).all() else "is 0 everywhere"


def _mismatches(
    entries: Mapping[str, NDArray[np.float32]], shapes: Mapping[str, tuple[int, ...]]
) -> Iterator[str]:
    for name, rows in entries.items():
        shape = shapes.get(name)
        if shape is None:
            yield f"{name!r:.80} is not in the model"
            continue
        wanted = prod(shape[:-2]), shape[-1]
        if rows.shape not in (wanted, (1, prod(wanted))):
            yield f"{name!r:.80} is {' × '.join(map(str, rows.shape))}, not {' × '.join(map(str, wanted))}"


def _cut(text: str) -> str:
    """Shorten to what llama-quantize has room for, never within a character."""
    return text.encode("utf-8", "replace")[:_MAX_TEXT_BYTES].decode("utf-8", "ignore")
