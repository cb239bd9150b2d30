"""What the user asked for, as the manifest tells it."""

from collections.abc import Sequence

from qwen3vl_edge.manifest import ImatrixNote, OrderNote, OverrideNote, RecipeNote
from qwen3vl_edge.quant.file_types import FileType
from qwen3vl_edge.quant.imatrix import Imatrix
from qwen3vl_edge.quant.wishes import Wishes

__all__ = ["recipe_note"]


def recipe_note(  # noqa: PLR0913 -- what the user said, each by itself
    types: Sequence[str],
    projector_type: FileType | None,
    wishes: Wishes,
    imatrix: Imatrix | None,
    *,
    allow_requantize: bool = False,
    order: OrderNote | None = None,
) -> RecipeNote:
    """Put the options of a run together.

    Args:
        types: Of the language model, as in the files' names; without one, of the projector.
        projector_type: None where it is copied, not there, or the only one.
        wishes: Types otherwise than by the recipes.
        imatrix: Of which the manifest keeps name and hash.
        allow_requantize: Whether tensors might be quantized a second time.
        order: The size that was ordered, if one was.
    """
    output, embedding = wishes.output_type, wishes.embedding_type
    return RecipeNote(
        types=tuple(types),
        projector_type=projector_type.name if projector_type else None,
        pure=wishes.pure,
        overrides=tuple(OverrideNote(item.pattern.pattern, item.kind.name) for item in wishes.overrides),
        output_type=output.name if output else None,
        embedding_type=embedding.name if embedding else None,
        imatrix=ImatrixNote(imatrix.path.name, imatrix.sha256) if imatrix else None,
        allow_requantize=allow_requantize,
        order=order,
    )
