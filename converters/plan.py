"""What a conversion will write, down to the byte, before it writes anything."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path

from qwen3vl_edge.checkpoint import SINGLE_NAME, Checkpoint, TensorRef
from qwen3vl_edge.converters.general_metadata import GeneralMetadata
from qwen3vl_edge.converters.metadata import model_metadata, projector_metadata
from qwen3vl_edge.converters.origin import Origin
from qwen3vl_edge.converters.overrides import Override, apply_overrides
from qwen3vl_edge.converters.source_files import source_files
from qwen3vl_edge.converters.tensor_map import Mapped, expected_tensors, map_tensors
from qwen3vl_edge.converters.tensor_types import choose_type
from qwen3vl_edge.converters.vocab import Vocab
from qwen3vl_edge.errors import UsageError
from qwen3vl_edge.hf_config import read_config
from qwen3vl_edge.hf_defaults import PreprocessorDefaults
from qwen3vl_edge.hub.contents import shard_names
from qwen3vl_edge.input_files import check_folder
from qwen3vl_edge.manifest import Source
from qwen3vl_edge.model_config import ModelConfig
from qwen3vl_edge.quant import (
    FileType,
    ModelTraits,
    SourceTensor,
    Wishes,
    choose_types,
    find_file_type,
    refuse_unmatched,
)
from qwen3vl_edge.quant.imatrix import Imatrix
from qwen3vl_edge.quant.importance import Importance, importance_of, refuse_missing_importance
from qwen3vl_edge.quant.projector import added_columns, of_projector, padded_shape, padded_width
from qwen3vl_edge.safetensors_header import ITEM_BYTES
from qwen3vl_edge.writing import Draft, PlannedFile, PlannedTensor, WritePlan, lay_out
from qwen3vl_edge.writing.gguf_header import KeyValue

__all__ = ["Recipe", "has_weights", "model_tensors", "plan_conversion", "safe_name"]

_NAME_BYTES = 200  # file systems take 255, and prefix, type, part and ending are still to come


@dataclass(frozen=True, slots=True)
class Recipe:
    """What to make of a checkpoint.

    Args:
        types: Of the language model, one file for each: names of `quant.QUANTIZED_FILE_TYPES`.
        projector_type: Likewise.
        name: Of the bundle and of the model; None: after the repository or folder.
        split_max_bytes: Cut the language model into parts of at most so many bytes of tensors.
        overrides: Metadata that the user wants otherwise.
        origin: Where on the hub the checkpoint comes from.
        wishes: Types that the user wants otherwise than the recipes.
        imatrix: How much errors matter, by tensor and column.
    """

    types: tuple[str, ...] = ("bf16",)
    projector_type: str = "f16"
    name: str | None = None
    split_max_bytes: int | None = None
    overrides: tuple[Override, ...] = ()
    origin: Origin | None = None
    wishes: Wishes = field(default_factory=Wishes)
    imatrix: Imatrix | None = None


def plan_conversion(folder: Path, recipe: Recipe, *, from_config: bool = False) -> WritePlan:
    """Read everything of the checkpoint but its values, and check that all of it can be converted.

    With `from_config` the folder needs no weights and no tokenizer: the tensors are those that
    config.json implies, in the published layout. Such a plan can be looked at, not run.

    Raises:
        UsageError: an unknown type, or `folder` is not a checkpoint folder.
        CheckpointError: what is wrong with the checkpoint, all of a kind in one line.
    """
    types = dict.fromkeys(find_file_type(name) for name in recipe.types)
    projector_type = find_file_type(recipe.projector_type)
    found = _Found.read(folder, recipe, from_config=from_config)
    drafts = [*(found.model_draft(wanted) for wanted in types), found.projector_draft(projector_type)]
    final = apply_overrides([draft.metadata for draft in drafts], recipe.overrides)
    files: list[PlannedFile] = []
    for draft, metadata in zip(drafts, final, strict=True):
        limit = recipe.split_max_bytes if draft.role == "model" else None
        files += lay_out(replace(draft, metadata=metadata), split_max_bytes=limit)
    return WritePlan(found.base, found.source(), tuple(files), has_weights=not from_config)


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """All that a checkpoint says, and what the user wants of it."""

    recipe: Recipe
    checkpoint: Checkpoint
    config: ModelConfig
    model: Sequence[Mapped]
    projector: Sequence[Mapped]
    general: GeneralMetadata
    limits: PreprocessorDefaults
    vocab: Vocab | None
    importance: Importance

    @classmethod
    def read(cls, folder: Path, recipe: Recipe, *, from_config: bool) -> "_Found":
        """Read and check everything but the values; raises as `plan_conversion`."""
        if from_config:
            check_folder(folder)
        checkpoint = None if from_config else Checkpoint.open(folder)
        config = read_config(folder)
        checkpoint = checkpoint or _implied_checkpoint(folder, config)
        model, projector = map_tensors(checkpoint, config)
        refuse_unmatched(_listed([*model, *projector]), recipe.wishes.overrides)
        shapes = [*_shapes(model), *_shapes(projector)]
        has_vocab = any((folder / name).exists() for name in ("tokenizer.json", "vocab.json"))
        return cls(
            recipe=recipe,
            checkpoint=checkpoint,
            config=config,
            model=model,
            projector=projector,
            general=GeneralMetadata.read(folder, name=recipe.name, origin=recipe.origin),
            limits=PreprocessorDefaults.read(folder, config.vision.token_side_px),
            vocab=Vocab.read(folder, config) if has_vocab or not from_config else None,
            importance=recipe.imatrix.for_tensors(shapes) if recipe.imatrix else {},
        )

    @property
    def base(self) -> str:
        """Return what all file names begin with."""
        return safe_name(self.recipe.name or self.general.base)

    def source(self) -> Source:
        """Return what the manifest says of the checkpoint."""
        files, origin = source_files(self.checkpoint), self.general.origin
        if origin is None:
            return Source(str(self.checkpoint.folder), files)
        return Source(origin.repository, files, origin.revision)

    def model_draft(self, wanted: FileType) -> Draft:
        """Draft the language model by llama.cpp's recipe."""
        entries = self.general.entries("model", _shapes(self.model), quantized=wanted.base.block > 1)
        metadata = model_metadata(self.config, self.vocab, entries, wanted.code) + self._of_matrix()
        tensors = self._typed(self.model, wanted, _traits(self.config), self.recipe.wishes)
        return Draft("model", f"{self.base}-{wanted.name}", wanted.name, metadata, tensors)

    def projector_draft(self, wanted: FileType) -> Draft:
        """Draft the projector by its own recipe: one type for all, the MLP padded."""
        entries = self.general.entries("mmproj", _shapes(self.projector), quantized=wanted.base.block > 1)
        width = padded_width(self.config.vision.ffn, wanted.base)
        metadata = projector_metadata(self.config, self.limits, entries, wanted.code, width)
        pure = of_projector(self.recipe.wishes)
        padded = [_padded(item, width) for item in self.projector]
        tensors = self._typed(padded, wanted, ModelTraits(), pure)
        stem = f"mmproj-{self.base}-{wanted.name}"
        return Draft("projector", stem, wanted.name, metadata + self._of_matrix(), tensors)

    def _of_matrix(self) -> tuple[KeyValue, ...]:
        return self.recipe.imatrix.metadata() if self.recipe.imatrix else ()

    def _typed(
        self, mapped: Sequence[Mapped], wanted: FileType, traits: ModelTraits, wishes: Wishes
    ) -> list[PlannedTensor]:
        """Choose the type of each tensor of one file."""
        before = "F16" if wanted.base.block > 1 else wanted.base.name
        has_imatrix = self.recipe.imatrix is not None
        choices = choose_types(_listed(mapped, before), wanted, traits, wishes, has_imatrix=has_imatrix)
        refuse_missing_importance(wanted, choices, self.importance)
        return [
            PlannedTensor(
                name=item.target,
                shape=item.shape,
                kind=choice.kind,
                source=item.source,
                cut=item.cut,
                why=choice.why,
                importance=importance_of(item.target, item.shape, self.importance),
            )
            for item, choice in zip(mapped, choices.values(), strict=True)
        ]


