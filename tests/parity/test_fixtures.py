"""The fixtures against transformers and torch: true shapes, layouts of experts, eight-bit floats."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForImageTextToText

from tests.converters.cases import SHALLOW_MOE
from tests.fp8 import E4M3
from tests.tiny_checkpoint import ExpertLayout, Spelling, tensor_shapes, tiny_tensors, write_tiny_checkpoint
from tests.tiny_moe import lay_out_experts
from tests.true_shapes import TRUE_SHAPES, write_true_config

pytestmark = pytest.mark.parity

TIED = {"2B", "4B"}


@pytest.mark.parametrize("name", TRUE_SHAPES)
def test_true_shapes_are_those_of_the_reference(name: str, tmp_path: Path) -> None:
    config = AutoConfig.from_pretrained(write_true_config(name, tmp_path))
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config)
    expected = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    if name in TIED:
        del expected["lm_head.weight"]
    found = tensor_shapes(TRUE_SHAPES[name], tied=name in TIED)
    # the model holds experts as transformers 5 saves them, the published files are transposed
    found = {key: (dims[0], dims[2], dims[1]) if ".experts." in key else dims for key, dims in found.items()}
    assert found == expected


@pytest.mark.parametrize(("layout", "spelling"), [("4.57", "4.57"), ("5", "5")])
def test_transformers_reads_both_fused_layouts(
    layout: ExpertLayout, spelling: Spelling, tmp_path: Path
) -> None:
    folder = write_tiny_checkpoint(
        tmp_path, shape=SHALLOW_MOE, expert_layout=layout, spelling=spelling, dtype="F32"
    )
    state = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).state_dict()
    for name, values in lay_out_experts(tiny_tensors(SHALLOW_MOE), "5").items():
        np.testing.assert_array_equal(state[name].numpy(), values)


def test_eight_bit_floats_are_those_of_torch() -> None:
    codes = torch.arange(256, dtype=torch.int32).to(torch.uint8)
    expected = codes.view(torch.float8_e4m3fn).float().numpy()
    np.testing.assert_array_equal(
        E4M3.view(np.uint32)[~np.isnan(E4M3)], expected.view(np.uint32)[~np.isnan(E4M3)]
    )
    np.testing.assert_array_equal(np.isnan(E4M3), np.isnan(expected))
