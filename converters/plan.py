"""What a conversion will write, down to the byte, before it writes anything."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from typing import Literal

from qwen3vl_edge.checkpoint import SINGLE_NAME, Checkpoint, TensorRef
from qwen3vl_edge.converters.general_metadata import GeneralMetadata
from qwen3vl_edge.converters.metadata import model_metadata, projector_metadata
from qwen3vl_edge.converters.origin import Origin
from qwen3vl_edge.converters.overrides import Override, apply_overrides
from qwen3vl_edge.converters.source_files import source_files
from qwen3vl_edge.converters.tensor_map import Mapped, expected_tensors, map_tensors
from qwen3vl_edge.converters.tensor_types import choose_type
from qwen3vl_edge.converters.vocab import Vocab
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
    find_file_type,
)
from qwen3vl_edge.quant.idle import refuse_idle_imatrix, refuse_idle_wishes, refuse_unmatched
from qwen3vl_edge.quant.imatrix import Imatrix
from qwen3vl_edge.quant.importance import Importance
from qwen3vl_edge.quant.projector import of_projector, padded_width
from qwen3vl_edge.quant.recipe_note import recipe_note
from qwen3vl_edge.quant.typed import Material, Typed, padded, typed
from qwen3vl_edge.safetensors_header import ITEM_BYTES
from qwen3vl_edge.writing import Draft, PlannedFile, WritePlan, lay_out
from qwen3vl_edge.writing.names import safe_name

__all__ = ["Recipe", "has_weights", "model_tensors", "plan_conversion"]


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
    made = [
        *((wanted, found.model(wanted)) for wanted in types),
        (projector_type, found.projector(projector_type)),
    ]
    refuse_idle_wishes([choice for _, tensors in made for choice in tensors.choices], recipe.wishes)
    refuse_idle_imatrix(recipe.imatrix, sum(tensors.n_importances for _, tensors in made))
    drafts = [
        found.draft(wanted, tensors, is_model=i < len(types)) for i, (wanted, tensors) in enumerate(made)
    ]
    final = apply_overrides([draft.metadata for draft in drafts], recipe.overrides)
    files: list[PlannedFile] = []
    for draft, metadata in zip(drafts, final, strict=True):
        limit = recipe.split_max_bytes if draft.role == "model" else None
        files += lay_out(replace(draft, metadata=metadata), split_max_bytes=limit)
    return WritePlan(
        found.base,
        found.source(),
        tuple(files),
        has_weights=not from_config,
        inputs=(folder / "config.json", *found.checkpoint.shards),
        recipe=recipe_note(list(types), projector_type, recipe.wishes, recipe.imatrix),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """All that a checkpoint says, and what the user wants of it."""

    recipe: Recipe
    checkpoint: Checkpoint
    config: ModelConfig
    model_tensors: Sequence[Mapped]
    projector_tensors: Sequence[Mapped]
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
            model_tensors=model,
            projector_tensors=projector,
            general=GeneralMetadata.read(folder, name=recipe.name, origin=recipe.origin),
            limits=PreprocessorDefaults.read(folder, config.vision.token_side_px),
            vocab=Vocab.read(folder, config) if has_vocab or not from_config else None,
            importance=recipe.imatrix.for_tensors(shapes) if recipe.imatrix else {},
        )

    @property
    def base(self) -> str:
        """Return what all file names begin with."""
        return safe_name(self.general.base if self.recipe.name is None else self.recipe.name)

    def source(self) -> Source:
        """Return what the manifest says of the checkpoint."""
        files, origin = source_files(self.checkpoint), self.general.origin
        if origin is None:
            return Source(str(self.checkpoint.folder), files)
        return Source(origin.repository, files, origin.revision)

    def model(self, wanted: FileType) -> Typed:
        """Choose the types of the language model by llama.cpp's recipe."""
        materials = _materials(self.model_tensors, wanted)
        return typed(materials, wanted, _traits(self.config), self.recipe.wishes, self.importance)

    def projector(self, wanted: FileType) -> Typed:
        """Choose the types of the projector by its own recipe: one for all, the MLP padded."""
        materials = padded(_materials(self.projector_tensors, wanted), self._width(wanted))
        return typed(materials, wanted, ModelTraits(), of_projector(self.recipe.wishes), self.importance)

    def draft(self, wanted: FileType, made: Typed, *, is_model: bool) -> Draft:
        """Put tensors and metadata of one file together."""
        shapes = _shapes(self.model_tensors if is_model else self.projector_tensors)
        kind: Literal["model", "mmproj"] = "model" if is_model else "mmproj"
        general = self.general.entries(kind, shapes, quantized=wanted.base.block > 1)
        metadata = (
            model_metadata(self.config, self.vocab, general, wanted.code)
            if is_model
            else projector_metadata(self.config, self.limits, general, wanted.code, self._width(wanted))
        )
        if self.recipe.imatrix:
            metadata += self.recipe.imatrix.metadata(made.n_importances)
        stem = f"{'' if is_model else 'mmproj-'}{self.base}-{wanted.name}"
        return Draft("model" if is_model else "projector", stem, wanted.name, metadata, made.tensors)

    def _width(self, wanted: FileType) -> int:
        return padded_width(self.config.vision.ffn, wanted.base)


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


def _implied_checkpoint(folder: Path, config: ModelConfig) -> Checkpoint:
    """Make up the tensors that config.json implies."""
    refs, offset = [], 0
    for name, shape in expected_tensors(config):
        nbytes = prod(shape) * ITEM_BYTES["BF16"]
        refs.append(TensorRef(name, "BF16", shape, folder / SINGLE_NAME, offset, nbytes))
        offset += nbytes
    return Checkpoint(folder, (), tuple(refs))


def _materials(mapped: Sequence[Mapped], wanted: FileType) -> list[Material]:
    """Give the tensors of one file; what is kept has the type that a file of floats would have it in."""
    before = "F16" if wanted.base.block > 1 else wanted.base.name
    listed = zip(mapped, _listed(mapped, before), strict=True)
    return [Material(item.target, item.shape, kind, item.source, item.cut) for item, (_, _, kind) in listed]


def _listed(mapped: Sequence[Mapped], before: str = "F16") -> list[SourceTensor]:
    """List tensors with the types that a file of the floats `before` would have: what is kept keeps it."""
    return [(item.target, item.shape, choose_type(item.target, item.shape, before)) for item in mapped]


def _shapes(mapped: Sequence[Mapped]) -> list[tuple[str, tuple[int, ...]]]:
    return [(item.target, item.shape) for item in mapped]
