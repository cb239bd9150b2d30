"""Sums that make an importance matrix: added up, read from files, written as llama-imatrix writes them."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qwen3vl_edge.errors import GGUFError, UsageError, join_problems
from qwen3vl_edge.ggml_types import TYPES_BY_NAME
from qwen3vl_edge.gguf_format import ValueType
from qwen3vl_edge.quant.imatrix_files import ImatrixEntry, read_imatrix_entries
from qwen3vl_edge.quant.imatrix_kind import is_gguf, is_imatrix
from qwen3vl_edge.quant.whole_file import whole_file
from qwen3vl_edge.runtime.activations import ActivationSums, SumsByName
from qwen3vl_edge.writing.gguf_header import KeyValue, TensorEntry, array, encode_header, padding

__all__ = ["CHUNK_SIZE", "ImatrixSums", "merge_imatrices", "refuse_existing", "write_imatrix"]

CHUNK_SIZE = 512
"""Tokens in a chunk of text, as in llama-imatrix by default."""

_F32 = TYPES_BY_NAME["F32"]
_LANGUAGE_MODEL = "blk."


@dataclass(frozen=True, slots=True, eq=False)
class ImatrixSums:
    """What an importance matrix is made of.

    ``entries`` are by tensor, ``datasets`` the names of what was read.
    """

    entries: SumsByName = field(default_factory=dict)
    datasets: tuple[str, ...] = ()

    def plus(self, more: SumsByName, datasets: Sequence[str] = ()) -> "ImatrixSums":
        """Give these and `more`; neither is changed.

        Raises:
            GGUFError: A tensor has other sizes: it is of another model.
        """
        added = {name: _added(name, self.entries.get(name), new) for name, new in more.items()}
        return ImatrixSums({**self.entries, **added}, (*self.datasets, *datasets))

    @property
    def n_chunks(self) -> int:
        """The rows that the language model's busiest tensor has seen, in chunks, as llama-imatrix counts."""
        counts = {name: int(entry.counts.max()) for name, entry in self.entries.items()}
        of_text = [count for name, count in counts.items() if name.startswith(_LANGUAGE_MODEL)]
        return max(of_text or counts.values(), default=0) // CHUNK_SIZE

    def untouched_experts(self) -> Mapping[str, tuple[int, ...]]:
        """List the experts that no token was sent to: tensor -> their numbers."""
        return {
            name: tuple(map(int, np.flatnonzero(entry.counts == 0)))
            for name, entry in sorted(self.entries.items())
            if not entry.counts.all()
        }


def merge_imatrices(paths: Sequence[Path], begun: ImatrixSums | None = None) -> ImatrixSums:
    """Add up the matrices in these files, of either format, as llama-imatrix does with several ``--in-file``.

    Args:
        paths: The files.
        begun: What they are added to.

    Raises:
        GGUFError: One cannot be read, or they are of different models.
    """
    merged = begun or ImatrixSums()
    for path in paths:
        read = read_imatrix_entries(path)
        scale = 1 if read.chunk_size is not None else CHUNK_SIZE
        entries = {name: _sums(entry, scale) for name, entry in read.entries.items()}
        _refuse_nonsense(path, entries)
        known = {name: _spread(entry, entries.get(name, entry)) for name, entry in merged.entries.items()}
        new = {name: _spread(entry, known.get(name, entry)) for name, entry in entries.items()}
        try:
            merged = ImatrixSums(known, merged.datasets).plus(new, read.datasets)
        except GGUFError as error:
            raise GGUFError(f"{path}: {error}") from None
    return merged


def _added(name: str, known: ActivationSums | None, new: ActivationSums) -> ActivationSums:
    if known is None:
        return new
    if known.sums.shape != new.sums.shape:
        raise GGUFError(
            f"{name!r:.80} has {new.sums.shape} sums and {known.sums.shape} elsewhere; are these matrices of "
            "one model?"
        )
    return ActivationSums(known.sums + new.sums, known.counts + new.counts)


