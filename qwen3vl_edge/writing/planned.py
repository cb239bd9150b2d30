"""What will be written, down to the byte."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qwen3vl_edge.ggml_types import TensorType
from qwen3vl_edge.manifest import RecipeNote, Role
from qwen3vl_edge.manifest import Source as ManifestSource
from qwen3vl_edge.split_names import part_name
from qwen3vl_edge.writing.gguf_header import KeyValue, TensorEntry, encode_header, padding
from qwen3vl_edge.writing.source import Cut, Source
from qwen3vl_edge.writing.split import split_indices, split_metadata

__all__ = ["Draft", "PlannedFile", "PlannedTensor", "WritePlan", "lay_out"]


@dataclass(frozen=True, slots=True, eq=False)
class PlannedTensor:
    """One tensor to write: what it takes of which source, and in which type; `shape` row-major.

    Where `shape` has more rows than the source, the last ones are zero. `why` says how the type was
    chosen, in a few words. `importance` is (experts, row length) float32, how much an error in each
    column matters, with one expert where the tensor has none. A `copied` one takes the bytes of the
    source as they are stored. `offset` is in bytes from the start of its file, known once that is laid out.
    """

    name: str
    shape: tuple[int, ...]
    kind: TensorType
    source: Source
    cut: Cut
    why: str = ""
    importance: NDArray[np.float32] | None = None
    copied: bool = False
    offset: int = 0

    @property
    def nbytes(self) -> int:
        """Return the bytes of the tensor without padding."""
        return self.kind.nbytes(self.shape)


@dataclass(frozen=True, slots=True)
class Draft:
    """One model before it is laid out; `stem` (see `names.safe_name`) and `type` are of its name."""

    role: Role
    stem: str
    type: str
    metadata: tuple[KeyValue, ...]
    tensors: Sequence[PlannedTensor]


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """One GGUF file to write; `type` as in its name, `header` the bytes before the tensors."""

    role: Role
    name: str
    type: str
    part: int
    n_parts: int
    header: bytes
    tensors: tuple[PlannedTensor, ...]

    @property
    def n_bytes(self) -> int:
        """Return the size of the whole file."""
        return len(self.header) + self.data_bytes

    @property
    def data_bytes(self) -> int:
        """Return the bytes of all tensors with their padding."""
        return sum(_padded(tensor.nbytes) for tensor in self.tensors)

    @property
    def tensor_types(self) -> Mapping[str, int]:
        """Return how many tensors there are of each type."""
        return dict(sorted(Counter(tensor.kind.name for tensor in self.tensors).items()))


@dataclass(frozen=True, slots=True)
class WritePlan:
    """The files of a bundle, all parts of all language models first.

    A plan whose `source` has no weights to read can be looked at, not run. `inputs` are the files that must
    not be written over. `recipe` is what the user asked for.
    """

    name: str
    source: ManifestSource
    files: tuple[PlannedFile, ...]
    has_weights: bool = True
    inputs: tuple[Path, ...] = ()
    recipe: RecipeNote | None = None

    @property
    def n_bytes(self) -> int:
        """Return the size of all files."""
        return sum(file.n_bytes for file in self.files)


def lay_out(
    draft: Draft, *, split_max_bytes: int | None = None, parts: Sequence[range] | None = None
) -> Iterator[PlannedFile]:
    """Give the files of a model, of at most so many bytes of tensors each, or cut into these `parts`.

    Raises:
        UsageError: there would be more parts than the format can count.
        CheckpointError: a string of the metadata is not valid Unicode.
    """
    parts = parts or split_indices([tensor.nbytes for tensor in draft.tensors], split_max_bytes)
    for i, indices in enumerate(parts):
        metadata = draft.metadata if i == 0 else ()
        if len(parts) > 1:
            metadata += split_metadata(i, len(parts), len(draft.tensors))
        tensors = [draft.tensors[j] for j in indices]
        header = encode_header(metadata, [TensorEntry(item.name, item.shape, item.kind) for item in tensors])
        yield PlannedFile(
            role=draft.role,
            name=f"{draft.stem}.gguf" if len(parts) == 1 else part_name(draft.stem, i + 1, len(parts)),
            type=draft.type,
            part=i + 1,
            n_parts=len(parts),
            header=header,
            tensors=tuple(_placed(tensors, len(header))),
        )


def _placed(tensors: Sequence[PlannedTensor], offset: int) -> Iterator[PlannedTensor]:
    for tensor in tensors:
        yield replace(tensor, offset=offset)
        offset += _padded(tensor.nbytes)


def _padded(nbytes: int) -> int:
    return nbytes + padding(nbytes)
