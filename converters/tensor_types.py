"""Which ggml type each tensor is written in, by llama.cpp's converter's rules.

Source: ModelBase.prepare_tensors and MmprojModel.tensor_force_quant in conversion/base.py, 0c1e57098.
"""

from qwen3vl_edge.ggml_types import TYPES_BY_NAME, TensorType

__all__ = ["choose_type"]

_ALWAYS_F32 = ("v.position_embd.weight",)
_ROUTER = ".ffn_gate_inp.weight"
# ggml's im2col takes F16 or F32 kernels only
_CONVOLUTIONS = ("v.patch_embd.weight", "v.patch_embd.weight.1")


def choose_type(name: str, shape: tuple[int, ...], wanted: str) -> TensorType:
    """Choose the type of one tensor of a file that is mostly `wanted`.

    Norms, biases (anything with one dimension), learned positions and the routers of experts stay
    F32; a row that is not whole blocks falls back to F16.
    """
    if len(shape) <= 1 or name in _ALWAYS_F32 or name.endswith(_ROUTER):
        return TYPES_BY_NAME["F32"]
    if name in _CONVOLUTIONS:
        return TYPES_BY_NAME["F16" if wanted == "F16" else "F32"]
    kind = TYPES_BY_NAME[wanted]
    return kind if kind.fits(shape) else TYPES_BY_NAME["F16"]
