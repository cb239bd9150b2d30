"""The fixtures themselves: what the other tests take for granted."""

from pathlib import Path

import numpy as np
import pytest

from qwen3vl_edge.checkpoint import Checkpoint
from qwen3vl_edge.hf_config import read_config
from tests.converters.cases import SHALLOW, SHALLOW_MOE
from tests.fp8 import E4M3, Fp8, write_dequantized
from tests.safetensors_files import Stored, read_stored
from tests.tiny_checkpoint import ExpertLayout, TinyShape, tiny_tensors, write_tiny_checkpoint
from tests.true_shapes import TRUE_SHAPES, write_hollow

EXPERTS = "model.language_model.layers.1.mlp.experts"


def test_every_layout_holds_the_same_experts(tmp_path: Path) -> None:
    published, five, separate = (_moe(tmp_path, layout) for layout in ("4.57", "5", "separate"))
    n_experts, hidden, ffn = SHALLOW_MOE.n_experts, SHALLOW_MOE.hidden, SHALLOW_MOE.expert_ffn
    gate_up, down = (published[f"{EXPERTS}.{name}_proj"].values for name in ("gate_up", "down"))
    assert (gate_up.shape, down.shape) == ((n_experts, hidden, 2 * ffn), (n_experts, ffn, hidden))
    np.testing.assert_array_equal(five[f"{EXPERTS}.gate_up_proj"].values, gate_up.transpose(0, 2, 1))
    np.testing.assert_array_equal(five[f"{EXPERTS}.down_proj"].values, down.transpose(0, 2, 1))
    for expert in range(n_experts):
        parts = {"gate": gate_up[expert, :, :ffn], "up": gate_up[expert, :, ffn:], "down": down[expert]}
        for name, values in parts.items():
            stored = separate[f"{EXPERTS}.{expert}.{name}_proj.weight"]
            np.testing.assert_array_equal(stored.values, values.T)


@pytest.mark.parametrize("shape", [SHALLOW, SHALLOW_MOE], ids=["dense", "moe"])
@pytest.mark.parametrize("fp8", [Fp8((128, 128), "BF16"), Fp8((32, 48), "F32")], ids=str)
def test_fp8_is_near_what_it_was_made_of(shape: TinyShape, fp8: Fp8, tmp_path: Path) -> None:
    folder = write_tiny_checkpoint(tmp_path / "fp8", shape=shape, dtype="F8_E4M3", fp8=fp8)
    stored = read_stored(folder / "model.safetensors")
    twin = read_stored(write_dequantized(folder, tmp_path / "twin") / "model.safetensors")
    quantized = [name for name, tensor in stored.items() if tensor.dtype == "F8_E4M3"]
    assert {name for name in stored if name not in twin} == {f"{name}_scale_inv" for name in quantized}
    for name, original in tiny_tensors(shape).items():
        step = 2.0**-4 if name in quantized else 2.0**-8
        np.testing.assert_allclose(twin[name].values, original, rtol=step, atol=1e-5)
    assert all(stored[f"{name}_scale_inv"].dtype == fp8.scale_dtype for name in quantized)
    assert read_config(folder).fp8_block == fp8.block


def test_fp8_has_every_value(tmp_path: Path) -> None:
    folder = write_tiny_checkpoint(tmp_path / "fp8", dtype="F8_E4M3")
    tensors = read_stored(folder / "model.safetensors").values()
    found = {int(code) for item in tensors if item.dtype == "F8_E4M3" for code in np.unique(item.values)}
    assert found == set(range(256)) - {0x7F, 0xFF}
    assert [float(E4M3[code]) for code in (0x00, 0x01, 0x08, 0x38, 0x7E, 0xC1)] == [
        0,
        2**-9,
        2**-6,
        1,
        448,
        -2.25,
    ]


@pytest.mark.parametrize(
    ("name", "gigabytes"),
    [
        ("2B", 4.255),
        ("4B", 8.876),
        ("8B", 17.534),
        ("32B", 66.715),
        ("30B-A3B", 62.142),
        ("235B-A22B", 471.340),
    ],
)
def test_true_shapes_weigh_what_they_should(name: str, gigabytes: float, tmp_path: Path) -> None:
    """As many weights as transformers makes of the same config (tests/parity/test_fixtures.py)."""
    folder = write_hollow(name, tmp_path)
    checkpoint = Checkpoint.open(folder)
    assert sum(tensor.nbytes for tensor in checkpoint.tensors) / 1e9 == pytest.approx(gigabytes, abs=1e-3)
    assert read_config(folder).text.n_layers == TRUE_SHAPES[name].n_layers


def _moe(folder: Path, layout: ExpertLayout) -> dict[str, Stored]:
    path = write_tiny_checkpoint(folder / layout, shape=SHALLOW_MOE, expert_layout=layout)
    return read_stored(path / "model.safetensors")
