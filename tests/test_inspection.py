import json
import shutil
from pathlib import Path

import pytest

from qwen3vl_edge.bundle import find_bundle
from qwen3vl_edge.converters import convert
from qwen3vl_edge.errors import CheckpointError, GGUFError, UsageError
from qwen3vl_edge.inspection import inspect_path, kind_of
from qwen3vl_edge.limits import VideoLimits
from tests.tiny_checkpoint import TinyShape, tiny_tensors, write_tiny_checkpoint


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_checkpoint(tmp_path_factory.mktemp("c") / "Tiny", sharded=True, tied=False)


@pytest.fixture(scope="module")
def bundle(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return convert(checkpoint, tmp_path_factory.mktemp("out"), type="Q8_0").folder


def test_checkpoint_and_bundle_state_the_same_facts(checkpoint: Path, bundle: Path) -> None:
    before, after = inspect_path(checkpoint), inspect_path(bundle)
    assert (before.kind, after.kind) == ("checkpoint", "bundle")
    assert before.text == after.text
    assert before.vision == after.vision
    assert (
        before.n_parameters
        == after.n_parameters
        == sum(values.size for values in tiny_tensors(TinyShape(), tied=False).values())
    )


def test_facts(bundle: Path) -> None:
    found = inspect_path(bundle)
    assert found.text is not None
    assert found.vision is not None
    assert (found.text.context_length, found.text.vocab_size, found.text.head_dim) == (4096, 300, 64)
    assert found.text.tied_embeddings is False
    assert found.text.n_deepstack_layers == 3
    assert found.vision.deepstack_layers == (0, 2, 3)
    assert (found.vision.image.min_tokens, found.vision.image.max_tokens) == (4, 64)
    assert found.vision.video == VideoLimits(4096, 262144, 2.0, 4, 768)
    assert found.name == "Tiny"
    assert [file.type for file in found.files] == ["Q8_0", "F16"]


def test_types_add_up(bundle: Path) -> None:
    found = inspect_path(bundle)
    assert {use.name for use in found.types} == {"Q8_0", "F16", "F32"}
    assert sum(use.n_parameters for use in found.types) == found.n_parameters
    assert sum(use.n_tensors for use in found.types) == 47 + 88
    assert 0 < found.size_bytes - sum(use.size_bytes for use in found.types) < 100_000
    assert list(found.types) == sorted(found.types, key=lambda use: -use.size_bytes)


def test_single_files_hold_one_half(bundle: Path) -> None:
    model = inspect_path(next(bundle.glob("Tiny*.gguf")))
    projector = inspect_path(next(bundle.glob("mmproj*.gguf")))
    assert (model.kind, model.architecture, model.vision) == ("gguf", "qwen3vl", None)
    assert (projector.architecture, projector.text) == ("clip", None)
    assert projector.vision == inspect_path(bundle).vision


def test_everything_is_ready_for_json(checkpoint: Path, bundle: Path) -> None:
    for path in (checkpoint, bundle, next(bundle.glob("mmproj*"))):
        value = json.loads(json.dumps(inspect_path(path).to_dict()))
        assert value["path"] == str(path)
        assert value["types"][0]["size_bytes"] > 0


def test_a_bundle_in_its_checkpoint_s_folder_is_the_bundle(checkpoint: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(checkpoint, tmp_path / "Both"))
    assert kind_of(folder) == "checkpoint"
    convert(checkpoint, folder, type="Q8_0")
    found = inspect_path(folder)
    assert (kind_of(folder), found.kind) == ("bundle", "bundle")
    assert [file.type for file in found.files] == ["Q8_0", "F16"]


def test_what_cannot_be_inspected(tmp_path: Path, checkpoint: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        inspect_path(tmp_path / "absent")
    with pytest.raises(UsageError, match="no language model"):
        inspect_path(tmp_path)
    with pytest.raises(GGUFError, match="not a GGUF file"):
        inspect_path(checkpoint / "config.json")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="architectures"):
        inspect_path(tmp_path)


def test_the_weakest_tensors_are_named(tmp_path: Path) -> None:
    checkpoint = write_tiny_checkpoint(tmp_path / "c")
    convert(checkpoint, tmp_path / "plain", type="f32", projector_type="f32")
    convert(checkpoint, tmp_path / "weak", type="Q2_K", projector_type="Q8_0")
    assert inspect_path(tmp_path / "plain").weakest == ()
    weakest = inspect_path(tmp_path / "weak").weakest
    notes = find_bundle(tmp_path / "weak").manifest.models[0][0].tensors  # type: ignore[union-attr]
    of_model = [tensor for tensor in weakest if not tensor.file.startswith("mmproj-")]
    assert [tensor.error for tensor in of_model] == sorted((note.error for note in notes), reverse=True)[:5]
    assert of_model[0].error > 0.1 > max(t.error for t in weakest if t not in of_model) > 0
