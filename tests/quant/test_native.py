import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

import numpy as np
import pytest
from gguf import GGMLQuantizationType, quants
from numpy.typing import NDArray

from qwen3vl_edge.errors import EngineError
from qwen3vl_edge.ggml_types import TensorType
from qwen3vl_edge.quant import TENSOR_TYPES, dequantize_rows, quantize_rows
from qwen3vl_edge.quant.native import _ggml, are_sound, error_and_power
from qwen3vl_edge.quant.scales import scales_are_finite

ROW = 512
SEARCHING = ("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S")


def weights(seed: int = 0, rows: int = 6) -> NDArray[np.float32]:
    values = np.random.default_rng(seed).standard_normal((rows, ROW), dtype=np.float32)
    return values * np.float32(0.05)


def relative_rms(values: NDArray[np.float32], packed: NDArray[np.uint8], kind: TensorType) -> float:
    error, power = error_and_power(values, packed, kind)
    return float(np.sqrt(error / power))


def importance() -> NDArray[np.float32]:
    return np.random.default_rng(7).random(ROW, dtype=np.float32) + np.float32(0.01)


@pytest.mark.parametrize("name", TENSOR_TYPES)
def test_rows_are_quantized_each_by_itself(name: str) -> None:
    kind, values, matrix = TENSOR_TYPES[name], weights(), importance()
    whole = quantize_rows(values, kind, matrix)
    assert whole.dtype == np.uint8
    assert whole.shape == (6 * ROW // kind.block * kind.block_bytes,)
    cuts = (values[:1], values[1:2], values[2:5], values[5:])
    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(lambda rows: quantize_rows(rows, kind, matrix), cuts))
    assert np.array_equal(np.concatenate(parts), whole)


def by_gguf(packed: NDArray[np.uint8], kind_id: int) -> NDArray[np.float32]:
    return quants.dequantize(packed, GGMLQuantizationType(kind_id))


def by_hand(bits: int, levels: tuple[int, ...]) -> Callable[[NDArray[np.uint8], int], NDArray[np.float32]]:
    """Blocks of a scale in F16 and 16 bytes of codes, the lowest bits first (ggml-common.h)."""

    def dequantize(packed: NDArray[np.uint8], _kind_id: int) -> NDArray[np.float32]:
        blocks = packed.reshape(-1, 18)
        scales = np.ascontiguousarray(blocks[:, :2]).view(np.float16).astype(np.float32)
        shifts = np.arange(0, 8, bits, dtype=np.uint8)
        codes = ((blocks[:, 2:, None] >> shifts) & (2**bits - 1)).reshape(len(blocks), -1)
        return (scales * np.array(levels, np.float32)[codes]).reshape(len(packed), -1)

    return dequantize


# gguf 0.19.0 does not know these yet
REFERENCE = {"Q1_0": by_hand(1, (-1, 1)), "Q2_0": by_hand(2, (-1, 0, 1, 2))}


@pytest.mark.parametrize("name", TENSOR_TYPES)
def test_dequantizes_as_the_reference_does(name: str) -> None:
    kind, values = TENSOR_TYPES[name], weights(1)
    packed = quantize_rows(values, kind, importance())
    theirs = REFERENCE.get(name, by_gguf)(packed.reshape(6, -1), kind.id)
    assert np.array_equal(dequantize_rows(packed, kind).reshape(6, ROW), theirs)
    expected = np.sqrt(
        np.mean((theirs.astype(np.float64) - values) ** 2) / np.mean(values.astype(np.float64) ** 2)
    )
    assert relative_rms(values, packed, kind) == pytest.approx(expected, rel=1e-9)


def test_importance_is_heeded() -> None:
    values, matrix = weights(), np.full(ROW, 1e-6, np.float32)
    matrix[:128] = 1
    kind = TENSOR_TYPES["Q4_0"]
    plain, weighted = (dequantize_rows(quantize_rows(values, kind, m), kind) for m in (None, matrix))
    errors = [np.abs(done.reshape(6, ROW) - values)[:, :128].mean() for done in (plain, weighted)]
    assert errors[0] != errors[1]


def test_layout_of_the_arrays_does_not_matter() -> None:
    kind, values = TENSOR_TYPES["Q4_K"], weights(rows=8)
    expected = quantize_rows(np.ascontiguousarray(values[::2]), kind)
    assert np.array_equal(quantize_rows(values[::2], kind), expected)
    assert np.array_equal(quantize_rows(np.asfortranarray(values)[::2], kind), expected)
    spread = np.zeros(2 * ROW, np.float32)
    spread[::2] = importance()
    assert np.array_equal(quantize_rows(values, kind, spread[::2]), quantize_rows(values, kind, importance()))


def test_no_rows() -> None:
    assert quantize_rows(np.empty((0, 256), np.float32), TENSOR_TYPES["Q4_K"]).shape == (0,)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", TENSOR_TYPES)
def test_refuses_numbers_that_are_none(name: str, bad: float) -> None:
    values = weights()
    values[3, 7] = bad
    with pytest.raises(EngineError, match="NaN or infinite; the source is damaged"):
        quantize_rows(values, TENSOR_TYPES[name], importance())


