"""The plan of quantizing GGUF files: the same model in other types."""

from collections.abc import Iterator

from qwen3vl_edge.gguf_info import GGUFInfo
from qwen3vl_edge.manifest import Source
from qwen3vl_edge.quant.file_types import find_file_type
from qwen3vl_edge.quant.gguf_facts import (
    PROJECTOR_PREFIX,
    base_name,
    parts_of,
    source_files,
)
from qwen3vl_edge.quant.gguf_outputs import Output, QuantRecipe, halves_of, ordered_halves, outputs_of
from qwen3vl_edge.quant.imatrix import Imatrix
from qwen3vl_edge.quant.metadata import changed, kept, of_type, of_width
from qwen3vl_edge.quant.recipe_note import recipe_note
from qwen3vl_edge.writing.gguf_header import KeyValue
from qwen3vl_edge.writing.names import refuse_unstorable_name, safe_name
from qwen3vl_edge.writing.planned import Draft, PlannedFile, WritePlan, lay_out

__all__ = ["QuantRecipe", "ordered_halves", "plan_quantization"]


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
    halves = halves_of(model, projector, types, own, recipe.assignment)
    base = safe_name(base_name(halves[0].info) if name is None else name)
    files = [file for output in outputs_of(halves, recipe) for file in _laid_out(output, base, name, recipe)]
    note = recipe_note(
        [wanted.name for wanted in types] or [files[0].type],
        own,
        recipe.wishes,
        recipe.imatrix,
        allow_requantize=recipe.allow_requantize,
        order=recipe.assignment.order if recipe.assignment else None,
    )
    source = Source(
        str(halves[0].info.path.parent), tuple(file for half in halves for file in source_files(half.info))
    )
    inputs = tuple(path for half in halves for path in half.info.paths)
    return WritePlan(base, source, tuple(files), inputs=inputs, recipe=note)


def _laid_out(output: Output, base: str, name: str | None, recipe: QuantRecipe) -> Iterator[PlannedFile]:
    info, role, wanted = output.half.info, output.half.role, output.wanted
    kind = wanted.name if wanted else info.file_type or "own"
    stem = f"{PROJECTOR_PREFIX if role == 'projector' else ''}{base}-{kind}"
    entries = changed(kept(info, name), _changes(output, recipe.imatrix))
    draft = Draft(role, stem, kind, entries, output.made.tensors)
    return lay_out(draft, parts=parts_of(info) if recipe.keep_split and role == "model" else None)


def _changes(output: Output, imatrix: Imatrix | None) -> list[KeyValue]:
    """Return the metadata that quantizing changes."""
    if output.wanted is None:
        return []
    changes = of_type(output.wanted)
    if output.half.role == "projector":
        changes += of_width(output.half.info, output.width)
    return [*changes, *(imatrix.metadata(output.made.n_importances) if imatrix else ())]
