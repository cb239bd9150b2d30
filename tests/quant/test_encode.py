"""Casts by bit patterns written down by hand, and gguf's own quantizer as a second opinion."""

import gguf
import numpy as np
import pytest
from numpy.typing import NDArray

from qwen3vl_edge.checkpoint import to_float32
from qwen3vl_edge.ggml_types import TYPES_BY_NAME
from qwen3vl_edge.quant.encode import QuantEncoder
from qwen3vl_edge.writing.planned import PlannedTensor
from qwen3vl_edge.writing.source import Cut

# float32 bits -> bfloat16 bits: nearest even
TO_BF16 = [
    (0x3F800000, 0x3F80),
    (0x3F807FFF, 0x3F80),
    (0x3F808000, 0x3F80),  # a tie goes to the even side, down here
    (0x3F818000, 0x3F82),  # and up here
    (0x3F808001, 0x3F81),
    (0xBF818000, 0xBF82),
    (0x7F7F7FFF, 0x7F7F),  # the largest that does not round to infinity
    (0x00000001, 0x0000),
    (0x80000000, 0x8000),
]

# float32 -> float16 bits
TO_F16 = [
    (1.0, 0x3C00),
    (65504.0, 0x7BFF),
    (65519.9, 0x7BFF),
    (2.0**-24, 0x0001),
    (2.0**-25, 0x0000),
    (1.0009765625, 0x3C01),
    (1.00048828125, 0x3C00),
]


def convert_values(values: NDArray, dtype: str, targets: list[str]) -> list[NDArray[np.uint8]]:
    """Encode a whole tensor in each of `targets`."""
    drafts = [PlannedTensor("t", values.shape, TYPES_BY_NAME[kind], None, Cut()) for kind in targets]  # type: ignore[arg-type]
    return [np.frombuffer(data, np.uint8) for data in QuantEncoder().encode(values, dtype, drafts, 0)]


def f32(bits: list[int]) -> NDArray[np.float32]:
    return np.array(bits, dtype=np.uint32).view(np.float32)


def test_bf16_rounding() -> None:
    values = f32([source for source, _ in TO_BF16])
    found = convert_values(values, "F32", ["BF16"])[0].view(np.uint16)
    assert [hex(bits) for bits in found] == [hex(bits) for _, bits in TO_BF16]


def test_f16_rounding() -> None:
    values = np.array([source for source, _ in TO_F16], dtype=np.float32)
    found = convert_values(values, "F32", ["F16"])[0].view(np.uint16)
    assert [hex(bits) for bits in found] == [hex(bits) for _, bits in TO_F16]


@pytest.mark.parametrize("target", ["F32", "F16", "BF16", "Q8_0"])
@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
def test_agrees_with_gguf(dtype: str, target: str) -> None:
    values = np.random.default_rng(5).standard_normal((7, 64), dtype=np.float32)
    stored = {
        "F32": values,
        "F16": values.astype(np.float16),
        "BF16": (values.view(np.uint32) >> 16).astype(np.uint16),
    }[dtype]
    exact = stored if dtype == "F16" else to_float32(stored, dtype)
    expected = gguf.quants.quantize(exact, gguf.GGMLQuantizationType[target])
    assert convert_values(stored, dtype, [target])[0].tobytes() == expected.tobytes()


def test_q8_0_block_by_hand() -> None:
    values = np.zeros((1, 32), dtype=np.float32)
    values[0, :4] = [127.0, -63.5, 0.5, 1.49]
    (found,) = convert_values(values, "F32", ["Q8_0"])
    assert found[:2].view(np.float16)[0] == 1.0  # the scale: largest / 127
    assert found[2:6].view(np.int8).tolist() == [127, -64, 1, 1]  # halves go away from zero


def test_several_types_at_once() -> None:
    values = np.random.default_rng(6).standard_normal((3, 32), dtype=np.float32)
    targets = ["F16", "F32", "Q8_0", "F32"]
    found = [block.tobytes() for block in convert_values(values, "F32", targets)]
    assert found == [convert_values(values, "F32", [target])[0].tobytes() for target in targets]
