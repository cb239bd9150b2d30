"""Bit patterns written down by hand, and gguf's own quantizer as a second opinion."""

import gguf
import numpy as np
import pytest
from numpy.typing import NDArray

from qwen3vl_edge.checkpoint import to_float32
from qwen3vl_edge.converters.tensor_types import choose_type
from qwen3vl_edge.converters.transforms import convert_values, temporal_slice

# float32 bits -> bfloat16 bits: nearest even, NaN made quiet
TO_BF16 = [
    (0x3F800000, 0x3F80),
    (0x3F807FFF, 0x3F80),
    (0x3F808000, 0x3F80),  # a tie goes to the even side, down here
    (0x3F818000, 0x3F82),  # and up here
    (0x3F808001, 0x3F81),
    (0xBF818000, 0xBF82),
    (0x7F7FFFFF, 0x7F80),  # the largest float32 rounds to infinity
    (0x7F800000, 0x7F80),
    (0xFF800000, 0xFF80),
    (0x7F800001, 0x7FC0),  # signalling NaN
    (0xFF800001, 0xFFC0),
    (0x7FC00000, 0x7FC0),
    (0xFFFFFFFF, 0xFFFF),
    (0x00000001, 0x0000),
    (0x80000000, 0x8000),
]

# float32 -> float16 bits
TO_F16 = [
    (1.0, 0x3C00),
    (65504.0, 0x7BFF),
    (65519.9, 0x7BFF),
    (65520.0, 0x7C00),
    (-1e38, 0xFC00),
    (2.0**-24, 0x0001),
    (2.0**-25, 0x0000),
    (1.0009765625, 0x3C01),
    (1.00048828125, 0x3C00),
]


def f32(bits: list[int]) -> NDArray[np.float32]:
    return np.array(bits, dtype=np.uint32).view(np.float32)


def test_bf16_rounding() -> None:
    values = f32([source for source, _ in TO_BF16])
    found = convert_values(values, "F32", "BF16").view(np.uint16)
    assert [hex(bits) for bits in found] == [hex(bits) for _, bits in TO_BF16]


def test_bf16_stays_but_for_signalling_nans() -> None:
    every = np.arange(65536, dtype=np.uint32).astype(np.uint16)
    found = convert_values(every, "BF16", "BF16").view(np.uint16)
    through_f32 = convert_values(to_float32(every, "BF16"), "F32", "BF16").view(np.uint16)
    np.testing.assert_array_equal(found, through_f32)
    assert np.count_nonzero(found != every) == 2 * 63  # NaN payloads without the quiet bit, both signs


def test_f16_rounding() -> None:
    values = np.array([source for source, _ in TO_F16], dtype=np.float32)
    found = convert_values(values, "F32", "F16").view(np.uint16)
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
    assert convert_values(stored, dtype, target).tobytes() == expected.tobytes()


def test_q8_0_block_by_hand() -> None:
    values = np.zeros((1, 32), dtype=np.float32)
    values[0, :4] = [127.0, -63.5, 0.5, 1.49]
    found = convert_values(values, "F32", "Q8_0")
    assert found[:2].view(np.float16)[0] == 1.0  # the scale: largest / 127
    assert found[2:6].view(np.int8).tolist() == [127, -64, 1, 1]  # halves go away from zero


def test_temporal_slice_takes_the_third_axis() -> None:
    kernel = np.arange(4 * 3 * 2 * 5 * 5, dtype=np.float32).reshape(4, 3, 2, 5, 5)
    for frame in (0, 1):
        found = temporal_slice(kernel, frame)
        assert found.shape == (4, 3, 5, 5)
        assert found.flags.c_contiguous
        assert found[2, 1, 3, 4] == kernel[2, 1, frame, 3, 4]


@pytest.mark.parametrize(
    ("name", "shape", "wanted", "expected"),
    [
        ("blk.0.attn_q.weight", (64, 64), "Q8_0", "Q8_0"),
        ("blk.0.attn_output.weight", (64, 48), "Q8_0", "F16"),
        ("blk.0.attn_norm.weight", (64,), "BF16", "F32"),
        ("token_embd.weight", (300, 64), "Q8_0", "Q8_0"),
        ("v.position_embd.weight", (100, 64), "F16", "F32"),
        ("v.patch_embd.weight", (8, 3, 16, 16), "F16", "F16"),
        ("v.patch_embd.weight.1", (8, 3, 16, 16), "F16", "F16"),
        ("v.patch_embd.weight", (8, 3, 16, 16), "BF16", "F32"),
        ("v.patch_embd.weight.1", (8, 3, 16, 16), "BF16", "F32"),
        ("v.patch_embd.bias", (8,), "F16", "F32"),
        ("mm.0.weight", (64, 64), "BF16", "BF16"),
    ],
)
def test_types(name: str, shape: tuple[int, ...], wanted: str, expected: str) -> None:
    assert choose_type(name, shape, wanted).name == expected
