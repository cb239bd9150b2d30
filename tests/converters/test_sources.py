"""FP8 by definition, and reading by ranges against reading whole."""

from pathlib import Path

import numpy as np
import pytest

from qwen3vl_edge.checkpoint import Checkpoint, TensorRef
from qwen3vl_edge.converters.sources import CheckpointSource, dequantize_fp8, e4m3_values
from qwen3vl_edge.writing.source import Cut
from tests.safetensors_files import Stored, write_stored

RNG = np.random.default_rng(8)


@pytest.mark.parametrize(
    ("code", "value"),
    [
        (0x00, 0.0),
        (0x01, 2.0**-9),
        (0x08, 2.0**-6),
        (0x38, 1.0),
        (0x39, 1.125),
        (0x7E, 448.0),
        (0xFE, -448.0),
    ],
)
def test_e4m3_by_hand(code: int, value: float) -> None:
    assert e4m3_values()[code] == value


def test_e4m3_has_two_nans_and_signed_zeros() -> None:
    assert np.flatnonzero(np.isnan(e4m3_values())).tolist() == [0x7F, 0xFF]
    assert np.signbit(e4m3_values()[0x80])
    assert np.isfinite(np.delete(e4m3_values(), [0x7F, 0xFF])).all()


def by_definition(codes: np.ndarray, scales: np.ndarray, block: tuple[int, int]) -> np.ndarray:
    values = np.empty(codes.shape, np.float32)
    for place in np.ndindex(codes.shape):
        *outer, row, column = place
        scale = scales[(*outer, row // block[0], column // block[1])]
        values[place] = e4m3_values()[codes[place]] * scale
    return values


@pytest.mark.parametrize("shape", [(10, 13), (3, 10, 13)])
def test_blocks_of_fp8(shape: tuple[int, ...]) -> None:
    block = (4, 5)
    codes = RNG.integers(0, 127, shape, dtype=np.uint8)
    scales = RNG.random((*shape[:-2], 3, 3), dtype=np.float32)
    np.testing.assert_array_equal(
        dequantize_fp8(codes, scales, block), by_definition(codes, scales, block), strict=True
    )


@pytest.mark.parametrize("shape", [(10, 13), (3, 10, 13)])
def test_any_range_of_fp8_rows_is_that_of_the_whole(tmp_path: Path, shape: tuple[int, ...]) -> None:
    block, codes = (4, 5), RNG.integers(0, 127, shape, dtype=np.uint8)
    scales = RNG.random((*shape[:-2], 3, 3), dtype=np.float32)
    scale, weight = stored(tmp_path, {"s": Stored("F32", scales), "w": Stored("F8_E4M3", codes)})
    source = CheckpointSource((weight,), scales=(scale,), fp8_block=block)
    whole = by_definition(codes, scales, block)
    assert (source.shape, source.dtype) == (shape, "F32")
    for start in range(shape[0]):
        for stop in range(start + 1, shape[0] + 1):
            np.testing.assert_array_equal(source.read(start, stop), whole[start:stop])


def test_experts_are_stacked_one_by_one(tmp_path: Path) -> None:
    values = RNG.random((4, 5, 6), dtype=np.float32)
    refs = stored(tmp_path, {f"e{i}": Stored("F32", values[i]) for i in range(4)})
    source = CheckpointSource(refs, stacked=True)
    assert (source.shape, source.nbytes) == ((4, 5, 6), values.nbytes)
    assert list(source.ranges(1)) == [(0, 1), (1, 2), (2, 3), (3, 4)]
    assert list(source.ranges(2 * 5 * 6 * 4)) == [(0, 2), (2, 4)]
    np.testing.assert_array_equal(source.read(1, 3), values[1:3])
    single = CheckpointSource(refs[:1], stacked=True)
    assert single.shape == (1, 5, 6)
    np.testing.assert_array_equal(single.read(0, 1), values[:1])


def test_cuts() -> None:
    values = np.arange(2 * 6 * 4, dtype=np.float32).reshape(2, 6, 4)
    everything = slice(None)
    np.testing.assert_array_equal(Cut().of(values), values)
    np.testing.assert_array_equal(Cut((slice(3, None),)).of(values), values[:, 3:])
    left = Cut((everything, slice(0, 2)), transposed=True).of(values)
    np.testing.assert_array_equal(left, values[:, :, :2].transpose(0, 2, 1))
    assert left.flags.c_contiguous
    np.testing.assert_array_equal(Cut((everything, 1)).of(values), values[:, :, 1])


def stored(folder: Path, tensors: dict[str, Stored]) -> tuple[TensorRef, ...]:
    (folder / "config.json").write_text("{}")
    write_stored(folder / "model.safetensors", tensors)
    return Checkpoint.open(folder).tensors
