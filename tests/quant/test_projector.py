"""Zeros in the vision MLP change nothing: shapes by hand, outputs by running both."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qwen3vl_edge.bundle import Bundle
from qwen3vl_edge.converters import both_files, convert
from qwen3vl_edge.ggml_types import TYPES_BY_NAME
from qwen3vl_edge.gguf_info import GGUFInfo
from qwen3vl_edge.quant.projector import UNPADDED_KEY, WIDTH_KEY, padded_shape, padded_width
from qwen3vl_edge.runtime.engine_settings import EngineSettings
from qwen3vl_edge.runtime.llama_engine import LlamaEngine
from tests.prompts import conversations
from tests.tiny_checkpoint import TinyShape, write_tiny_checkpoint


@pytest.mark.parametrize(
    ("width", "kind", "padded"),
    [
        (4304, "Q8_0", 4320),
        (4304, "Q4_K", 4352),
        (4304, "F16", 4304),
        (4096, "Q6_K", 4096),
        (208, "Q4_0", 224),
    ],
)
def test_widths(width: int, kind: str, padded: int) -> None:
    assert padded_width(width, TYPES_BY_NAME[kind]) == padded


@pytest.mark.parametrize(
    ("name", "shape", "padded"),
    [
        ("v.blk.3.ffn_up.weight", (208, 80), (224, 80)),
        ("v.blk.3.ffn_up.bias", (208,), (224,)),
        ("v.blk.11.ffn_down.weight", (80, 208), (80, 224)),
        ("v.blk.3.ffn_down.bias", (80,), (80,)),
        ("v.blk.3.attn_qkv.weight", (240, 80), (240, 80)),
        ("v.deepstack.3.fc1.weight", (320, 320), (320, 320)),
    ],
)
def test_shapes(name: str, shape: tuple[int, ...], padded: tuple[int, ...]) -> None:
    assert padded_shape(name, shape, 224) == padded


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # rows of 96: blocks of 32 fit everywhere but in the MLP of 208
    shape = replace(TinyShape(), vision_hidden=96, vision_heads=4)
    return write_tiny_checkpoint(tmp_path_factory.mktemp("projector") / "tiny", shape=shape)


def test_q8_0_keeps_nothing_in_f16_for_want_of_a_fit(checkpoint: Path, tmp_path: Path) -> None:
    info = GGUFInfo.read(convert(checkpoint, tmp_path, projector_type="Q8_0").projector)
    kinds = {tensor.name: tensor.type_name for tensor in info.tensors}
    assert kinds["v.blk.0.ffn_down.weight"] == kinds["v.blk.0.ffn_up.weight"] == "Q8_0"
    assert kinds["mm.0.weight"] == kinds["v.blk.0.attn_qkv.weight"] == "Q8_0"
    assert kinds["v.position_embd.weight"] == "F32"
    assert kinds["v.patch_embd.weight"] == kinds["v.patch_embd.weight.1"] == "F16"
    assert (info.integer(WIDTH_KEY), info.integer(UNPADDED_KEY)) == (224, 208)
    shapes = {tensor.name: tensor.shape for tensor in info.tensors}
    assert shapes["v.blk.0.ffn_down.weight"] == (96, 224)
    assert shapes["v.blk.0.ffn_up.bias"] == (224,)


def test_padded_weights_hold_zeros_and_nothing_else_new(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, padded = _plain_and_padded(checkpoint, tmp_path, monkeypatch)
    before, after = (
        {tensor.name: tensor for tensor in GGUFInfo.read(bundle.projector).tensors}
        for bundle in (plain, padded)
    )
    assert before.keys() == after.keys()
    for name in before:
        old, new = (
            np.fromfile(found.path, np.float32, found.n_elements, offset=found.offset).reshape(found.shape)
            for found in (before[name], after[name])
        )
        grown = np.zeros_like(new)
        grown[tuple(slice(0, size) for size in old.shape)] = old
        np.testing.assert_array_equal(new, grown)
    assert after["v.blk.2.ffn_down.weight"].shape[1] == 256


def test_f32_outputs_are_equal_before_and_after(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logits = []
    for bundle in _plain_and_padded(checkpoint, tmp_path, monkeypatch):
        with LlamaEngine(bundle, EngineSettings(n_threads=1)) as engine:
            logits.append([engine.next_logits(engine.info.template.parts(talk)) for talk in _talks()])
    for plain, padded in zip(*logits, strict=True):
        np.testing.assert_array_equal(plain, padded)
        assert np.isfinite(plain).all()


def _talks() -> list:
    chosen = conversations()
    return [chosen[name] for name in list(chosen)[:8]]


def _plain_and_padded(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Bundle, Bundle]:
    """Both in F32, the second as wide as blocks of 256 would want it."""
    plain = convert(checkpoint, tmp_path / "plain", type="f32", projector_type="f32")
    monkeypatch.setattr(both_files, "padded_width", lambda *_: 256)
    return plain, convert(checkpoint, tmp_path / "padded", type="f32", projector_type="f32")
