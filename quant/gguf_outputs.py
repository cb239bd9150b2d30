"""The tensors of GGUF files get their types."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from qwen3vl_edge.errors import GGUFError, UsageError, join_problems
from qwen3vl_edge.ggml_types import TYPES_BY_NAME
from qwen3vl_edge.gguf_info import GGUFInfo
from qwen3vl_edge.manifest import Role
from qwen3vl_edge.quant.allocation.halves import Half
from qwen3vl_edge.quant.assignment import Assignment, label_of
from qwen3vl_edge.quant.file_types import FileType, find_file_type, ordered_file_type
from qwen3vl_edge.quant.gguf_facts import (
    listed,
    traits_of,
    unpadded,
)
from qwen3vl_edge.quant.gguf_source import FLOATS, GGUFSource
from qwen3vl_edge.quant.idle import refuse_idle_imatrix, refuse_idle_wishes, refuse_unmatched
from qwen3vl_edge.quant.imatrix import Imatrix
from qwen3vl_edge.quant.importance import Importance
from qwen3vl_edge.quant.mixes import ModelTraits
from qwen3vl_edge.quant.projector import WIDTH_KEY, of_projector, padded_width
from qwen3vl_edge.quant.typed import Material, Typed, assigned, copied, padded, typed
from qwen3vl_edge.quant.wishes import Wishes
from qwen3vl_edge.writing.source import Cut

__all__ = ["GGUFHalf", "Output", "QuantRecipe", "halves_of", "ordered_halves", "outputs_of"]


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
        assignment: Types tensor by tensor, in place of `types`; a half that it has none for is copied.
    """

    types: tuple[str, ...]
    projector_type: str | None = None
    wishes: Wishes = field(default_factory=Wishes)
    imatrix: Imatrix | None = None
    keep_split: bool = False
    allow_requantize: bool = False
    assignment: Assignment | None = None


@dataclass(frozen=True, slots=True)
class GGUFHalf:
    """The language model or the projector, and what it gets: types, a table of them, or else it is copied."""

    info: GGUFInfo
    role: Role
    types: Sequence[FileType]
    assignment: Assignment | None = None

    @property
    def width(self) -> int:
        """Return the hidden width of the projector's MLP."""
        return self.info.integer(WIDTH_KEY)

    def wishes(self, wishes: Wishes) -> Wishes:
        """Return what of the user's wishes is for this half."""
        return of_projector(wishes) if self.role == "projector" else wishes


@dataclass(frozen=True, slots=True)
class Output:
    """One of the files to make; `wanted` is None for a copy, `width` that of the projector's MLP then."""

    half: GGUFHalf
    wanted: FileType | None
    made: Typed
    width: int = 0


def _importance(halves: Sequence[GGUFHalf], imatrix: Imatrix | None) -> Importance:
    return imatrix.for_tensors(unpadded([half.info for half in halves])) if imatrix else {}


def outputs_of(halves: Sequence[GGUFHalf], recipe: QuantRecipe) -> list[Output]:
    """Choose all types, and refuse what the user wants but no tensor can have.

    Raises:
        UsageError, GGUFError: as `quantize.plan_quantization`.
    """
    wishes, imatrix = recipe.wishes, recipe.imatrix
    quantized = [half for half in halves if half.types or half.assignment]
    refuse_unmatched([item for half in quantized for item in listed(half.info)], wishes.overrides)
    importance = _importance(quantized, imatrix)
    outputs = []
    for half in halves:
        for wanted in half.types or (None,):
            outputs.append(_typed(half, wanted, recipe, importance))  # noqa: PERF401
    refuse_idle_wishes([choice for output in outputs for choice in output.made.choices], wishes)
    if not (recipe.assignment and recipe.assignment.is_measured):
        refuse_idle_imatrix(imatrix, sum(output.made.n_importances for output in outputs))
    return _labelled(outputs)


