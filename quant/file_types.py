"""The types that a file, and each of its tensors, can be quantized to.

Source: the table of tools/quantize/quantize.cpp and llama_ftype_get_default_type in src/llama-quant.cpp,
llama.cpp 0c1e57098. llama.cpp reads one more file type, NVFP4, which its quantizer refuses.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from math import prod

from qwen3vl_edge.errors import UsageError
from qwen3vl_edge.ggml_types import FILE_TYPES, TYPES_BY_NAME, TensorType

__all__ = [
    "ALIASES",
    "QUANTIZED_FILE_TYPES",
    "TENSOR_TYPES",
    "FileType",
    "find_file_type",
    "find_tensor_type",
    "ordered_file_type",
]

_CODES = {name: code for code, name in FILE_TYPES.items()}


@dataclass(frozen=True, slots=True)
class FileType:
    """What a file is "mostly".

    Attributes:
        name: as on the command line.
        base: the type of the tensors that no rule of the recipe singles out.
        use: a word on when to choose it.
        needs_imatrix: a language model cannot be quantized to it without an importance matrix.
        like: the one of llama.cpp's whose number stands in the metadata, where `name` is none of them.
    """

    name: str
    base: TensorType
    use: str
    needs_imatrix: bool = False
    like: str | None = None

    @property
    def code(self) -> int:
        """Return general.file_type (enum llama_ftype in include/llama.h)."""
        return _CODES[self.like or self.name]


def _row(name: str, base: str, use: str, *, needs_imatrix: bool = False) -> FileType:
    return FileType(name, TYPES_BY_NAME[base], use, needs_imatrix)


# Roughly from most to fewest bits.
_FILE_TYPES = (
    _row("F32", "F32", "exact; for tests and as a source"),
    _row("BF16", "BF16", "as published"),
    _row("F16", "F16", "as published, for hardware without BF16"),
    _row("Q8_0", "Q8_0", "as good as the original"),
    _row("Q6_K", "Q6_K", "hardly a loss"),
    _row("Q5_1", "Q5_1", "older; prefer Q5_K_M, unless rows do not fit"),
    _row("Q5_K_M", "Q5_K", "small loss"),
    _row("Q5_K_S", "Q5_K", "small loss, a little smaller"),
    _row("Q5_0", "Q5_0", "older; prefer Q5_K_S, unless rows do not fit"),
    _row("Q4_1", "Q4_1", "older; prefer Q4_K_M, unless rows do not fit"),
    _row("Q4_K_M", "Q4_K", "the usual choice"),
    _row("Q4_K_S", "Q4_K", "the usual choice, a little smaller"),
    _row("IQ4_NL", "IQ4_NL", "like Q4_K_S, also for rows of 32"),
    _row("Q4_0", "Q4_0", "fastest on ARM and older CPUs"),
    _row("IQ4_XS", "IQ4_XS", "smallest with 4 bits"),
    _row("MXFP4_MOE", "MXFP4", "for mixtures of experts: these in MXFP4, the rest in Q8_0"),
    _row("Q3_K_L", "Q3_K", "noticeable loss"),
    _row("Q3_K_M", "Q3_K", "noticeable loss, smaller"),
    _row("IQ3_M", "IQ3_S", "better than Q3_K_M at its size, slower on CPUs"),
    _row("Q3_K_S", "Q3_K", "large loss"),
    _row("IQ3_S", "IQ3_S", "better than Q3_K_S at its size, slower on CPUs"),
    _row("IQ3_XS", "IQ3_S", "large loss", needs_imatrix=True),
    _row("IQ3_XXS", "IQ3_XXS", "large loss", needs_imatrix=True),
    _row("Q2_K", "Q2_K", "very large loss"),
    _row("IQ2_M", "IQ2_S", "very large loss, slow on CPUs", needs_imatrix=True),
    _row("Q2_K_S", "Q2_K", "very large loss, smaller than Q2_K", needs_imatrix=True),
    _row("IQ2_S", "IQ2_XS", "very large loss, slow on CPUs", needs_imatrix=True),
    _row("IQ2_XS", "IQ2_XS", "very large loss, slow on CPUs", needs_imatrix=True),
    _row("Q2_0", "Q2_0", "only for models trained for it"),
    _row("IQ2_XXS", "IQ2_XXS", "only to make a very large model fit", needs_imatrix=True),
    _row("TQ2_0", "TQ2_0", "only for models trained with ternary weights"),
    _row("IQ1_M", "IQ1_M", "only to make a very large model fit", needs_imatrix=True),
    _row("TQ1_0", "TQ1_0", "only for models trained with ternary weights; smaller than TQ2_0"),
    _row("IQ1_S", "IQ1_S", "only to make a very large model fit", needs_imatrix=True),
    _row("Q1_0", "Q1_0", "only for models trained with binary weights"),
)

QUANTIZED_FILE_TYPES = {row.name: row for row in _FILE_TYPES}
"""Every file type by its name, roughly from most to fewest bits; the first three are not quantized."""

ALIASES = {"Q3_K": "Q3_K_M", "Q4_K": "Q4_K_M", "Q5_K": "Q5_K_M"}
"""Short names of file types, as llama-quantize has them."""

# The cases of ggml_quantize_chunk in ggml/src/ggml.c.
TENSOR_TYPES = {
    name: TYPES_BY_NAME[name]
    for name in (
        *("F32", "F16", "BF16", "Q8_0", "Q5_0", "Q5_1", "Q4_0", "Q4_1", "Q2_0", "Q1_0"),
        *("Q6_K", "Q5_K", "Q4_K", "Q3_K", "Q2_K", "TQ1_0", "TQ2_0", "MXFP4", "NVFP4"),
        *("IQ4_NL", "IQ4_XS", "IQ3_S", "IQ3_XXS", "IQ2_S", "IQ2_XS", "IQ2_XXS", "IQ1_M", "IQ1_S"),
    )
}
"""Every type that a tensor can be written in, by its name."""


def find_file_type(name: str) -> FileType:
    """Find a file type, in upper or lower case.

    Raises:
        UsageError: there is none of this name.
    """
    spelled = ALIASES.get(name.upper(), name.upper())
    if spelled not in QUANTIZED_FILE_TYPES:
        raise UsageError(f"{name!r:.80} is no file type; {_instead(name, list(QUANTIZED_FILE_TYPES))}")
    return QUANTIZED_FILE_TYPES[spelled]


def ordered_file_type(label: str, tensors: Sequence[tuple[tuple[int, ...], TensorType]]) -> FileType:
    """Return the file type of a file whose types were chosen tensor by tensor.

    It is like the one that llama.cpp would guess (src/llama-model-loader.cpp, 0c1e57098), but that the type
    of most weights, not of most tensors, decides, and floats only where nothing is quantized.

    Args:
        label: Its name.
        tensors: Row-major shape and type of each.
    """
    weights = Counter[TensorType]()
    for shape, kind in tensors:
        weights[kind] += prod(shape)
    blocks = {kind: n for kind, n in weights.items() if kind.block > 1} or weights
    base = max(blocks, key=lambda kind: (blocks[kind], kind.name))
    like = find_file_type({"MXFP4": "MXFP4_MOE"}.get(base.name, base.name))
    return FileType(label, base, "ordered", like=like.name)


def find_tensor_type(name: str) -> TensorType:
    """Find the type of a tensor, in upper or lower case.

    Raises:
        UsageError: there is none of this name that a tensor can be written in.
    """
    if name.upper() not in TENSOR_TYPES:
        raise UsageError(f"{name!r:.80} is no type of a tensor; {_instead(name, list(TENSOR_TYPES))}")
    return TENSOR_TYPES[name.upper()]


def _instead(name: str, known: Sequence[str]) -> str:
    """Offer the names that are near, or all of them."""
    near = get_close_matches(name.upper()[:80], known, n=3)
    return f"did you mean {' or '.join(near)}?" if near else f"choose one of {', '.join(known)}"
