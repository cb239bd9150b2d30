"""The plan of quantizing GGUF files: the same model in other types."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from qwen3vl_edge.errors import GGUFError, UsageError, join_problems
from qwen3vl_edge.ggml_types import TYPES_BY_NAME
from qwen3vl_edge.gguf_info import GGUFInfo
from qwen3vl_edge.manifest import Role, Source
from qwen3vl_edge.quant.file_types import FileType, find_file_type
from qwen3vl_edge.quant.gguf_facts import (
    PROJECTOR_PREFIX,
    base_name,
    listed,
    parts_of,
    source_files,
    traits_of,
    unpadded,
)
from qwen3vl_edge.quant.gguf_source import FLOATS, GGUFSource
from qwen3vl_edge.quant.idle import refuse_idle_imatrix, refuse_idle_wishes, refuse_unmatched
from qwen3vl_edge.quant.imatrix import Imatrix
from qwen3vl_edge.quant.importance import Importance
from qwen3vl_edge.quant.metadata import changed, kept, of_type, of_width
from qwen3vl_edge.quant.mixes import ModelTraits
from qwen3vl_edge.quant.projector import WIDTH_KEY, of_projector, padded_width
from qwen3vl_edge.quant.recipe_note import recipe_note
from qwen3vl_edge.quant.recipes import Wishes
from qwen3vl_edge.quant.typed import Material, Typed, copied, padded, typed
from qwen3vl_edge.writing.gguf_header import KeyValue
from qwen3vl_edge.writing.names import refuse_unstorable_name, safe_name
from qwen3vl_edge.writing.planned import Draft, PlannedFile, WritePlan, lay_out
from qwen3vl_edge.writing.source import Cut

__all__ = ["QuantRecipe", "plan_quantization"]


@dataclass(frozen=True, slots=True)
class QuantRecipe:
    """What to make of GGUF files.

    Args:
        types: Of the language model, one file for each.
        projector_type: Of the projector; None: as it is.
        wishes: What the user wants otherwise than the recipes.
        imatrix: How much errors matter, by tensor and column.
        keep_split: Cut the language model where the source is cut.
        allow_requantize: Whether tensors that are quantized already may be quantized again.
    """

    types: tuple[str, ...]
    projector_type: str | None = None
    wishes: Wishes = field(default_factory=Wishes)
    imatrix: Imatrix | None = None
    keep_split: bool = False
    allow_requantize: bool = False


def plan_quantization(
    model: GGUFInfo | None, projector: GGUFInfo | None, recipe: QuantRecipe, *, name: str | None = None
) -> WritePlan:
    """Plan the types and places of all tensors.

    Args:
        model: The language model, all of its parts; None: `recipe.types` are the projector's.
        projector: None: only the language model is quantized.
        recipe: What to make of them.
        name: ``general.name``, and in the names of the files; None: the source's, without its type.

    Raises:
        UsageError: an unknown type, one that needs an importance matrix, or what would change nothing.
        GGUFError: a tensor is quantized already, the matrix is of another model, or a file is not of
            this model family.
    """
    refuse_unstorable_name(name)
    types = list(dict.fromkeys(map(find_file_type, recipe.types)))
    own = None if recipe.projector_type is None else find_file_type(recipe.projector_type)
    halves = _halves(model, projector, types, own)
    base = safe_name(base_name(halves[0].info) if name is None else name)
    files = [file for output in _outputs(halves, recipe) for file in _laid_out(output, base, name, recipe)]
    note = recipe_note(types, own, recipe.wishes, recipe.imatrix, allow_requantize=recipe.allow_requantize)
    source = Source(
        str(halves[0].info.path.parent), tuple(file for half in halves for file in source_files(half.info))
    )
    inputs = tuple(path for half in halves for path in half.info.paths)
    return WritePlan(base, source, tuple(files), inputs=inputs, recipe=note)


@dataclass(frozen=True, slots=True)
class _Half:
    """The language model or the projector, and the types that it gets; without any it is copied."""

    info: GGUFInfo
    role: Role
    types: Sequence[FileType]


@dataclass(frozen=True, slots=True)
class _Output:
    """One of the files to make; `wanted` is None for a copy."""

    half: _Half
    wanted: FileType | None
    made: Typed


def _outputs(halves: Sequence[_Half], recipe: QuantRecipe) -> list[_Output]:
    """Choose all types, and refuse what the user wants but no tensor can have."""
    wishes, imatrix = recipe.wishes, recipe.imatrix
    quantized = [half for half in halves if half.types]
    refuse_unmatched([item for half in quantized for item in listed(half.info)], wishes.overrides)
    importance = imatrix.for_tensors(unpadded([half.info for half in quantized])) if imatrix else {}
    outputs = []
    for half in halves:
        for wanted in half.types or (None,):
            outputs.append(_Output(half, wanted, _typed(half, wanted, recipe, importance)))  # noqa: PERF401
    refuse_idle_wishes([choice for output in outputs for choice in output.made.choices], wishes)
    refuse_idle_imatrix(imatrix, sum(output.made.n_importances for output in outputs))
    return outputs


def _halves(
    model: GGUFInfo | None, projector: GGUFInfo | None, types: Sequence[FileType], own: FileType | None
) -> list[_Half]:
    if own is not None and (model is None or projector is None):
        missing = "language model; --type is the projector's" if model is None else "projector"
        raise UsageError(f"--projector-type: there is no {missing}; leave it out")
    halves = [_Half(model, "model", types)] if model is not None else []
    if projector is not None:
        of_projector = types if model is None else [] if own is None else [own]
        halves.append(_Half(projector, "projector", of_projector))
    return halves


def _typed(half: _Half, wanted: FileType | None, recipe: QuantRecipe, importance: Importance) -> Typed:
    """Choose the types of one file: a projector has a recipe of its own, one type for all, the MLP padded."""
    info = half.info
    materials = [
        Material(item.name, item.shape, TYPES_BY_NAME[item.type_name], GGUFSource(item), Cut())
        for item in info.tensors
    ]
    if wanted is None:
        return copied(materials)
    if half.role == "projector":
        materials = padded(materials, padded_width(info.integer(WIDTH_KEY), wanted.base))
        made = typed(materials, wanted, ModelTraits(), of_projector(recipe.wishes), importance)
    else:
        kept = recipe.keep_split
        made = typed(materials, wanted, traits_of(info), recipe.wishes, importance, in_file_order=kept)
    if not recipe.allow_requantize:
        _refuse_requantizing(half.info, made)
    return made


def _refuse_requantizing(info: GGUFInfo, made: Typed) -> None:
    before = {item.name: item.type_name for item in info.tensors}
    again = [
        f"{tensor.name} ({before[tensor.name]})"
        for tensor in made.tensors
        if before[tensor.name] not in FLOATS and not tensor.copied
    ]
    if again:
        raise GGUFError(
            f"{info.path}: is quantized already: {join_problems(again, 3)}; start from the original, "
            "or accept the double loss with --allow-requantize"
        )


def _laid_out(output: _Output, base: str, name: str | None, recipe: QuantRecipe) -> Iterator[PlannedFile]:
    info, role, wanted = output.half.info, output.half.role, output.wanted
    kind = wanted.name if wanted else info.file_type or "own"
    stem = f"{PROJECTOR_PREFIX if role == 'projector' else ''}{base}-{kind}"
    entries = changed(kept(info, name), _changes(output, recipe.imatrix))
    draft = Draft(role, stem, kind, entries, output.made.tensors)
    return lay_out(draft, parts=parts_of(info) if recipe.keep_split and role == "model" else None)


def _changes(output: _Output, imatrix: Imatrix | None) -> list[KeyValue]:
    """Return the metadata that quantizing changes."""
    if output.wanted is None:
        return []
    changes = of_type(output.wanted)
    if output.half.role == "projector":
        info = output.half.info
        changes += of_width(info, padded_width(info.integer(WIDTH_KEY), output.wanted.base))
    return [*changes, *(imatrix.metadata(output.made.n_importances) if imatrix else ())]
