"""The types that the KV cells can have."""

from qwen3vl_edge.errors import UsageError
from qwen3vl_edge.ggml_types import TYPES_BY_NAME, TensorType

__all__ = ["KV_TYPES", "check_kv_type", "needs_flash_attention"]

# kv_cache_types in common/arg.cpp, llama.cpp 0c1e57098; from the largest to the smallest
_NAMES = ("F32", "F16", "BF16", "Q8_0", "Q5_1", "Q5_0", "Q4_1", "Q4_0", "IQ4_NL")

KV_TYPES = {name.lower(): TYPES_BY_NAME[name] for name in _NAMES}
"""By the names of the command line, ``f16`` and so on."""


def check_kv_type(name: str, head_dim: int) -> TensorType:
    """Return the type called `name`, in small or capital letters, for heads of `head_dim` values.

    The values of a head must fill whole blocks: llama_init_from_model refuses the others where flash
    attention is not off (src/llama-context.cpp, llama.cpp 0c1e57098).

    Raises:
        UsageError: there is no such type, or its blocks do not fit; lists those that do.
    """
    fitting = [known for known, kind in KV_TYPES.items() if kind.fits((head_dim,))]
    kind = KV_TYPES.get(name.lower())
    if kind is None:
        raise UsageError(f"KV type {name!r:.80} is unknown; choose one of {', '.join(fitting)}")
    if name.lower() not in fitting:
        raise UsageError(
            f"KV type {name.lower()} has blocks of {kind.block} values, which heads of {head_dim} do not "
            f"fill; choose one of {', '.join(fitting)}"
        )
    return kind


def needs_flash_attention(kind: TensorType) -> bool:
    """Whether V can have this type only with flash attention (llama_context in src/llama-context.cpp)."""
    return kind.block > 1
