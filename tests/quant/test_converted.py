"""Files of the converter, language model and projector, against llama.cpp's own quantizer."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qwen3vl_edge.bundle import Bundle
from qwen3vl_edge.converters import convert
from qwen3vl_edge.gguf_info import GGUFInfo
from qwen3vl_edge.quant import QUANTIZED_FILE_TYPES, ModelTraits, Wishes
from tests.quant.oracle import run_oracle
from tests.quant.ours import choose, make_imatrix, run_ours
from tests.quant.tiny_gguf import Tensors, TinyModel, tiny_tensors
from tests.tiny_checkpoint import MOE, write_tiny_checkpoint

# llama.cpp aborts on a projector where its recipe asks for the heads of the language model: all IQ types
# but IQ3_M, Q2_K and Q2_K_S.
OF_PROJECTORS = (
    *("F16", "BF16", "Q8_0", "Q6_K", "Q5_1", "Q5_K_M", "Q5_K_S", "Q5_0", "Q4_1", "Q4_K_M", "Q4_K_S", "Q4_0"),
    *("MXFP4_MOE", "Q3_K_L", "Q3_K_M", "IQ3_M", "Q3_K_S", "Q2_0", "TQ2_0", "TQ1_0"),
)


@pytest.fixture(scope="module")
def moe_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Experts; a vision encoder whose rows fit every type and of more than ten layers, as names sort."""
    folder = tmp_path_factory.mktemp("moe")
    shape = replace(MOE, vision_hidden=256, vision_heads=4, vision_ffn=512, vision_layers=12)
    checkpoint = write_tiny_checkpoint(folder / "checkpoint", shape=shape, tied=False)
    return convert(checkpoint, folder / "bundle", type="f32", projector_type="f32")


def tensors_of(path: Path) -> Tensors:
    raw, info = np.memmap(path, np.uint8, "r"), GGUFInfo.read(path)
    return {
        tensor.name: np.array(raw[tensor.offset : tensor.offset + tensor.nbytes])
        .view("<f4")
        .reshape(tensor.shape)
        for tensor in info.tensors
    }


def traits_of(path: Path) -> ModelTraits:
    info = GGUFInfo.read(path)
    if info.architecture == "clip":
        return ModelTraits()
    keys = ("block_count", "attention.head_count", "attention.head_count_kv", "expert_count")
    return ModelTraits(*(int(info.metadata.get(f"{info.architecture}.{key}", 0)) for key in keys))


def compare(source: Path, target: Path, file_type: str, *, matrix: bool) -> None:
    tensors, kind = tensors_of(source), QUANTIZED_FILE_TYPES[file_type]
    imatrix = make_imatrix(tensors) if matrix else None
    choices = choose(tensors, kind, traits_of(source), Wishes(), has_imatrix=matrix)
    theirs = run_oracle(source, target, kind, Wishes(), imatrix)
    assert theirs is not None
    ours = run_ours(tensors, choices, imatrix)
    assert {name: kind for name, (kind, _) in ours.items()} == {
        name: kind for name, (kind, _) in theirs.items()
    }
    assert [name for name in ours if ours[name] != theirs[name]] == []


@pytest.mark.parametrize(("file_type", "matrix"), [("Q8_0", False), ("Q4_K_M", False), ("Q3_K_M", True)])
def test_language_models(
    tmp_path: Path, tiny_bundle: Bundle, moe_bundle: Bundle, file_type: str, matrix: bool
) -> None:
    for bundle in (tiny_bundle, moe_bundle):
        compare(bundle.model, tmp_path / "target.gguf", file_type, matrix=matrix)


@pytest.mark.parametrize("file_type", OF_PROJECTORS)
def test_projectors(tmp_path: Path, tiny_bundle: Bundle, file_type: str) -> None:
    compare(tiny_bundle.projector, tmp_path / "target.gguf", file_type, matrix=False)


@pytest.mark.parametrize("file_type", ["Q3_K_M", pytest.param("Q4_K_M", marks=pytest.mark.types)])
def test_projectors_of_whole_blocks(tmp_path: Path, moe_bundle: Bundle, file_type: str) -> None:
    compare(moe_bundle.projector, tmp_path / "target.gguf", file_type, matrix=True)


def test_tiny_models_have_the_names_of_the_converter(tiny_bundle: Bundle, moe_bundle: Bundle) -> None:
    for bundle, model in ((tiny_bundle, TinyModel()), (moe_bundle, TinyModel(n_experts=11, tied=False))):
        names = {name: values.ndim for name, values in tensors_of(bundle.model).items()}
        assert names == {name: values.ndim for name, values in tiny_tensors(model).items()}
