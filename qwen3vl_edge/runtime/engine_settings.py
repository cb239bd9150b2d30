"""How a model is to be opened, as one value."""

from dataclasses import dataclass, field
from pathlib import Path

from qwen3vl_edge.errors import UsageError
from qwen3vl_edge.runtime.context import FlashAttention
from qwen3vl_edge.runtime.placement import Placement

__all__ = ["DEFAULT_SETTINGS", "MOST_PARALLEL", "EngineSettings"]

MOST_PARALLEL = 128
"""Sequences that a context may have for jobs; LLAMA_MAX_SEQ of llama.cpp 0c1e57098 is 256."""

_MIB, _GIB = 1 << 20, 1 << 30


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Settings of an engine; the defaults do for every model.

    ``n_ctx`` is the KV cells that there shall be; None lets the context grow with the conversation, up to
    the model's own and what memory allows. ``n_threads`` None takes the cores this process may use.
    ``kv_type`` is the type of the cells, ``placement`` the device of everything. ``check_memory`` refuses,
    on the CPU, what would not fit. Encoder outputs are kept in ``cache_ram_bytes`` of memory and, where
    there is a ``cache_folder``, in ``cache_disk_bytes`` there. ``n_outputs`` is for a `Scorer`: the tokens
    that it can have logits of at once. ``n_parallel`` is the most that `Engine.generate_many` is to do at
    once, and that `Engine.choose_parallel` gives; up to 15 can be done without saying.

    Raises:
        UsageError: A number is out of range.
    """

    n_ctx: int | None = None
    n_threads: int | None = None
    kv_type: str = "f16"
    flash_attention: FlashAttention = "auto"
    placement: Placement = field(default_factory=Placement)
    check_memory: bool = True
    cache_ram_bytes: int = 512 * _MIB
    cache_folder: Path | None = None
    cache_disk_bytes: int = 4 * _GIB
    n_outputs: int = 1
    n_parallel: int = 1

    def __post_init__(self) -> None:
        at_least_one = {"context": self.n_ctx, "threads": self.n_threads, "outputs": self.n_outputs}
        if not 1 <= self.n_parallel <= MOST_PARALLEL:
            raise UsageError(f"{self.n_parallel} sequences at once are wanted; ask for 1 to {MOST_PARALLEL}")
        for what, number in at_least_one.items():
            if number is not None and number < 1:
                raise UsageError(f"{what}: {number} is wanted; ask for 1 or more")


DEFAULT_SETTINGS = EngineSettings()
"""What does for every model."""
