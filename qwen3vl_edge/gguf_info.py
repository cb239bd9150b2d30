"""A read-only summary of a GGUF file: metadata and tensor table, checked against the file's size."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from qwen3vl_edge.errors import GGUFError
from qwen3vl_edge.ggml_types import FILE_TYPES
from qwen3vl_edge.gguf_format import ALIGNMENT, MAGIC, GGUFArray, HeaderReader, Scalar, Value, ValueType
from qwen3vl_edge.gguf_tensors import GGUFTensor, read_tensors
from qwen3vl_edge.split_names import parse_part_name, part_name

__all__ = ["GGUFArray", "GGUFInfo", "GGUFTensor"]

_VERSIONS = (2, 3)
# The least that one entry takes: a key of length 0 with a one-byte value; a tensor without dimensions.
_LEAST_VALUE_BYTES, _LEAST_TENSOR_BYTES = 8 + 4 + 1, 8 + 4 + 4 + 8


@dataclass(frozen=True, slots=True)
class GGUFInfo:
    """What a GGUF file says about itself; of a split model, all `paths` together, `path` being the first."""

    path: Path
    paths: tuple[Path, ...]
    version: int
    size_bytes: int
    metadata: Mapping[str, Value]
    kinds: Mapping[str, ValueType]
    """The type of each value of `metadata`, of an array that of its items."""
    tensors: tuple[GGUFTensor, ...]

    @classmethod
    def read(cls, path: Path) -> "GGUFInfo":
        """Read the header of `path`, and of the other parts if it is the first of a split model.

        Arrays in the metadata stay in the file until asked for.

        Raises:
            GGUFError: not a GGUF file, damaged, truncated, with tensors outside the file or out
                of place, not the first part of a split model, or a part of it missing.
        """
        first = cls._read_one(path)
        count = first.metadata.get("split.count", 1)
        return first if count == 1 else _joined(first, [cls._read_one(part) for part in _other_parts(first)])

    @classmethod
    def _read_one(cls, path: Path) -> "GGUFInfo":
        with HeaderReader(path) as reader:
            version = _version(reader)
            n_tensors, n_values = reader.unsigned(), reader.unsigned()
            if n_tensors * _LEAST_TENSOR_BYTES + n_values * _LEAST_VALUE_BYTES > reader.size:
                raise GGUFError(f"{path}: {n_tensors} tensors and {n_values} values do not fit the file")
            metadata, kinds = _metadata(reader, n_values)
            tensors = read_tensors(reader, n_tensors, _alignment(path, metadata))
            return cls(path, (path,), version, reader.size, metadata, kinds, tensors)

    @property
    def architecture(self) -> str:
        """Return general.architecture: qwen3vl, qwen3vlmoe or clip for the files of this project."""
        return self.text("general.architecture")

    @property
    def file_type(self) -> str | None:
        """Return the name of general.file_type ("mostly" this type), None when it is absent or unknown."""
        code = self.metadata.get("general.file_type")
        return FILE_TYPES.get(code) if isinstance(code, int) else None

    @property
    def n_parameters(self) -> int:
        """Return the number of values in all tensors."""
        return sum(tensor.n_elements for tensor in self.tensors)

    def text(self, key: str) -> str:
        """Return a string of the metadata.

        Raises:
            GGUFError: it is absent or of another type; so for the other accessors.
        """
        value = self.metadata.get(key)
        if not isinstance(value, str):
            raise self._lacks(key, "a string")
        return value

    def integer(self, key: str) -> int:
        """Return an integer of the metadata."""
        value = self.metadata.get(key)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self._lacks(key, "an integer")
        return value

    def number(self, key: str) -> float:
        """Return a number of the metadata."""
        value = self.metadata.get(key)
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise self._lacks(key, "a number")
        return float(value)

    def array(self, key: str) -> list[Scalar]:
        """Read an array of the metadata."""
        value = self.metadata.get(key)
        if not isinstance(value, GGUFArray):
            raise self._lacks(key, "an array")
        return value.values()

    def _lacks(self, key: str, wanted: str) -> GGUFError:
        found = "is missing" if key not in self.metadata else f"is not {wanted}"
        return GGUFError(f"{self.path}: {key} {found}; the file was not written for this model family")


def _other_parts(first: GGUFInfo) -> list[Path]:
    """Name the parts after the first (llama_split_path in src/llama.cpp, 0c1e57098)."""
    number, count, named = (
        first.integer("split.no"),
        first.integer("split.count"),
        parse_part_name(first.path.name),
    )
    if named is None or (named.number, named.count) != (number + 1, count):
        raise GGUFError(
            f"{first.path}: is part {number + 1} of {count}, which its name does not say; name it so again"
        )
    names = [part_name(named.stem, i + 1, count) for i in range(count)]
    if number != 0:
        raise GGUFError(f"{first.path}: is part {number + 1} of {count}; give the first, {names[0]}")
    return [first.path.with_name(name) for name in names[1:]]


def _joined(first: GGUFInfo, others: list[GGUFInfo]) -> GGUFInfo:
    """Put the parts of a split model together; the metadata is the first one's."""
    parts = [first, *others]
    for i, part in enumerate(parts):
        if (part.integer("split.no"), part.integer("split.count")) != (i, len(parts)):
            raise GGUFError(
                f"{part.path}: is not part {i + 1} of {len(parts)}; the parts do not belong together"
            )
    tensors = tuple(tensor for part in parts for tensor in part.tensors)
    if len({tensor.name for tensor in tensors}) != len(tensors) or len(tensors) != first.integer(
        "split.tensors.count"
    ):
        raise GGUFError(f"{first.path}: the parts do not hold each tensor once; they do not belong together")
    size_bytes = sum(part.size_bytes for part in parts)
    return replace(first, paths=tuple(part.path for part in parts), size_bytes=size_bytes, tensors=tensors)


def _version(reader: HeaderReader) -> int:
    if reader.size < len(MAGIC) or reader.take(len(MAGIC)) != MAGIC:
        raise GGUFError(f"{reader.path}: not a GGUF file (it does not begin with GGUF)")
    version = reader.unsigned(ValueType.UINT32)
    if version not in _VERSIONS:
        known = " and ".join(map(str, _VERSIONS))
        raise GGUFError(f"{reader.path}: GGUF version {version} is not supported, only {known}")
    return version


def _metadata(reader: HeaderReader, count: int) -> tuple[dict[str, Value], dict[str, ValueType]]:
    metadata: dict[str, Value] = {}
    kinds: dict[str, ValueType] = {}
    for _ in range(count):
        key = reader.text()
        if key in metadata:
            raise GGUFError(f"{reader.path}: metadata key {key!r:.80} stands there twice")
        kind = reader.kind()
        value = reader.value(kind)
        metadata[key], kinds[key] = value, value.item_type if isinstance(value, GGUFArray) else kind
    return metadata, kinds


def _alignment(path: Path, metadata: Mapping[str, Value]) -> int:
    value = metadata.get("general.alignment", ALIGNMENT)
    if not isinstance(value, int) or value < 1 or value & (value - 1) or value > 1 << 20:
        raise GGUFError(f"{path}: general.alignment is {value!r}, a power of two is expected")
    return value
