"""The types that a tensor may get for a budget."""

from collections.abc import Sequence

from qwen3vl_edge.errors import UsageError
from qwen3vl_edge.ggml_types import TYPES_BY_NAME, TensorType
from qwen3vl_edge.quant.fallbacks import fit
from qwen3vl_edge.quant.file_types import TENSOR_TYPES, find_tensor_type
from qwen3vl_edge.quant.gguf_source import FLOATS
from qwen3vl_edge.quant.typed import Material
from qwen3vl_edge.quant.wishes import needs_importance

__all__ = ["DEFAULT_TYPES", "ORDERED_TYPES", "candidates", "parse_types"]

# Those left out are for models trained with such weights, or, F32, larger than any source is published in.
_LEFT_OUT = ("F32", "TQ1_0", "TQ2_0", "Q1_0", "Q2_0", "MXFP4", "NVFP4")
ORDERED_TYPES = {name: kind for name, kind in TENSOR_TYPES.items() if name not in _LEFT_OUT}
"""Types that can be ordered from."""

DEFAULT_TYPES = tuple(
    TYPES_BY_NAME[name]
    for name in (
        *("IQ2_XXS", "IQ2_XS", "IQ2_S", "Q2_K", "IQ3_XXS", "IQ3_S", "Q3_K"),
        *("IQ4_XS", "Q4_K", "Q5_K", "Q6_K", "Q8_0"),
    )
)
"""Where the user names none; a tensor may also stay a 16-bit float. Not the types of one bit: an error of a
fifth of the output and more adds up by no formula."""


def parse_types(text: str) -> tuple[TensorType, ...]:
    """Read names of types with commas between them.

    Raises:
        UsageError: one is no type of a tensor, or cannot be ordered.
    """
    kinds = [find_tensor_type(name.strip()) for name in text.split(",")]
    wrong = [kind.name for kind in kinds if kind.name not in ORDERED_TYPES]
    if wrong:
        raise UsageError(
            f"--types {', '.join(wrong)}: cannot be ordered; choose of {', '.join(ORDERED_TYPES)}"
        )
    return tuple(dict.fromkeys(kinds))


def candidates(
    material: Material,
    shape: tuple[int, ...],
    wanted: Sequence[TensorType] | None,
    *,
    has_importance: bool,
    allow_requantize: bool = False,
) -> list[TensorType]:
    """Return the types that a tensor may get, each fitting its rows.

    Args:
        material: The tensor; blocks stay what they are unless `allow_requantize`.
        shape: That it will have, padded or not.
        wanted: The types to choose of; None: `DEFAULT_TYPES`, and the float that it is. Rows that do not fit
            one get the type that llama.cpp puts in its place.
        has_importance: Whether there is an importance for it: some types are of no use without one.
        allow_requantize: Whether blocks may become smaller ones.

    Raises:
        UsageError: all of `wanted` need an importance that is not there.
    """
    before = material.before
    if before.name not in FLOATS and not allow_requantize:
        return [before]
    kinds = list(wanted) if wanted is not None else [*DEFAULT_TYPES, _float_of(before)]
    fitting = [fit(material.name, shape, kind, "")[0] for kind in kinds]
    # llama.cpp lets embedding and output have any type without a matrix: only if the user says so
    name = "" if wanted is None else material.name
    usable = [kind for kind in fitting if has_importance or not needs_importance(name, kind)]
    if not usable:
        raise UsageError(
            f"--types {', '.join(kind.name for kind in kinds)}: need an importance matrix with "
            f"{material.name}; give it with --imatrix, or more types"
        )
    if before.name not in FLOATS and before.fits(shape):
        usable = [before, *(kind for kind in usable if kind.nbytes(shape) < before.nbytes(shape))]
    return list(dict.fromkeys(usable))


def _float_of(before: TensorType) -> TensorType:
    return before if before.name in ("F16", "BF16") else TYPES_BY_NAME["F16"]
