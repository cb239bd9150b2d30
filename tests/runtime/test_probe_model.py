from pathlib import Path

import gguf
import numpy as np
import pytest
from gguf import GGMLQuantizationType as Type

from qwen3vl_edge.runtime.probe_model import MATRICES, write_probe_model


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("probe")
    quantized, reference = folder / "quantized.gguf", folder / "reference.gguf"
    write_probe_model(quantized, reference)
    return quantized, reference


def test_it_is_small(models: tuple[Path, Path]) -> None:
    assert models[0].stat().st_size < 1_000_000


def test_every_type_with_a_fast_cpu_kernel_holds_a_matrix(models: tuple[Path, Path]) -> None:
    held = {tensor.tensor_type for tensor in gguf.GGUFReader(models[0]).tensors}
    assert held >= {Type.Q8_0, Type.Q4_0, Type.Q4_1, Type.Q4_K, Type.Q5_K, Type.Q6_K, Type.IQ4_XS}


def test_shapes_reach_the_amx_kernels_and_more_than_one_block() -> None:
    for matrix in MATRICES:
        block, _ = gguf.GGML_QUANT_SIZES[matrix.type]
        assert matrix.n_out % 32 == 0, matrix
        assert matrix.n_in >= 2 * block, matrix


def test_the_reference_holds_the_same_weights(models: tuple[Path, Path]) -> None:
    quantized, reference = (gguf.GGUFReader(path).tensors for path in models)
    for packed, plain in zip(quantized, reference, strict=True):
        assert packed.name == plain.name
        assert plain.tensor_type is Type.F32
        assert np.array_equal(gguf.dequantize(packed.data, packed.tensor_type), plain.data), packed.name


def test_the_seed_decides_every_byte(models: tuple[Path, Path], tmp_path: Path) -> None:
    again, other = tmp_path / "again.gguf", tmp_path / "other.gguf"
    write_probe_model(again, tmp_path / "reference.gguf")
    write_probe_model(other, tmp_path / "reference.gguf", seed=1)
    assert again.read_bytes() == models[0].read_bytes()
    assert other.read_bytes() != models[0].read_bytes()
