"""Rows that are not whole blocks of a type get another one.

Source: tensor_type_fallback in src/llama-quant.cpp, llama.cpp 0c1e57098.
"""

from qwen3vl_edge.errors import UsageError
from qwen3vl_edge.ggml_types import TYPES_BY_NAME, TensorType

__all__ = ["fit", "misfit"]

# Types of large blocks and the ones of 32 values that take their places; Q1_0 and NVFP4 have none.
_FALLBACKS = {
    **dict.fromkeys(("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ4_XS"), "IQ4_NL"),
    **dict.fromkeys(("Q2_0", "Q2_K", "Q3_K", "TQ1_0", "TQ2_0"), "Q4_0"),
    "Q4_K": "Q5_0",
    "Q5_K": "Q5_1",
    "Q6_K": "Q8_0",
}
_SMALL_BLOCK = 32


def fit(name: str, shape: tuple[int, ...], kind: TensorType, why: str) -> tuple[TensorType, str]:
    """Return `kind` where the rows of a tensor are whole blocks of it, else the type in its place.

    Args:
        name: of the tensor, for errors.
        shape: row-major.
        kind: the wanted type.
        why: it is wanted.

    Returns:
        The type, and why it is that one.

    Raises:
        UsageError: no type takes the place of `kind`.
    """
    if kind.fits(shape):
        return kind, why
    if kind.name not in _FALLBACKS and kind.block > _SMALL_BLOCK:
        raise misfit(name, shape, kind)
    fallback = TYPES_BY_NAME[_FALLBACKS.get(kind.name, kind.name)]
    fitting = fallback if fallback.fits(shape) else TYPES_BY_NAME["F16"]
    return fitting, f"{why}; rows of {shape[-1]} do not fit {kind.name}"


def misfit(name: str, shape: tuple[int, ...], kind: TensorType) -> UsageError:
    """Describe that the rows of the tensor `name` are not whole blocks of `kind`."""
    return UsageError(
        f"{name}: rows of {shape[-1]} do not fit {kind.name}, whose blocks have {kind.block}; "
        "choose another type for this tensor"
    )
