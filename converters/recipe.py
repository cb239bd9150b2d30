"""What a user wants of a checkpoint."""

from dataclasses import dataclass, field

from qwen3vl_edge.converters.origin import Origin
from qwen3vl_edge.converters.overrides import Override
from qwen3vl_edge.quant.assignment import Assignment
from qwen3vl_edge.quant.imatrix import Imatrix
from qwen3vl_edge.quant.wishes import Wishes

__all__ = ["Recipe"]


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
        assignment: Types tensor by tensor, in place of `types`; the projector's too, if it has some for it.
    """

    types: tuple[str, ...] = ("bf16",)
    projector_type: str = "f16"
    name: str | None = None
    split_max_bytes: int | None = None
    overrides: tuple[Override, ...] = ()
    origin: Origin | None = None
    wishes: Wishes = field(default_factory=Wishes)
    imatrix: Imatrix | None = None
    assignment: Assignment | None = None
