"""Block-scaled E4M3 weights, as published FP8 checkpoints hold them.

A weight of eight-bit floats has a sister ``<name>_scale_inv`` with one scale for each block of rows and
columns; the value is their product in float32 (transformers 5.23, integrations/finegrained_fp8.py).
"""

import json
import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.safetensors_files import Dtype, Stored, from_stored, read_stored, to_stored, write_safetensors

__all__ = ["E4M3", "Fp8", "dequantize", "is_quantized", "quantize", "write_dequantized"]

_SCALE = "_scale_inv"
# The language model's layers without norms and router; transformers' own rule is nn.Linear and experts.
_QUANTIZED = re.compile(r"language_model\.layers\.\d+\.(self_attn\.[qkvo]|mlp\..*)_proj(\.weight)?$")


@dataclass(frozen=True)
class Fp8:
    """How an FP8 checkpoint is scaled; `block` is (rows, columns) of the last two dimensions."""

    block: tuple[int, int] = (128, 128)
    scale_dtype: Dtype = "BF16"

    def config(self, names: Iterable[str]) -> dict[str, object]:
        """Return ``quantization_config`` of a checkpoint with the tensors `names`."""
        kept = [
            name.removesuffix(".weight")
            for name in names
            if name.endswith(".weight") and not is_quantized(name)
        ]
        return {
            "activation_scheme": "dynamic",
            "fmt": "e4m3",
            "modules_to_not_convert": kept,
            "quant_method": "fp8",
            "weight_block_size": list(self.block),
        }


def _e4m3_values() -> NDArray[np.float32]:
    """Value of each byte: 1 sign, 4 exponent (bias 7), 3 mantissa bits; no infinities (OCP 8-bit FP, 1.0)."""
    code = np.arange(256)
    exponent, mantissa = code >> 3 & 15, code & 7
    values = np.where(exponent == 0, mantissa * 2.0**-9, (8 + mantissa) * 2.0 ** (exponent - 10.0))
    values[[0x7F, 0xFF]] = np.nan
    return np.where(code < 128, values, -values).astype(np.float32)


E4M3 = _e4m3_values()
"""Byte -> float32, shape (256,)."""

_LARGEST = 0x7E  # 448
_BORDERS = (E4M3[:_LARGEST] + E4M3[1 : _LARGEST + 1]) / 2


def is_quantized(name: str) -> bool:
    """Say whether published FP8 checkpoints hold this tensor in eight bits."""
    return _QUANTIZED.search(name) is not None


def quantize(name: str, values: NDArray[np.float32], scheme: Fp8) -> dict[str, Stored]:
    """Return the weight, shape (…, rows, columns), and its sister (…, blocks down, blocks across)."""
    rows, columns = values.shape[-2:]
    edges = [(0, 0)] * (values.ndim - 2) + [(0, -rows % scheme.block[0]), (0, -columns % scheme.block[1])]
    padded = np.pad(np.abs(values), edges)
    # (…, blocks down, rows of a block, blocks across, columns of a block)
    blocks = padded.reshape(
        *values.shape[:-2], -1, scheme.block[0], padded.shape[-1] // scheme.block[1], scheme.block[1]
    )
    scales = to_stored(blocks.max(axis=(-3, -1)) / E4M3[_LARGEST], scheme.scale_dtype)
    scaled = np.abs(values) / _spread(from_stored(scales, scheme.scale_dtype), scheme.block, values.shape)
    codes = np.searchsorted(_BORDERS, scaled) | np.signbit(values) << 7
    return {
        name: Stored("F8_E4M3", codes.astype(np.uint8)),
        name + _SCALE: Stored(scheme.scale_dtype, scales),
    }


def dequantize(weight: Stored, scale: Stored, block: tuple[int, int]) -> NDArray[np.float32]:
    """Return the values of a weight, float32."""
    scales = from_stored(scale.values, scale.dtype)
    return E4M3[weight.values.astype(np.intp)] * _spread(scales, block, weight.values.shape)


def write_dequantized(source: Path, folder: Path) -> Path:
    """Write an FP8 checkpoint of one file again in float32, for what cannot read eight-bit floats."""
    shutil.copytree(source, folder)
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    block = config.pop("quantization_config")["weight_block_size"]
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    tensors = read_stored(source / "model.safetensors")
    values = {name: _value(name, tensors, block) for name in tensors if not name.endswith(_SCALE)}
    write_safetensors(folder / "model.safetensors", values, "F32")
    return folder


def _value(name: str, tensors: Mapping[str, Stored], block: tuple[int, int]) -> NDArray[np.float32]:
    stored = tensors[name]
    if stored.dtype == "F8_E4M3":
        return dequantize(stored, tensors[name + _SCALE], block)
    return from_stored(stored.values, stored.dtype)


def _spread(
    scales: NDArray[np.float32], block: tuple[int, int], shape: tuple[int, ...]
) -> NDArray[np.float32]:
    """Repeat each scale over its block; blocks at the edges are cut to `shape`."""
    spread = scales.repeat(block[0], axis=-2).repeat(block[1], axis=-1)
    return spread[..., : shape[-2], : shape[-1]]