@pytest.mark.parametrize("large", [-1e9, 1e20, 3e38])
@pytest.mark.parametrize("name", sorted(TENSOR_TYPES.keys() - {"F32", "BF16", "MXFP4"}))
def test_refuses_what_overflows_or_aborts(name: str, large: float) -> None:
    values = weights()
    values[3, 7] = large
    with pytest.raises(EngineError, match=f"too large for {name}; choose F32 or BF16"):
        quantize_rows(values, TENSOR_TYPES[name], importance())


def test_refuses_scales_that_overflow(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(EngineError, match=r"values up to 6e\+05 are too large for Q4_0; choose F32 or BF16"):
        quantize_rows(np.full((2, 64), 6e5, np.float32), TENSOR_TYPES["Q4_0"])
    assert capfd.readouterr().err == ""  # nothing of ggml's own words


@pytest.mark.parametrize("name", sorted(TENSOR_TYPES.keys() - {"F32", "F16", "BF16"}))
def test_blocks_are_judged_as_ggml_does(name: str) -> None:
    """On bytes of every kind: the quiet look finds all that ggml's own would, and nothing else."""
    kind, rng = TENSOR_TYPES[name], np.random.default_rng(8)
    found = set()
    for _ in range(300):
        packed = rng.integers(0, 256, kind.block_bytes, np.uint8) | rng.choice(
            np.array([0, 0x7C, 0xFF], np.uint8)
        )
        theirs = bool(_ggml().ggml_validate_row_data(kind.id, packed.ctypes.data, packed.nbytes))
        assert scales_are_finite(packed, kind) == are_sound(packed, kind) == theirs
        found.add(theirs)
    assert found == ({True} if name == "NVFP4" else {True, False})  # all bytes are scales of NVFP4


@pytest.mark.parametrize(
    ("name", "limit"), [("F16", 65520.0), ("BF16", 3.39617752923046e38), ("NVFP4", 2688.0)]
)
def test_the_largest_values(name: str, limit: float) -> None:
    below = np.full((1, 64), np.nextafter(np.float32(limit), np.float32(0)), np.float32)
    assert relative_rms(below, quantize_rows(below, TENSOR_TYPES[name]), TENSOR_TYPES[name]) < 0.01
    with pytest.raises(EngineError, match=f"too large for {name}"):
        quantize_rows(-np.full((1, 64), np.float32(limit)), TENSOR_TYPES[name])


@pytest.mark.parametrize("spoil", [-1.0, np.nan, np.inf])
def test_refuses_importance_that_is_none(spoil: float) -> None:
    matrix = importance()
    matrix[5] = spoil
    with pytest.raises(EngineError, match="importance is negative, not finite or 0"):
        quantize_rows(weights(), TENSOR_TYPES["IQ3_S"], matrix)


@pytest.mark.parametrize("name", SEARCHING)
@pytest.mark.parametrize("factor", [0.0, 1e25, 1e37])
def test_refuses_importance_that_makes_nonsense(name: str, factor: float) -> None:
    with pytest.raises(EngineError, match="importance"):
        quantize_rows(weights(), TENSOR_TYPES[name], importance() * np.float32(factor))


@pytest.mark.parametrize("name", SEARCHING)
@pytest.mark.parametrize(
    ("scale", "factor"), [(1e9, 0.0099), (1e6, 1e4), (1e3, 1e9), (1e-2, 9e19), (1e-30, 1e-8)]
)
def test_survives_the_extremes_that_pass(name: str, scale: float, factor: float) -> None:
    """Where this fails it takes the process with it."""
    values = np.clip(weights(), -0.99, 0.99) * np.float32(scale)
    matrix = importance() * np.float32(factor)
    try:
        quantize_rows(values, TENSOR_TYPES[name], matrix)
    except EngineError as refusal:
        assert "too large" in str(refusal)


@pytest.mark.parametrize("name", ["IQ1_S", "IQ2_XXS", "IQ2_XS"])
def test_refuses_to_do_without_importance(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} needs an importance"):
        quantize_rows(weights(), TENSOR_TYPES[name])


@pytest.mark.parametrize(
    ("row", "matrix"), [(320, None), (256, np.ones(128, np.float32)), (256, np.ones((1, 256), np.float32))]
)
def test_refuses_shapes_that_do_not_fit(row: int, matrix: NDArray[np.float32] | None) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        quantize_rows(np.zeros((2, row), np.float32), TENSOR_TYPES["Q4_K"], matrix)


def test_needs_nothing_but_ggml_base() -> None:
    """The same bytes in a process where llama.cpp was never loaded."""
    code = (
        "import sys; from tests.quant.test_native import digest; "
        "assert 'llama_cpp' not in sys.modules; sys.stdout.write(digest())"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == digest()


def digest() -> str:
    values, matrix = weights(), importance()
    names = ("F16", "BF16", "Q8_0", "Q4_K", "Q6_K", "IQ4_XS", "MXFP4", "IQ3_XXS")
    return sha256(
        b"".join(quantize_rows(values, TENSOR_TYPES[n], matrix).tobytes() for n in names)
    ).hexdigest()
