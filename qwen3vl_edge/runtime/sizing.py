"""How large a context may be: what is wanted, what the model has, and what memory allows."""

from qwen3vl_edge.errors import EngineError, UsageError
from qwen3vl_edge.gguf_info import GGUFInfo
from qwen3vl_edge.runtime.context import ContextOptions
from qwen3vl_edge.runtime.engine_settings import EngineSettings
from qwen3vl_edge.runtime.graph_memory import TextSizes
from qwen3vl_edge.runtime.kv_types import check_kv_type, needs_flash_attention
from qwen3vl_edge.runtime.memory import available_bytes
from qwen3vl_edge.runtime.memory_estimate import estimate, fits, largest_context

__all__ = ["context_limit", "context_options"]

_SESSIONS = 16  # that may be open at once, in any case
_LEAST = 256  # tokens; llama.cpp pads contexts to multiples of this


def context_options(settings: EngineSettings, model: GGUFInfo, n_threads: int) -> ContextOptions:
    """Give how contexts of `model` are made.

    Raises:
        UsageError: The cells cannot have the type that is wanted.
        GGUFError: The file lacks a key.
    """
    kind = check_kv_type(settings.kv_type, TextSizes.of(model).head_dim)
    if needs_flash_attention(kind) and settings.flash_attention == "off":
        raise UsageError(f"KV type {settings.kv_type} needs flash attention; leave it on, or take f16")
    return ContextOptions(
        settings.n_ctx or 0,
        n_threads,
        n_sequences=max(_SESSIONS, settings.n_parallel + 1),  # one for questions that stand alone
        kv_type=kind,
        flash_attention=settings.flash_attention,
        n_outputs=settings.n_outputs,
    )


def context_limit(
    settings: EngineSettings, options: ContextOptions, model: GGUFInfo, projector: GGUFInfo
) -> int:
    """Give the cells that a context may have, before the model is opened.

    Raises:
        UsageError: More are wanted than the model has.
        EngineError: Memory is too small for them, or for the model.
    """
    n_train = model.integer(f"{model.architecture}.context_length")
    if settings.n_ctx is not None and settings.n_ctx > n_train:
        raise UsageError(f"a context of {settings.n_ctx} tokens is wanted; the model has 1 to {n_train}")
    most = settings.n_ctx or n_train
    available = available_bytes()
    if not settings.check_memory or available is None:
        return most
    wanted = estimate(
        model,
        projector,
        n_ctx=settings.n_ctx or min(_LEAST, n_train),
        kv_type=settings.kv_type,
        n_batch=options.n_batch,
        n_seq_max=options.n_sequences,
        n_outputs=options.most_outputs,
        flash_attention=settings.flash_attention != "off",
    )
    too_much = fits(wanted, available)
    if too_much is not None:
        raise EngineError(f"{too_much}; --no-memory-check tries it nevertheless")
    return most if settings.n_ctx else min(most, largest_context(wanted, available))
