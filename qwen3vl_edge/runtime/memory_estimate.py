"""How much memory a pair and a context will take, said before anything is opened."""

from dataclasses import dataclass, replace

from qwen3vl_edge.gguf_info import GGUFInfo
from qwen3vl_edge.runtime.graph_memory import CELLS_STEP, TextSizes, VisionSizes, Workload
from qwen3vl_edge.runtime.kv_types import KV_TYPES, check_kv_type

__all__ = [
    "MemoryEstimate",
    "estimate",
    "fits",
    "kv_bytes_per_token",
    "largest_context",
]

_GB = 1e9
_MAX_STEPS = 1 << 24  # llama.cpp counts cells in 32 bits


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Bytes that must be in memory at once; `workload`, `text` and `vision` are what they follow from.

    `weights_bytes` counts each tensor of the language model once. llama.cpp maps the file and copies what it
    repacks for the CPU: the process then looks larger (2B, Q4_K_M: 1050 MiB of file and 646 MiB repacked),
    but the mapped originals of those are never read again, and the system takes them back when it
    needs room.
    """

    workload: Workload
    text: TextSizes
    vision: VisionSizes
    weights_bytes: int
    projector_bytes: int

    @property
    def kv_bytes(self) -> int:
        """Bytes of the KV cells: all of them are written to when a context is made."""
        return self.workload.n_cells * self.text.kv_bytes_per_cell(self.workload.kv_type)

    @property
    def compute_bytes(self) -> int:
        """Bytes for evaluating a batch and for encoding the largest picture."""
        n_vision = self.workload.n_vision_tokens
        encoding = self.vision.compute_bytes(n_vision) + self.vision.host_bytes(n_vision)
        return self.text.compute_bytes(self.workload) + encoding

    @property
    def total_bytes(self) -> int:
        """All of it."""
        return self.weights_bytes + self.projector_bytes + self.kv_bytes + self.compute_bytes


def estimate(  # noqa: PLR0913
    model: GGUFInfo,
    projector: GGUFInfo,
    *,
    n_ctx: int,
    kv_type: str = "F16",
    n_batch: int = 512,
    n_seq_max: int = 1,
    n_outputs: int | None = None,
    n_vision_tokens: int = 1024,
    flash_attention: bool = True,
) -> MemoryEstimate:
    """Estimate what opening the pair will take; see `Workload` for the sizes, which are of the CPU backend.

    Raises:
        UsageError: the KV cells cannot have that type.
        GGUFError: a file lacks a key.
    """
    text = TextSizes.of(model)
    kind = check_kv_type(kv_type, text.head_dim)
    outputs = n_batch if n_outputs is None else n_outputs
    return MemoryEstimate(
        workload=Workload(n_ctx, kind, n_batch, n_seq_max, outputs, n_vision_tokens, flash_attention),
        text=text,
        vision=VisionSizes.of(projector),
        weights_bytes=_tensor_bytes(model),
        projector_bytes=_tensor_bytes(projector),
    )


def kv_bytes_per_token(model: GGUFInfo, kv_type: str) -> int:
    """Bytes that one token takes in the KV cells: layers × (K and V) × KV heads × their row of the type.

    Raises:
        UsageError: the KV cells cannot have that type.
        GGUFError: the file lacks a key.
    """
    text = TextSizes.of(model)
    return text.kv_bytes_per_cell(check_kv_type(kv_type, text.head_dim))


def largest_context(wanted: MemoryEstimate, available: int) -> int:
    """Give the most cells, a multiple of 256, with which all else of `wanted` fits; 0 if none do."""
    fitting, too_many = 0, 1  # in steps; the total grows with the context
    while too_many < _MAX_STEPS and _with_context(wanted, too_many * CELLS_STEP).total_bytes <= available:
        fitting, too_many = too_many, 2 * too_many
    while too_many - fitting > 1:
        middle = (fitting + too_many) // 2
        if _with_context(wanted, middle * CELLS_STEP).total_bytes <= available:
            fitting = middle
        else:
            too_many = middle
    return fitting * CELLS_STEP


def fits(wanted: MemoryEstimate, available: int | None) -> str | None:
    """Say in one line what does not fit into `available` bytes, and what would; None if all does.

    Nothing is said where it is not known how much there is (None).
    """
    if available is None or wanted.total_bytes <= available:
        return None
    n_ctx, there = wanted.workload.n_ctx, f"{available / _GB:.1f} GB are available"
    smaller = largest_context(wanted, available)
    remedies = [*([f"--ctx {smaller}"] if smaller else []), *_smaller_type(wanted, available)]
    if not remedies:
        least = _with_context(wanted, CELLS_STEP).total_bytes
        return (
            f"the model needs {least / _GB:.1f} GB even with a context of {CELLS_STEP} tokens, {there}; "
            "take a smaller model or a smaller type of it"
        )
    return (
        f"a context of {n_ctx} tokens needs {wanted.total_bytes / _GB:.1f} GB with the model, {there}; "
        f"{' or '.join(remedies)} fits"
    )


def _smaller_type(wanted: MemoryEstimate, available: int) -> list[str]:
    """Give the option for the largest KV type with which the whole context fits; none if none does."""
    row = (wanted.text.head_dim,)
    for name, kind in KV_TYPES.items():
        other = replace(wanted, workload=replace(wanted.workload, kv_type=kind))
        if kind.fits(row) and other.kv_bytes < wanted.kv_bytes and other.total_bytes <= available:
            return [f"--kv-type {name}"]
    return []


def _with_context(wanted: MemoryEstimate, n_ctx: int) -> MemoryEstimate:
    return replace(wanted, workload=replace(wanted.workload, n_ctx=n_ctx))


def _tensor_bytes(info: GGUFInfo) -> int:
    return sum(tensor.nbytes for tensor in info.tensors)