def has_weights(folder: Path) -> bool:
    """Whether all files of weights that a checkpoint names are there, as they are not after half a download.

    Raises:
        CheckpointError: the index cannot be read.
    """
    return all((folder / name).exists() for name in shard_names(folder))


def model_tensors(folder: Path) -> tuple[list[SourceTensor], ModelTraits]:
    """List what the language model of a checkpoint has to quantize, from config.json alone.

    Raises:
        CheckpointError: every fault of the file.
    """
    check_folder(folder)
    config = read_config(folder)
    model, _ = map_tensors(_implied_checkpoint(folder, config), config)
    return _listed(model), _traits(config)


def _traits(config: ModelConfig) -> ModelTraits:
    text = config.text
    n_experts = text.moe.n_experts if text.moe else 0
    return ModelTraits(text.n_layers, text.n_heads, text.n_kv_heads, n_experts)


def safe_name(name: str) -> str:
    """Make a name that every file system takes: letters, digits, dot, dash and underscore."""
    cleaned = re.sub(r"[^\w.-]+", "-", name.strip()).strip("-.")
    if not cleaned:
        raise UsageError(f"{name!r} cannot be made into a file name; give one with --name")
    return cleaned.encode()[:_NAME_BYTES].decode(errors="ignore")


def _implied_checkpoint(folder: Path, config: ModelConfig) -> Checkpoint:
    """Make up the tensors that config.json implies."""
    refs, offset = [], 0
    for name, shape in expected_tensors(config):
        nbytes = prod(shape) * ITEM_BYTES["BF16"]
        refs.append(TensorRef(name, "BF16", shape, folder / SINGLE_NAME, offset, nbytes))
        offset += nbytes
    return Checkpoint(folder, (), tuple(refs))


def _padded(item: Mapped, width: int) -> Mapped:
    """Make the vision MLP `width` wide."""
    shape = padded_shape(item.target, item.shape, width)
    return replace(item, shape=shape, cut=replace(item.cut, zero_columns=added_columns(item.shape, shape)))


def _listed(mapped: Sequence[Mapped], before: str = "F16") -> list[SourceTensor]:
    """List tensors with the types that a file of the floats `before` would have: what is kept keeps it."""
    return [(item.target, item.shape, choose_type(item.target, item.shape, before)) for item in mapped]


def _shapes(mapped: Sequence[Mapped]) -> list[tuple[str, tuple[int, ...]]]:
    return [(item.target, item.shape) for item in mapped]