def _labelled(outputs: Sequence[Output]) -> list[Output]:
    """Name the files of ordered types by the bits a weight of all files together."""
    tensors = [tensor for output in outputs for tensor in output.made.tensors]
    n_weights = sum(item.n_elements for output in outputs for item in output.half.info.tensors)
    label = label_of(sum(tensor.nbytes for tensor in tensors), n_weights)
    return [
        replace(output, wanted=ordered_file_type(label, [(t.shape, t.kind) for t in output.made.tensors]))
        if output.half.assignment
        else output
        for output in outputs
    ]


def halves_of(
    model: GGUFInfo | None,
    projector: GGUFInfo | None,
    types: Sequence[FileType],
    own: FileType | None,
    assignment: Assignment | None,
) -> list[GGUFHalf]:
    """Say what the language model and the projector get.

    Args:
        model: The language model; None: `types` are the projector's.
        projector: The projector, if it is there.
        types: One file for each.
        own: The projector's type beside a language model; None: it is copied.
        assignment: Types tensor by tensor, where there are any.

    Raises:
        UsageError: `own` has nothing that it could be for, or `assignment` is for what is not there.
    """
    if own is not None and (model is None or projector is None):
        missing = "language model; --type is the projector's" if model is None else "projector"
        raise UsageError(f"--projector-type: there is no {missing}; leave it out")
    tables = {
        is_projector: assignment if assignment and assignment.is_of(projector=is_projector) else None
        for is_projector in (False, True)
    }
    halves = [GGUFHalf(model, "model", types, tables[False])] if model is not None else []
    if projector is not None:
        of_projector = types if model is None else [] if own is None else [own]
        halves.append(GGUFHalf(projector, "projector", of_projector, None if own else tables[True]))
    if assignment and not any(half.assignment for half in halves):
        raise UsageError(f"{assignment.why}: is of the other half of a model; give the recipe of this one")
    return halves


def _materials(info: GGUFInfo) -> list[Material]:
    return [
        Material(item.name, item.shape, TYPES_BY_NAME[item.type_name], GGUFSource(item), Cut())
        for item in info.tensors
    ]


def _typed(half: GGUFHalf, wanted: FileType | None, recipe: QuantRecipe, importance: Importance) -> Output:
    """Choose the types of one file: a projector has a recipe of its own, one type for all, the MLP padded."""
    materials, wishes = _materials(half.info), half.wishes(recipe.wishes)
    width = _new_width(half, wanted)
    if width:
        materials = padded(materials, width)
    if half.assignment:
        made = assigned(materials, half.assignment, wishes, importance)
    elif wanted is None:
        return Output(half, None, copied(materials))
    else:
        traits = ModelTraits() if half.role == "projector" else traits_of(half.info)
        in_file_order = recipe.keep_split and half.role == "model"
        made = typed(materials, wanted, traits, wishes, importance, in_file_order=in_file_order)
    if not recipe.allow_requantize:
        _refuse_requantizing(half.info, made)
    return Output(half, wanted, made, width)


def _new_width(half: GGUFHalf, wanted: FileType | None) -> int:
    """Return the hidden width of the projector's MLP that the types need; 0 for a language model."""
    if half.role == "model":
        return 0
    if half.assignment:
        return half.assignment.width(half.width)
    return padded_width(half.width, wanted.base) if wanted else half.width


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


def ordered_halves(model: GGUFInfo | None, projector: GGUFInfo | None, recipe: QuantRecipe) -> list[Half]:
    """List what there is to choose types for where a size is ordered; all but `recipe.types` counts.

    Raises:
        UsageError, GGUFError: as `plan_quantization`.
    """
    own = None if recipe.projector_type is None else find_file_type(recipe.projector_type)
    halves = halves_of(model, projector, (), own, None)
    chosen = [half for half in halves if half.role == "model" or own is None]
    refuse_unmatched([item for half in chosen for item in listed(half.info)], recipe.wishes.overrides)
    importance = _importance(halves, recipe.imatrix)
    return [
        Half(
            _materials(half.info),
            importance,
            half.wishes(recipe.wishes),
            is_chosen=half in chosen,
            allow_requantize=recipe.allow_requantize,
        )
        for half in halves
    ]
