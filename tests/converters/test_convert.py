import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from qwen3vl_edge.bundle import find_bundle
from qwen3vl_edge.converters import convert, plan_conversion, write
from qwen3vl_edge.converters.plan import safe_name
from qwen3vl_edge.errors import CheckpointError, EdgeError, UsageError
from qwen3vl_edge.gguf_info import GGUFInfo
from qwen3vl_edge.manifest import MANIFEST_NAME, Manifest
from tests.converters.listing import read_listing
from tests.converters.spoil import edit_json, rename_tensors
from tests.tiny_checkpoint import TinyShape, tiny_tensors, write_tiny_checkpoint


def test_a_bundle_appears(checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "folder"
    bundle = convert(checkpoint, out)
    assert sorted(file.name for file in out.iterdir()) == [
        "Tiny-Qwen3-VL-BF16.gguf",
        MANIFEST_NAME,
        "mmproj-Tiny-Qwen3-VL-F16.gguf",
    ]
    assert find_bundle(out) == bundle
    manifest = Manifest.read(out)
    for file in manifest.files:
        raw = (out / file.name).read_bytes()
        assert (len(raw), hashlib.sha256(raw).hexdigest()) == (file.size_bytes, file.sha256)
    assert manifest.file("model").tensor_types == {"BF16": 29, "F32": 17}
    assert manifest.versions["gguf"] == "0.19.0"
    names = {file.name for file in manifest.source.files}
    assert {"config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja"} <= names


def test_values_survive(checkpoint: Path, tmp_path: Path) -> None:
    bundle = convert(checkpoint, tmp_path / "out", type="f32", projector_type="f32")
    tensors = tiny_tensors(TinyShape())
    expected = {
        "blk.3.ffn_down.weight": tensors["model.language_model.layers.3.mlp.down_proj.weight"],
        "v.patch_embd.weight.1": tensors["model.visual.patch_embed.proj.weight"][:, :, 1],
        "v.deepstack.3.fc2.weight": tensors["model.visual.deepstack_merger_list.2.linear_fc2.weight"],
    }
    for path in (bundle.model, bundle.projector):
        for tensor in GGUFInfo.read(path).tensors:
            if tensor.name in expected:
                values = np.fromfile(path, np.float32, tensor.n_elements, offset=tensor.offset)
                np.testing.assert_allclose(values.reshape(tensor.shape), expected[tensor.name], rtol=2**-8)


def test_chunks_do_not_show(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = convert(checkpoint, tmp_path / "whole", type="Q8_0")
    monkeypatch.setattr(write, "_CHUNK_BYTES", 1000)
    pieces = convert(checkpoint, tmp_path / "pieces", type="Q8_0")
    assert whole.model.read_bytes() == pieces.model.read_bytes()
    assert whole.projector.read_bytes() == pieces.projector.read_bytes()


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    made = [
        convert(write_tiny_checkpoint(tmp_path / place / "Tiny", sharded=sharded), tmp_path / f"out-{place}")
        for place, sharded in (("a", False), ("b", True))
    ]
    for role in ("model", "projector"):
        first, second = (getattr(bundle, role) for bundle in made)
        assert first.read_bytes() == second.read_bytes()


def test_the_plan_is_what_is_written(checkpoint: Path, tmp_path: Path) -> None:
    plan = plan_conversion(checkpoint, type="q8_0", projector_type="bf16")
    assert not list(tmp_path.glob("**/*.gguf"))
    convert(checkpoint, tmp_path / "out", type="Q8_0", projector_type="bf16")
    for file in plan.files:
        path = tmp_path / "out" / file.name
        assert path.stat().st_size == file.n_bytes
        assert [(item.name, item.shape, item.kind.name, item.nbytes) for item in file.tensors] == [
            (item.name, item.shape, item.type_name, item.nbytes) for item in GGUFInfo.read(path).tensors
        ]


def test_limits_and_sampling_are_carried_over(checkpoint: Path, tmp_path: Path) -> None:
    video = {"size": {"shortest_edge": 8192, "longest_edge": 1 << 33}, "fps": 1.5, "min_frames": 2}
    (checkpoint / "video_preprocessor_config.json").write_text(json.dumps(video))
    bundle = convert(checkpoint, tmp_path / "out")
    metadata = GGUFInfo.read(bundle.projector).metadata
    prefix = "qwen3vl_edge."
    assert {key.removeprefix(prefix): value for key, value in metadata.items() if key.startswith(prefix)} == {
        "image.min_pixels": 4096,
        "image.max_pixels": 65536,
        "video.min_pixels": 8192,
        "video.max_pixels": 1 << 33,
        "video.fps": 1.5,
        "video.min_frames": 2,
        "video.max_frames": 768,
    }
    text = GGUFInfo.read(bundle.model)
    assert text.number("general.sampling.temp") == pytest.approx(0.7)
    assert text.number("general.sampling.penalty_repeat") == 1.0
    assert text.integer("general.sampling.top_k") == 20


def test_model_card_and_name(checkpoint: Path, tmp_path: Path) -> None:
    fields = "license: [mit, apache-2.0]\nversion: 1.5\ntags: [vision]\nbase_model: Org/Base-1B"
    card = f"---\n{fields}\n---\n"
    (checkpoint / "README.md").write_text(card)
    bundle = convert(checkpoint, tmp_path / "out", name="My model: best/ever")
    assert bundle.model.name == "My-model-best-ever-BF16.gguf"
    metadata = read_listing(bundle.model).metadata
    assert metadata["general.version"] == "STRING '1.5'"
    assert metadata["general.base_model.0.repo_url"].startswith("STRING")
    assert metadata["general.tags"] == "ARRAY/STRING ['vision']"
    info = GGUFInfo.read(bundle.model)
    assert info.text("general.license") == "mit,apache-2.0"
    assert info.text("general.name") == "My model: best/ever"


@pytest.mark.parametrize("card", ["license: [mit", "version: 2024-13-45", "name: " + "[" * 5000])
def test_damaged_model_card(checkpoint: Path, tmp_path: Path, card: str) -> None:
    (checkpoint / "README.md").write_text(f"---\n{card}\n---\n")
    with pytest.raises(CheckpointError, match=r"README\.md: the model card cannot be read"):
        convert(checkpoint, tmp_path / "out")


def test_a_card_that_unfolds_without_end_is_not_unfolded(checkpoint: Path, tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x]", *(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 60))]
    (checkpoint / "README.md").write_text("\n".join(["---", *lines, "tags: *a59", "license: mit", "---", ""]))
    info = GGUFInfo.read(convert(checkpoint, tmp_path / "out").model)
    assert info.text("general.license") == "mit"
    assert "general.tags" not in info.metadata


def test_half_a_surrogate_pair_cannot_be_stored(checkpoint: Path, tmp_path: Path) -> None:
    path = checkpoint / "tokenizer.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"Ġt"', '"\\ud800"'), encoding="utf-8")
    with pytest.raises(CheckpointError, match="not valid Unicode"):
        convert(checkpoint, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("name", "expected"), [("a b", "a-b"), ("../x", "x"), ("Größe_1.5", "Größe_1.5")])
def test_safe_names(name: str, expected: str) -> None:
    assert safe_name(name) == expected


def test_wrong_calls(checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(UsageError, match="--type 'Q4_K_M' is not one of bf16, f16, f32, Q8_0"):
        convert(checkpoint, out, type="Q4_K_M")
    with pytest.raises(UsageError, match="--projector-type 'Q8_0' is not one of"):
        convert(checkpoint, out, projector_type="Q8_0")
    with pytest.raises(UsageError, match="not a checkpoint folder; looked for"):
        convert(tmp_path, out)
    with pytest.raises(UsageError, match="cannot be made into a file name"):
        convert(checkpoint, out, name="///")
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="is a file"):
        convert(checkpoint, tmp_path / "file")
    assert not out.exists()


def test_nothing_is_overwritten_unasked(checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = convert(checkpoint, out).model.read_bytes()
    with pytest.raises(UsageError, match=r"already holds Tiny-Qwen3-VL-BF16\.gguf, mmproj-"):
        convert(checkpoint, out)
    with pytest.raises(UsageError, match=r"already holds .*manifest\.json"):
        convert(checkpoint, out, name="other")
    assert convert(checkpoint, out, overwrite=True).model.read_bytes() == first


def test_faults_are_found_before_a_byte_is_written(checkpoint: Path, tmp_path: Path) -> None:
    rename_tensors(checkpoint, lambda name: name.replace("blocks.2", "blocks.9"))
    with pytest.raises(CheckpointError, match="unknown tensor .*; missing tensor "):
        convert(checkpoint, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_members_of_the_family_that_are_not_supported_yet(checkpoint: Path, tmp_path: Path) -> None:
    config = checkpoint / "config.json"
    original = config.read_text()
    edit_json(config, lambda value: value.update(quantization_config={"quant_method": "fp8"}))
    with pytest.raises(CheckpointError, match="fp8 checkpoints are not supported yet"):
        convert(checkpoint, tmp_path / "out")
    config.write_text(original)
    experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 64}
    moe = {"architectures": ["Qwen3VLMoeForConditionalGeneration"], "model_type": "qwen3_vl_moe"}
    edit_json(config, lambda value: (value.update(moe), value["text_config"].update(experts)))
    with pytest.raises(CheckpointError, match="mixture-of-experts checkpoints are not supported yet"):
        convert(checkpoint, tmp_path / "out")


@pytest.mark.parametrize(
    "failure", [KeyboardInterrupt(), OSError(28, "No space left on device"), MemoryError()]
)
@pytest.mark.parametrize("at", [1, 40, 100])
def test_a_failure_leaves_nothing_behind(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException, at: int
) -> None:
    calls = 0

    def failing(*_: object) -> object:
        nonlocal calls
        calls += 1
        if calls == at:
            raise failure
        return original(*_)  # type: ignore[arg-type]

    original = write.convert_values
    monkeypatch.setattr(write, "convert_values", failing)
    out = tmp_path / "out"
    expected = EdgeError if isinstance(failure, OSError) else type(failure)
    with pytest.raises(expected):
        convert(checkpoint, out)
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_failing_rename_leaves_nothing_behind(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    original, done = Path.replace, []

    def refuse(self: Path, target: Path) -> Path:
        if len(done) == at:
            raise PermissionError(13, "Permission denied")
        done.append(target)
        return original(self, target)

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(EdgeError, match="Permission denied"):
        convert(checkpoint, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_the_manifest_is_renamed_last(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    renamed: list[str] = []
    original = Path.replace

    def note(self: Path, target: Path) -> Path:
        renamed.append(target.name)
        return original(self, target)

    monkeypatch.setattr(Path, "replace", note)
    convert(checkpoint, tmp_path / "out")
    assert renamed[-1] == MANIFEST_NAME
    assert len(renamed) == 3


def test_a_folder_that_cannot_be_made(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(EdgeError, match="cannot be written"):
        convert(checkpoint, tmp_path / "file" / "out")


def test_progress_adds_up_to_the_tensors(checkpoint: Path, tmp_path: Path) -> None:
    class Counter:
        total = done = 0

        def task(self, _: str, total: int | None, unit: str) -> "Counter":
            assert unit == "bytes"
            self.total = total or 0
            return self

        def __enter__(self) -> "Counter":
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def advance(self, amount: int = 1) -> None:
            self.done += amount

    counter = Counter()
    plan = plan_conversion(checkpoint, type="f16", projector_type="f16")
    convert(checkpoint, tmp_path / "out", type="f16", progress=counter)
    assert counter.done == counter.total == plan.data_bytes