def _sums(entry: ImatrixEntry, scale: int) -> ActivationSums:
    """Scale means of a .dat, which counts chunks, to rows (load_imatrix in tools/imatrix/imatrix.cpp)."""
    return ActivationSums(entry.sums.astype(np.float64) * scale, entry.counts.astype(np.int64) * scale)


def _refuse_nonsense(path: Path, entries: SumsByName) -> None:
    odd = [name for name, entry in entries.items() if not (np.isfinite(entry.sums) & (entry.sums >= 0)).all()]
    if odd:
        raise GGUFError(
            f"{path}: {join_problems([f'{n!r:.80}' for n in odd], 3)}: sums that are negative or no numbers; "
            "make the matrix anew"
        )


def _spread(entry: ActivationSums, other: ActivationSums) -> ActivationSums:
    """Give an entry of a .dat, where all experts share a row, the shape of `other`."""
    n_experts = len(other.counts)
    if len(entry.counts) != 1 or n_experts == 1 or entry.sums.size != other.sums.size:
        return entry
    return ActivationSums(entry.sums.reshape(other.sums.shape), entry.counts.repeat(n_experts))


def write_imatrix(path: Path, imatrix: ImatrixSums, *, overwrite: bool = False) -> None:
    """Write llama.cpp's GGUF format; `path` is there afterwards with all of it, or as it was.

    Tensors whose inputs were all 0 are left out: they would weigh nothing, which quantizers refuse.
    Source: save_imatrix in tools/imatrix/imatrix.cpp, llama.cpp 0c1e57098.

    Raises:
        UsageError: `path` exists, or there is nothing to write.
        OSError: It cannot be written.
    """
    refuse_existing(path, overwrite=overwrite)
    arrays = dict(_arrays(imatrix.entries))
    if not arrays:
        raise UsageError("nothing was collected; give text, pictures or clips")
    entries = [TensorEntry(name, values.shape, _F32) for name, values in arrays.items()]
    with whole_file(path) as file:
        file.write(encode_header(_metadata(imatrix), entries))
        for values in arrays.values():
            file.write(values.tobytes() + bytes(padding(values.nbytes)))


def refuse_existing(path: Path, *, overwrite: bool) -> None:
    """Refuse to write over a file unless that is wanted, and over anything else, as a model, at all.

    Raises:
        UsageError: Something is in the way, or the folder is not there.
        GGUFError: What is there begins as GGUF and is damaged, so that nobody knows what it is.
    """
    if path.is_dir() or not path.parent.is_dir():
        raise UsageError(f"{path}: give a file in a folder that is there")
    if os.path.lexists(path) and not (overwrite and path.is_file()):
        raise UsageError(f"{path}: exists; choose another name, or --overwrite")
    if path.is_file() and is_gguf(path) and not is_imatrix(path):
        raise UsageError(f"{path}: is a model, not an importance matrix; choose another name")


def _metadata(imatrix: ImatrixSums) -> list[KeyValue]:
    return [
        KeyValue("general.type", ValueType.STRING, "imatrix"),
        array("imatrix.datasets", ValueType.STRING, imatrix.datasets),
        KeyValue("imatrix.chunk_count", ValueType.UINT32, imatrix.n_chunks),
        KeyValue("imatrix.chunk_size", ValueType.UINT32, CHUNK_SIZE),
    ]


def _arrays(entries: SumsByName) -> Iterable[tuple[str, NDArray[np.float32]]]:
    """Give what is stored, in ggml's shapes: one expert has one dimension (ggml_n_dims)."""
    for name, entry in sorted(entries.items()):
        if not entry.sums.any():
            continue
        sums, counts = entry.sums.astype("<f4"), entry.counts.astype("<f4")[:, None]
        single = len(entry.counts) == 1
        yield f"{name}.in_sum2", sums[0] if single else sums
        yield f"{name}.counts", counts[0] if single else counts
