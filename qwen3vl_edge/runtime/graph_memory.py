"""What llama.cpp takes to evaluate tokens and to encode a picture, besides weights and KV cells.

The formulas count what is alive at the widest places of the graphs that llama.cpp 0c1e57098 reserves:
src/models/qwen3vl.cpp and qwen3vlmoe.cpp as in `llama_context::sched_reserve` (src/llama-context.cpp),
tools/mtmd/models/qwen3vl.cpp.
"""

from dataclasses import dataclass

from qwen3vl_edge.errors import GGUFError
from qwen3vl_edge.ggml_types import TensorType
from qwen3vl_edge.gguf_info import GGUFInfo

__all__ = ["CELLS_STEP", "TextSizes", "VisionSizes", "Workload"]

CELLS_STEP = 256  # llama_context pads n_ctx, and the share of each sequence, to multiples of this
_F32, _F16 = 4, 2  # bytes
_INPUT_BYTES = 128 << 10  # positions, indices of cells, the rotation that quantized KV types get; measured
_CHANNELS, _FRAMES = 3, 2  # RGB; a pair of frames is the largest that is encoded at once


@dataclass(frozen=True, slots=True)
class Workload:
    """What a context is made for.

    Args:
        n_ctx: KV cells, for all sequences together (``kv_unified``).
        kv_type: Of the cells.
        n_batch: Tokens evaluated at once.
        n_seq_max: Sequences.
        n_outputs: Tokens of a batch that may have logits; llama.cpp's default is `n_batch`.
        n_vision_tokens: Of the largest picture or pair of frames; 1024 are 1024×1024 px.
        flash_attention: Of the language model; without it all scores are in memory at once.
    """

    n_ctx: int
    kv_type: TensorType
    n_batch: int
    n_seq_max: int
    n_outputs: int
    n_vision_tokens: int
    flash_attention: bool

    @property
    def n_cells(self) -> int:
        """Cells that llama.cpp makes."""
        return -(-self.n_ctx // CELLS_STEP) * CELLS_STEP


@dataclass(frozen=True, slots=True)
class TextSizes:
    """Widths of a language model, in values a token; `n_experts` is 0 for a dense one.

    `embd_inp` is `embd` and as much for each DeepStack layer, `q` and `kv` are all heads together, `ff`
    is that of one expert where there are any.
    """

    n_layers: int
    n_heads: int
    embd: int
    embd_inp: int
    q: int
    kv: int
    head_dim: int
    ff: int
    n_experts: int
    n_experts_used: int
    n_vocab: int

    @classmethod
    def of(cls, model: GGUFInfo) -> "TextSizes":
        """Read them from the metadata of a language model.

        Raises:
            GGUFError: a key is missing.
        """
        embd, heads = _size(model, "embedding_length"), _size(model, "attention.head_count")
        head_dim = _size(model, "attention.key_length", embd // heads)  # the default of load_hparams
        n_experts = _size(model, "expert_count", 0)
        return cls(
            n_layers=_size(model, "block_count"),
            n_heads=heads,
            embd=embd,
            embd_inp=embd * (1 + _size(model, "n_deepstack_layers", 0)),
            q=heads * head_dim,
            kv=_size(model, "attention.head_count_kv", heads) * head_dim,
            head_dim=head_dim,
            ff=_size(model, "expert_feed_forward_length" if n_experts else "feed_forward_length"),
            n_experts=n_experts,
            n_experts_used=_size(model, "expert_used_count") if n_experts else 0,
            n_vocab=_vocabulary(model),
        )

    def kv_bytes_per_cell(self, kind: TensorType) -> int:
        """Bytes of one token's K and V in all layers (`llama_kv_cache`, src/llama-kv-cache.cpp)."""
        return self.n_layers * 2 * kind.nbytes((self.kv,))

    def compute_bytes(self, work: Workload) -> int:
        """Bytes of llama.cpp's compute and output buffers.

        Both stages of a layer hold the input with its DeepStack features twice, as tokens and as
        embeddings are both provided for, and the mask, n_batch × n_cells. Flash attention has that in F16
        and casts K and V of type F32 to it. The logits find no hole that the layers left and is large enough.

        Divided by what llama.cpp reserves for the six members of the family, n_ctx 256 to 262144, n_batch 32
        to 2048, cells of F16, Q8_0, IQ4_NL: 0.98 to 1.02 with one output, to 1.18 with 16, to 1.37 with
        `n_batch` of them. Cells of F32: from 0.92. Without flash attention: 0.95 to 1.04.
        """
        n_batch = min(work.n_batch, work.n_ctx)
        n_outputs = min(work.n_outputs, n_batch)
        mask = n_batch * work.n_cells * (_F16 if work.flash_attention else _F32)
        shared = n_batch * (2 * self.embd_inp + 2 * self.embd) * _F32
        attention = shared + mask + n_batch * 2 * self.q * _F32 + self._scores_bytes(work, n_batch)
        forward = n_batch * self._forward * _F32
        logits = n_outputs * self.n_vocab * _F32 + n_batch * (self.embd_inp + 2 * self.embd) * _F32
        widest = max(attention, shared + mask + forward, logits + min(mask, forward))
        return widest + _INPUT_BYTES + work.n_seq_max * self.n_vocab * _F32

    def _scores_bytes(self, work: Workload, n_batch: int) -> int:
        """Bytes of the attention scores, or of what flash attention has in place of them."""
        if not work.flash_attention:
            return n_batch * work.n_cells * self.n_heads * _F32
        return 2 * work.n_cells * self.kv * _F16 if work.kv_type.name == "F32" else 0

    @property
    def _forward(self) -> int:
        """Values a token of the feed-forward stage; with experts, what each of the used ones gives."""
        if not self.n_experts:
            return 3 * self.ff
        return self.n_experts_used * (self.embd + 3 * self.ff) + 2 * self.n_experts


@dataclass(frozen=True, slots=True)
class VisionSizes:
    """Widths of a projector: of the encoder per patch, `out` per token with its DeepStack features."""

    embd: int
    ff: int
    deepstack: int
    out: int
    patch: int
    patches_per_token: int

    @classmethod
    def of(cls, projector: GGUFInfo) -> "VisionSizes":
        """Read them from the metadata of a projector.

        Raises:
            GGUFError: a key is missing.
        """
        projected = projector.integer("clip.vision.projection_dim")
        n_deepstack = sum(1 for flag in projector.array("clip.vision.is_deepstack_layers") if flag)
        return cls(
            embd=projector.integer("clip.vision.embedding_length"),
            ff=projector.integer("clip.vision.feed_forward_length"),
            deepstack=n_deepstack * projected,
            out=(1 + n_deepstack) * projected,
            patch=projector.integer("clip.vision.patch_size"),
            patches_per_token=projector.integer("clip.vision.spatial_merge_size") ** 2,
        )

    def compute_bytes(self, n_tokens: int) -> int:
        """Bytes of the encoder's compute buffer for a picture or a pair of so many tokens.

        Pixels, and the wider of a block's MLP and its attention beside the DeepStack features. Divided by
        what llama.cpp reserves for the six members of the family, pictures and pairs of 64×64 to
        4096×4096 px: 1.03 to 1.33.
        """
        n_patches = n_tokens * self.patches_per_token
        pixels = _FRAMES * _CHANNELS * self.patch**2
        attention = self.deepstack // self.patches_per_token + 9 * self.embd
        return n_patches * (pixels + max(self.embd + 2 * self.ff, attention)) * _F32

    def host_bytes(self, n_tokens: int) -> int:
        """Bytes beside it: the output, llama.cpp's and ours, and pixels as float32 before they go in.

        With `compute_bytes`, for a pair of 768×768 px and the encoder of the 2B: 158 MiB; the process grew by
        160.
        """
        pixels = _FRAMES * _CHANNELS * self.patch**2 * self.patches_per_token
        return n_tokens * (2 * self.out + pixels) * _F32


def _size(model: GGUFInfo, key: str, default: int | None = None) -> int:
    """Read a size of the language model; one that has no default must be 1 or more."""
    name = f"{model.architecture}.{key}"
    if default is not None and name not in model.metadata:
        return default
    value = model.integer(name)
    if value < (1 if default is None else 0):
        raise GGUFError(f"{model.path}: {name} is {value}, which no model can have")
    return value


def _vocabulary(model: GGUFInfo) -> int:
    for tensor in model.tensors:
        if tensor.name == "token_embd.weight":
            return tensor.shape[0]
    raise GGUFError(f"{model.path}: has no token_embd.weight; convert the checkpoint again")
