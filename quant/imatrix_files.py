"""The two formats of importance matrices that llama-imatrix writes, read within bounds.

Source: save_imatrix and save_imatrix_legacy in tools/imatrix/imatrix.cpp, common/imatrix-loader.cpp and
load_imatrix in tools/quantize/quantize.cpp, llama.cpp 0c1e57098.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from qwen3vl_edge.errors import GGUFError, join_problems
from qwen3vl_edge.gguf_format import MAGIC, ValueType
from qwen3vl_edge.gguf_info import GGUFInfo, GGUFTensor
from qwen3vl_edge.input_files import file_size
from qwen3vl_edge.quant.gguf_source import GGUFSource

__all__ = ["ImatrixContents", "ImatrixEntries", "ImatrixEntry", "read_imatrix_entries", "read_imatrix_file"]

_MAX_BYTES = 2 << 30  # Qwen3-VL-235B-A22B needs 0.5 GB
_MAX_DAT_ENTRIES = 1 << 16  # the same model has some 1,200
_MAX_CHUNKS = 2**31 - 1
_SUMS, _COUNTS = ".in_sum2", ".counts"
_N_CHUNKS, _CHUNK_SIZE, _DATASETS = "imatrix.chunk_count", "imatrix.chunk_size", "imatrix.datasets"
_OTHER_FILE = "give one that llama-imatrix wrote"


@dataclass(frozen=True, slots=True, eq=False)
class ImatrixEntry:
    """One tensor's numbers as the file has them.

    ``sums`` float32, (experts as far as the file knows them, row length); ``counts``, of the same length,
    are whole. Rows of a .dat were divided by what they are sums of: ``counts`` are then chunks, not rows.
    """

    sums: NDArray[np.float32]
    counts: NDArray[np.float32]

    def means(self) -> NDArray[np.float32]:
        """Divide; where nothing was counted, as for an expert that got no token, all columns weigh 1."""
        counts = self.counts[:, None]
        with np.errstate(invalid="ignore"):  # sums that are NaN are refused later
            return np.divide(self.sums, counts, out=np.ones_like(self.sums), where=counts > 0)


@dataclass(frozen=True, slots=True, eq=False)
class ImatrixEntries:
    """What a file holds, by tensor; ``chunk_size`` in tokens, None in a .dat, which does not say."""

    entries: Mapping[str, ImatrixEntry]
    datasets: tuple[str, ...]
    n_chunks: int
    chunk_size: int | None


@dataclass(frozen=True, slots=True, eq=False)
class ImatrixContents:
    """What a file holds: `entries` by tensor, each (experts as far as the file knows them, row length)."""

    entries: Mapping[str, NDArray[np.float32]]
    datasets: tuple[str, ...]
    n_chunks: int


def read_imatrix_file(path: Path) -> ImatrixContents:
    """Read either format; the values are means, but not looked at yet.

    Raises:
        GGUFError: As for `read_imatrix_entries`.
    """
    read = read_imatrix_entries(path)
    means = {name: entry.means() for name, entry in read.entries.items()}
    return ImatrixContents(means, read.datasets, read.n_chunks)


def read_imatrix_entries(path: Path) -> ImatrixEntries:
    """Read either format, as it is.

    Raises:
        GGUFError: `path` is no regular file, too large, of neither format, or damaged.
    """
    size = file_size(path, GGUFError)
    if size > _MAX_BYTES:
        raise GGUFError(
            f"{path}: {size} bytes are more than the {_MAX_BYTES} allowed for an importance matrix"
        )
    try:
        with path.open("rb") as file:
            if file.read(len(MAGIC)) == MAGIC:
                return _read_gguf(path)
            file.seek(0)
            return _DatFile(path, file, size).read()
    except OSError as failure:
        raise GGUFError(f"{path}: cannot be read ({failure.strerror})") from failure


def _read_gguf(path: Path) -> ImatrixEntries:
    """Read sums of squares and how many they are of, for each tensor and expert."""
    info = GGUFInfo.read(path)
    n_chunks, datasets = _provenance(info)
    tensors = {tensor.name: tensor for tensor in info.tensors}
    names = sorted({n.removesuffix(end) for n in tensors for end in (_SUMS, _COUNTS) if n.endswith(end)})
    if faults := [f"{n!r:.80} {fault}" for n in names if (fault := _pair_fault(tensors, n))]:
        raise GGUFError(f"{path}: {join_problems(faults, 3)}; make the importance matrix anew")
    entries = {name: _entry(tensors[name + _SUMS], tensors[name + _COUNTS]) for name in names}
    return ImatrixEntries(entries, datasets, n_chunks, info.integer(_CHUNK_SIZE))


def _provenance(info: GGUFInfo) -> tuple[int, tuple[str, ...]]:
    """Return the number of chunks and the datasets; llama-quantize refuses files without them too."""
    numbers = [info.metadata.get(key) for key in (_N_CHUNKS, _CHUNK_SIZE)]
    if not all(isinstance(number, int) and 0 <= number <= _MAX_CHUNKS for number in numbers):
        raise GGUFError(f"{info.path}: {_N_CHUNKS} or {_CHUNK_SIZE} is missing or no count; {_OTHER_FILE}")
    if _DATASETS not in info.metadata or info.kinds[_DATASETS] is not ValueType.STRING:
        raise GGUFError(f"{info.path}: {_DATASETS} is missing or no list of names; {_OTHER_FILE}")
    return info.integer(_N_CHUNKS), tuple(map(str, info.array(_DATASETS)))


def _pair_fault(tensors: Mapping[str, GGUFTensor], name: str) -> str | None:
    sums, counts = tensors.get(name + _SUMS), tensors.get(name + _COUNTS)
    if sums is None or counts is None:
        return f"has no {_SUMS if sums is None else _COUNTS}"
    if not sums.type_name == counts.type_name == "F32":
        return "is not in F32"
    if sums.n_elements % counts.n_elements:
        return f"has {sums.n_elements} sums for {counts.n_elements} counts"
    return None


def _entry(sums: GGUFTensor, counts: GGUFTensor) -> ImatrixEntry:
    divisors = _values(counts)
    if not (divisors.min() >= 0 and divisors.max() < np.inf):
        raise GGUFError(
            f"{counts.path}: {counts.name!r:.80} holds no counts; make the importance matrix anew"
        )
    whole = np.floor(divisors.astype(np.float64) + 0.5).astype(np.float32)  # lround in imatrix-loader.cpp
    return ImatrixEntry(_values(sums).reshape(counts.n_elements, -1), whole)


def _values(tensor: GGUFTensor) -> NDArray[np.float32]:
    return np.asarray(GGUFSource(tensor).read(0, tensor.shape[0]), np.float32).reshape(-1)


class _DatFile:
    """The format before GGUF: int32 and float32, little-endian, without a magic.

    ::

        n_entries · n_entries × (name length · name · n_calls · n_values · values × n_calls)
        · n_chunks · dataset length · dataset                  these three were not always written
    """

    def __init__(self, path: Path, file: BinaryIO, size: int) -> None:
        self._path, self._file, self._left = path, file, size

    def read(self) -> ImatrixEntries:
        """Read all of it."""
        n_entries = self._integer()
        if not 0 < n_entries <= _MAX_DAT_ENTRIES:
            raise GGUFError(
                f"{self._path}: neither GGUF nor an old .dat ({n_entries} entries); {_OTHER_FILE}"
            )
        entries: dict[str, ImatrixEntry] = {}
        for _ in range(n_entries):
            name = self._name()
            if name in entries:
                raise GGUFError(f"{self._path}: {name!r:.80} stands there twice; make the matrix anew")
            entries[name] = self._entry()
        n_chunks = self._integer() if self._left else 0
        datasets = (self._take(self._integer()).decode("utf-8", "replace"),) if self._left else ()
        return ImatrixEntries(entries, tuple(filter(None, datasets)), max(n_chunks, 0), None)

    def _name(self) -> str:
        raw = self._take(self._integer())
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError as failure:
            raise GGUFError(f"{self._path}: the name of a tensor is not UTF-8; {_OTHER_FILE}") from failure

    def _entry(self) -> ImatrixEntry:
        n_calls, n_values = self._integer(), self._integer()
        if n_calls < 0 or n_values < 1:
            raise GGUFError(f"{self._path}: an entry has {n_values} values of {n_calls} calls; {_OTHER_FILE}")
        values = np.frombuffer(self._take(4 * n_values), "<f4").astype(np.float32).reshape(1, -1)
        return ImatrixEntry(values, np.array([n_calls or 1], np.float32))

    def _integer(self) -> int:
        return int.from_bytes(self._take(4), "little", signed=True)

    def _take(self, nbytes: int) -> bytes:
        raw = self._file.read(nbytes) if 0 <= nbytes <= self._left else b""
        if len(raw) != nbytes:
            raise GGUFError(f"{self._path}: ends too early; {_OTHER_FILE}")
        self._left -= nbytes
        return raw
