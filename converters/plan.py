"""What a conversion will write, down to the byte, before it writes anything."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path

from qwen3vl_edge.checkpoint import SINGLE_NAME, Checkpoint, TensorRef
from qwen3vl_edge.converters.general_metadata import GeneralMetadata
from qwen3vl_edge.converters.gguf_header import KeyValue, TensorEntry, encode_header, padding
from qwen3vl_edge.converters.metadata import model_metadata, projector_metadata
from qwen3vl_edge.converters.origin import Origin
from qwen3vl_edge.converters.overrides import Override, apply_overrides
from qwen3vl_edge.converters.sources import Cut, Source
from qwen3vl_edge.converters.split import split_indices, split_metadata
from qwen3vl_edge.converters.tensor_map import Mapped, expected_tensors, map_tensors
from qwen3vl_edge.converters.tensor_types import MODEL_TYPES, PROJECTOR_TYPES, choose_type
from qwen3vl_edge.converters.vocab import Vocab
from qwen3vl_edge.errors import UsageError
from qwen3vl_edge.ggml_types import TYPES_BY_NAME, TensorType
from qwen3vl_edge.hf_config import read_config
from qwen3vl_edge.hf_defaults import PreprocessorDefaults
from qwen3vl_edge.input_files import check_folder
from qwen3vl_edge.manifest import Role
from qwen3vl_edge.model_config import ModelConfig
from qwen3vl_edge.safetensors_header import ITEM_BYTES
from qwen3vl_edge.split_names import part_name

__all__ = [
    "ConversionPlan",
    "PlannedFile",
    "PlannedTensor",
    "Recipe",
    "known_type",
    "plan_conversion",
    "safe_name",
]


@dataclass(frozen=True, slots=True)
class Recipe:
    """What to make of a checkpoint.

    Args:
        types: Of the language model, one file for each: names of `MODEL_TYPES`.
        projector_type: A name of `PROJECTOR_TYPES`.
        name: Of the bundle and of the model; None: after the repository or folder.
        split_max_bytes: Cut the language model into parts of at most so many bytes of tensors.
        overrides: Metadata that the user wants otherwise.
        origin: Where on the hub the checkpoint comes from.
    """

    types: tuple[str, ...] = ("bf16",)
    projector_type: str = "f16"
    name: str | None = None
    split_max_bytes: int | None = None
    overrides: tuple[Override, ...] = ()
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class PlannedTensor:
    """One tensor to write: `shape` row-major, `offset` in bytes from the start of its file."""

    name: str
    source: Source
    cut: Cut
    shape: tuple[int, ...]
    kind: TensorType
    offset: int

    @property
    def nbytes(self) -> int:
        """Return the bytes of the tensor without padding."""
        return self.kind.nbytes(self.shape)


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
        return sum(tensor.nbytes + padding(tensor.nbytes) for tensor in self.tensors)

    @property
    def tensor_types(self) -> Mapping[str, int]:
        """Return how many tensors there are of each type."""
        return dict(sorted(Counter(tensor.kind.name for tensor in self.tensors).items()))


@dataclass(frozen=True, slots=True)
class ConversionPlan:
    """The files of a bundle, all parts of all language models first, and what they are made from."""

    name: str
    checkpoint: Checkpoint
    has_weights: bool
    origin: Origin | None
    files: tuple[PlannedFile, ...]

    @property
    def n_bytes(self) -> int:
        """Return the size of all files."""
        return sum(file.n_bytes for file in self.files)

    @property
    def data_bytes(self) -> int:
        """Return the bytes of all tensors of all files."""
        return sum(file.data_bytes for file in self.files)


def plan_conversion(folder: Path, recipe: Recipe, *, from_config: bool = False) -> ConversionPlan:
    """Read everything of the checkpoint but its values, and check that all of it can be converted.

    With `from_config` the folder needs no weights and no tokenizer: the tensors are those that
    config.json implies, in the published layout. Such a plan can be looked at, not run.

    Raises:
        UsageError: an unknown type, or `folder` is not a checkpoint folder.
        CheckpointError: what is wrong with the checkpoint, all of a kind in one line.
    """
    types = [known_type(name, MODEL_TYPES, "--type") for name in recipe.types]
    projector_type = known_type(recipe.projector_type, PROJECTOR_TYPES, "--projector-type")
    if from_config:
        check_folder(folder)
    checkpoint = None if from_config else Checkpoint.open(folder)
    config = read_config(folder)
    checkpoint = checkpoint or _implied_checkpoint(folder, config)
    model, projector = map_tensors(checkpoint, config)
    general = GeneralMetadata.read(folder, name=recipe.name, origin=recipe.origin)
    base = safe_name(recipe.name or general.base)
    limits = PreprocessorDefaults.read(folder, config.vision.token_side_px)
    has_vocab = not from_config or any((folder / name).exists() for name in ("tokenizer.json", "vocab.json"))
    vocab = Vocab.read(folder, config) if has_vocab else None

    def model_draft(kind: TensorType, code: int) -> _Draft:
        entries = general.entries("model", _shapes(model), quantized=kind.block > 1)
        metadata = model_metadata(config, vocab, entries, code)
        return _Draft("model", f"{base}-{kind.name}", kind, metadata, model)

    def projector_draft(kind: TensorType, code: int) -> _Draft:
        entries = general.entries("mmproj", _shapes(projector), quantized=kind.block > 1)
        metadata = projector_metadata(config, limits, entries, code)
        return _Draft("projector", f"mmproj-{base}-{kind.name}", kind, metadata, projector)

    drafts = [*(model_draft(*wanted) for wanted in dict.fromkeys(types)), projector_draft(*projector_type)]
    final = apply_overrides([draft.metadata for draft in drafts], recipe.overrides)
    files = [
        file
        for draft, metadata in zip(drafts, final, strict=True)
        for file in _laid_out(replace(draft, metadata=metadata), recipe.split_max_bytes)
    ]
    return ConversionPlan(base, checkpoint, not from_config, general.origin, tuple(files))


def safe_name(name: str) -> str:
    """Make a name that every file system takes: letters, digits, dot, dash and underscore."""
    cleaned = re.sub(r"[^\w.-]+", "-", name.strip()).strip("-.")
    if not cleaned:
        raise UsageError(f"{name!r} cannot be made into a file name; give one with --name")
    return cleaned[:120]


def known_type(name: str, types: Mapping[str, int], option: str) -> tuple[TensorType, int]:
    """Look up a type whatever its case; returns it with its general.file_type.

    Raises:
        UsageError: `option` does not know it.
    """
    for known, code in types.items():
        if known.lower() == name.lower():
            return TYPES_BY_NAME[known.upper()], code
    raise UsageError(f"{option} {name!r} is not one of {', '.join(types)}")


def _implied_checkpoint(folder: Path, config: ModelConfig) -> Checkpoint:
    """Make up the tensors that config.json implies."""
    refs, offset = [], 0
    for name, shape in expected_tensors(config):
        nbytes = prod(shape) * ITEM_BYTES["BF16"]
        refs.append(TensorRef(name, "BF16", shape, folder / SINGLE_NAME, offset, nbytes))
        offset += nbytes
    return Checkpoint(folder, (), tuple(refs))


@dataclass(frozen=True, slots=True)
class _Draft:
    """One model, before it is laid out in one file or in parts."""

    role: Role
    stem: str
    kind: TensorType
    metadata: tuple[KeyValue, ...]
    tensors: Sequence[Mapped]


def _laid_out(draft: _Draft, split_max_bytes: int | None) -> Iterator[PlannedFile]:
    """Give the files of a model; only a language model is ever split."""
    kinds = [choose_type(item.target, item.shape, draft.kind.name) for item in draft.tensors]
    sizes = [kind.nbytes(item.shape) for kind, item in zip(kinds, draft.tensors, strict=True)]
    parts = split_indices(sizes, split_max_bytes if draft.role == "model" else None)
    for i, indices in enumerate(parts):
        metadata = draft.metadata if i == 0 else ()
        if len(parts) > 1:
            metadata += split_metadata(i, len(parts), len(sizes))
        chosen = [(draft.tensors[j], kinds[j]) for j in indices]
        header = encode_header(
            metadata, [TensorEntry(item.target, item.shape, kind) for item, kind in chosen]
        )
        yield PlannedFile(
            role=draft.role,
            name=f"{draft.stem}.gguf" if len(parts) == 1 else part_name(draft.stem, i + 1, len(parts)),
            type=draft.kind.name,
            part=i + 1,
            n_parts=len(parts),
            header=header,
            tensors=tuple(_placed(chosen, len(header))),
        )


def _placed(chosen: Sequence[tuple[Mapped, TensorType]], offset: int) -> Iterator[PlannedTensor]:
    for item, kind in chosen:
        yield PlannedTensor(item.target, item.source, item.cut, item.shape, kind, offset)
        nbytes = kind.nbytes(item.shape)
        offset += nbytes + padding(nbytes)


def _shapes(mapped: Sequence[Mapped]) -> list[tuple[str, tuple[int, ...]]]:
    return [(item.target, item.shape) for item in mapped]
