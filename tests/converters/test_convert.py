import hashlib
import json
import resource
import shutil
from pathlib import Path

import gguf
import numpy as np
import pytest

from qwen3vl_edge.bundle import find_bundle, find_bundles
from qwen3vl_edge.checkpoint import Checkpoint, TensorRef
from qwen3vl_edge.converters import Recipe, convert, plan_conversion
from qwen3vl_edge.errors import CheckpointError, EdgeError, GGUFError, UsageError
from qwen3vl_edge.gguf_info import GGUFInfo
from qwen3vl_edge.manifest import MANIFEST_NAME, Manifest
from qwen3vl_edge.quant.encode import QuantEncoder
from qwen3vl_edge.quant.run import run_plan
from qwen3vl_edge.writing import find_needs, write
from qwen3vl_edge.writing.names import safe_name
from qwen3vl_edge.writing.publish import publish
from tests.converters.listing import read_listing
from tests.converters.spoil import rename_tensors
from tests.safetensors_files import Dtype
from tests.tiny_checkpoint import MOE, TinyShape, tiny_tensors, write_tiny_checkpoint


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
    assert manifest.models[0][0].tensor_types == {"BF16": 29, "F32": 17}
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
    monkeypatch.setattr(write, "_BLOCK_BYTES", 1000)
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
    plan = plan_conversion(checkpoint, Recipe(("q8_0",), "bf16"))
    assert not list(tmp_path.glob("**/*.gguf"))
    convert(checkpoint, tmp_path / "out", type="Q8_0", projector_type="bf16")
    for file in plan.files:
        path = tmp_path / "out" / file.name
        assert path.stat().st_size == file.n_bytes
        drafts = list(file.tensors)
        assert [(item.name, item.shape, item.kind.name, item.nbytes) for item in drafts] == [
            (item.name, item.shape, item.type_name, item.nbytes) for item in GGUFInfo.read(path).tensors
        ]


def test_limits_and_sampling_are_carried_over(checkpoint: Path, tmp_path: Path) -> None:
    video = {"size": {"shortest_edge": 8192, "longest_edge": 1 << 33}, "fps": 1.5, "min_frames": 2}
    (checkpoint / "video_preprocessor_config.json").write_text(json.dumps(video))
    bundle = convert(checkpoint, tmp_path / "out")
    metadata = GGUFInfo.read(bundle.projector).metadata
    prefix = "qwen3vl_edge."
    ours = {key.removeprefix(prefix): value for key, value in metadata.items() if key.startswith(prefix)}
    assert ours.pop("version")
    assert ours == {
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


@pytest.mark.parametrize("card", ["license: [mit", "name: " + "[" * 5000])
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


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a b", "a-b"),
        ("../x", "x"),
        ("Größe_1.5", "Größe_1.5"),
        ("名" * 90, "名" * 66),
        ("a" * 300, "a" * 200),
    ],
)
def test_safe_names(name: str, expected: str) -> None:
    assert safe_name(name) == expected


def test_wrong_calls(checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(UsageError, match="'Q4_K_XL'"):
        convert(checkpoint, out, type="Q4_K_XL")
    with pytest.raises(UsageError, match="'Q9'"):
        convert(checkpoint, out, projector_type="Q9")
    with pytest.raises(UsageError, match="not a checkpoint folder; looked for"):
        convert(tmp_path, out)
    for name in ("///", ""):
        with pytest.raises(UsageError, match="cannot be made into a file name"):
            convert(checkpoint, out, name=name)
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
    with pytest.raises(CheckpointError, match="missing tensor .*; unknown tensor "):
        convert(checkpoint, tmp_path / "out")
    assert not (tmp_path / "out").exists()


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

    original = QuantEncoder.encode
    monkeypatch.setattr(QuantEncoder, "encode", failing)
    out = tmp_path / "out"
    expected = EdgeError if isinstance(failure, OSError) else type(failure)
    with pytest.raises(expected):
        convert(checkpoint, out)
    assert not out.exists()


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
    assert not (tmp_path / "out").exists()


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
    with pytest.raises(EdgeError, match="cannot be made"):
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
    plan = plan_conversion(checkpoint, Recipe(("f16",)))
    convert(checkpoint, tmp_path / "out", type="f16", progress=counter)
    assert counter.done == counter.total == plan.n_bytes


def test_several_types_in_one_pass(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    types = ("bf16", "Q8_0", "f32", "q8_0")
    singles = {kind: convert(checkpoint, tmp_path / kind, type=kind) for kind in types[:3]}
    read: list[tuple[str, int, int]] = []
    original = TensorRef.rows

    def rows(self: TensorRef, start: int, stop: int) -> object:
        read.append((self.name, start, stop))
        return original(self, start, stop)

    monkeypatch.setattr(TensorRef, "rows", rows)
    manifest = run_plan(plan_conversion(checkpoint, Recipe(types)), tmp_path / "all")
    assert len(read) == len(set(read)) == len(tiny_tensors(TinyShape()))
    bundles = find_bundles(tmp_path / "all")
    assert [bundle.manifest for bundle in bundles] == [manifest] * 3
    for bundle, single in zip(bundles, singles.values(), strict=True):
        assert bundle.model.read_bytes() == single.model.read_bytes()
        assert bundle.projector.read_bytes() == single.projector.read_bytes()
        assert find_bundle(bundle.model).model == bundle.model
    with pytest.raises(UsageError, match=r"several models, name one of the files: .*BF16\.gguf, .*F32\.gguf"):
        find_bundle(tmp_path / "all")


def test_parts(checkpoint: Path, tmp_path: Path) -> None:
    whole = GGUFInfo.read(convert(checkpoint, tmp_path / "whole").model)
    manifest = run_plan(plan_conversion(checkpoint, Recipe(split_max_bytes=700_000)), tmp_path / "parts")
    (parts,) = manifest.models
    assert [file.name for file in parts] == [
        f"Tiny-Qwen3-VL-BF16-{i + 1:05d}-of-{len(parts):05d}.gguf" for i in range(len(parts))
    ]
    assert len(parts) > 2
    assert {len(gguf.GGUFReader(tmp_path / "parts" / file.name).tensors) for file in parts} != {0}
    info = GGUFInfo.read(find_bundle(tmp_path / "parts").model)
    assert [(item.name, item.shape) for item in info.tensors] == [
        (item.name, item.shape) for item in whole.tensors
    ]
    for ours, expected in zip(info.tensors, whole.tensors, strict=True):
        found = np.fromfile(ours.path, np.uint8, ours.nbytes, offset=ours.offset)
        np.testing.assert_array_equal(
            found, np.fromfile(whole.path, np.uint8, expected.nbytes, offset=expected.offset)
        )
    assert sum(item.nbytes for item in GGUFInfo.read(info.paths[0]).tensors) == sum(
        item.nbytes for item in whole.tensors
    )


def test_parts_that_do_not_belong_together(checkpoint: Path, tmp_path: Path) -> None:
    recipe = Recipe(split_max_bytes=700_000)
    (parts,) = run_plan(plan_conversion(checkpoint, recipe), tmp_path / "out").models
    first, second = (tmp_path / "out" / file.name for file in parts[:2])
    with pytest.raises(GGUFError, match=f"is part 2 of {len(parts)}; give the first, {first.name}"):
        GGUFInfo.read(second)
    second.write_bytes(first.read_bytes())
    with pytest.raises(GGUFError, match="is not part 2"):
        GGUFInfo.read(first)
    second.unlink()
    with pytest.raises(GGUFError, match=second.name):
        GGUFInfo.read(first)
    renamed = first.rename(first.with_name("renamed.gguf"))
    with pytest.raises(GGUFError, match="which its name does not say"):
        GGUFInfo.read(renamed)


@pytest.mark.parametrize(("dtype", "bits"), [("BF16", (0x7FC0, 0xFF80)), ("F32", (0x7F800001, 0x7F800000))])
def test_values_that_are_not_finite(tmp_path: Path, dtype: Dtype, bits: tuple[int, int]) -> None:
    checkpoint = write_tiny_checkpoint(tmp_path / "c", dtype=dtype)
    up = "model.language_model.layers.1.mlp.up_proj.weight"
    poke(checkpoint, up, {0: bits[0], 7: bits[1], 9: bits[1]})
    poke(checkpoint, "model.visual.pos_embed.weight", {11: bits[0]})
    with pytest.raises(CheckpointError) as caught:
        convert(checkpoint, tmp_path / "out")
    assert f"'{up}' holds 1 NaN and 2 infinite values" in str(caught.value)
    assert "'model.visual.pos_embed.weight' holds 1 NaN and 0 infinite values" in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_values_that_a_type_cannot_hold(checkpoint: Path, tmp_path: Path) -> None:
    norm, down = "model.language_model.norm.weight", "model.language_model.layers.1.mlp.down_proj.weight"
    poke(checkpoint, norm, {0: 0x4780})  # 65536, in a tensor that stays F32
    convert(checkpoint, tmp_path / "fits", type="f16")
    poke(checkpoint, down, {5: 0xC780})
    convert(checkpoint, tmp_path / "fits too", type="Q8_0")
    with pytest.raises(CheckpointError, match=f"'{down}' holds 6.55e\\+04, more than F16 can; choose"):
        convert(checkpoint, tmp_path / "out", type="f16")
    poke(checkpoint, down, {5: 0x4B00})  # 8.4 million: the scale of its block overflows
    with pytest.raises(CheckpointError, match=r"holds 8.39e\+06, more than Q8_0 can"):
        convert(checkpoint, tmp_path / "out", type="Q8_0")
    assert not (tmp_path / "out").exists()


def test_a_small_disk_is_refused(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**6, 0, 10**6))
    with pytest.raises(EdgeError, match=r"the disk is too small: \d+ bytes are needed"):
        convert(checkpoint, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_plan_from_config_alone(checkpoint: Path, tmp_path: Path) -> None:
    real = plan_conversion(checkpoint, Recipe())
    (checkpoint / "model.safetensors").unlink()
    plan = plan_conversion(checkpoint, Recipe(), from_config=True)
    for ours, expected in zip(plan.files, real.files, strict=True):
        assert (ours.name, ours.n_bytes) == (expected.name, expected.n_bytes)
        shapes = [sorted((item.name, item.shape) for item in file.tensors) for file in (ours, expected)]
        assert shapes[0] == shapes[1]
    with pytest.raises(UsageError, match="has no weights"):
        run_plan(plan, tmp_path / "out")
    for name in ("tokenizer.json", "vocab.json"):
        (checkpoint / name).unlink(missing_ok=True)
    bare = plan_conversion(checkpoint, Recipe(), from_config=True)
    assert bare.n_bytes < plan.n_bytes


def test_one_conversion_at_a_time(checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with publish([out / "x"]):
        (out / ".x.part").write_bytes(b"")
        with pytest.raises(EdgeError, match="another conversion is writing here"):
            convert(checkpoint, out)
    convert(checkpoint, out)


def test_what_a_killed_conversion_left_is_removed(checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for name in (".old-Q8_0.gguf.part", ".manifest.json.part"):
        (out / name).write_bytes(b"half")
    mine = {"notes.part", ".film.mkv.part"}
    for name in mine:
        (out / name).write_bytes(b"the user's")
    (out / ".folder.gguf.part").mkdir()
    convert(checkpoint, out)
    assert {path.name for path in out.glob("*part*")} == mine | {".folder.gguf.part"}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_a_bundle_is_replaced_whole_or_not_at_all(checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    convert(checkpoint, out, type="q8_0")
    before = contents(out)
    with pytest.raises(UsageError, match=r"also has Tiny-Qwen3-VL-Q8_0\.gguf, which this run does not write"):
        convert(checkpoint, out, overwrite=True)
    assert contents(out) == before
    (out / "notes.txt").write_text("the user's")
    run_plan(plan_conversion(checkpoint, Recipe(("q8_0", "bf16"))), out, overwrite=True)
    names = {file.name for file in Manifest.read(out).files}
    assert contents(out).keys() == names | {MANIFEST_NAME, "notes.txt"}
    assert "Tiny-Qwen3-VL-BF16.gguf" in names
    (out / "Tiny-Qwen3-VL-Q8_0.gguf").unlink()
    (out / "Tiny-Qwen3-VL-BF16.gguf").unlink()
    convert(checkpoint, out, type="F16", overwrite=True)  # what is gone cannot be lost


@pytest.mark.parametrize("odd", ["mmproj-Tiny-Qwen3-VL-F16.gguf", MANIFEST_NAME, "Tiny-Qwen3-VL-BF16.gguf"])
def test_what_is_no_file_is_not_replaced(checkpoint: Path, tmp_path: Path, odd: str) -> None:
    out = tmp_path / "out"
    convert(checkpoint, out)
    (out / odd).unlink()
    (out / odd).mkdir()
    before = contents(out)
    with pytest.raises(UsageError, match=f"{odd}: no regular file; move it away"):
        convert(checkpoint, out, overwrite=True)
    assert contents(out) == before


@pytest.mark.parametrize("failing", range(6))
def test_a_failed_renaming_puts_the_old_files_back(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    """Three files are moved aside and three put in their places: any of these steps may fail."""
    out = tmp_path / "out"
    convert(checkpoint, out)
    (checkpoint / "generation_config.json").write_text('{"temperature": 0.25}')  # the new one differs
    before, original, n_calls = contents(out), Path.replace, 0

    def refuse(self: Path, target: Path) -> Path:
        nonlocal n_calls
        n_calls += 1
        if n_calls == failing + 1:
            raise PermissionError(13, "Permission denied", str(target))
        return original(self, target)

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(EdgeError, match="Permission denied"):
        convert(checkpoint, out, overwrite=True)
    assert contents(out) == before
    convert(checkpoint, out, overwrite=True)
    assert contents(out).keys() == before.keys()
    assert contents(out)["Tiny-Qwen3-VL-BF16.gguf"] != before["Tiny-Qwen3-VL-BF16.gguf"]


def test_an_exchange_that_was_killed_is_undone_or_finished(checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    convert(checkpoint, out)
    whole = contents(out)
    model = out / "Tiny-Qwen3-VL-BF16.gguf"
    for half_done in (True, False):
        (out / f".{model.name}.old").write_bytes(b"old")
        if half_done:
            (out / f".{MANIFEST_NAME}.part").write_bytes(b"new")
        with publish([out / "x"]):
            assert model.read_bytes() == (b"old" if half_done else whole[model.name])
            assert {path.name for path in out.iterdir()} == whole.keys()
            (out / ".x.part").write_bytes(b"")
        (out / "x").unlink()
        model.write_bytes(whole[model.name])


def test_a_checkpoint_s_folder_takes_no_bundle(checkpoint: Path, tmp_path: Path) -> None:
    before = contents(checkpoint)
    (tmp_path / "link").symlink_to(checkpoint)
    for out in (checkpoint, tmp_path / "link", checkpoint / ".." / checkpoint.name):
        with pytest.raises(UsageError, match="is where the source lies"):
            convert(checkpoint, out)
    assert contents(checkpoint) == before


def test_more_parts_than_files_may_be_open(checkpoint: Path, tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    n_open = len(list(Path("/proc/self/fd").iterdir()))
    resource.setrlimit(resource.RLIMIT_NOFILE, (n_open + 15, hard))
    try:
        (parts,) = run_plan(plan_conversion(checkpoint, Recipe(split_max_bytes=1)), tmp_path / "out").models
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(parts) == 46


def test_experts_are_blamed_by_their_own_names(tmp_path: Path) -> None:
    checkpoint = write_tiny_checkpoint(tmp_path / "c", shape=MOE, expert_layout="separate")
    seventh = "model.language_model.layers.2.mlp.experts.7.up_proj.weight"
    poke(checkpoint, seventh, {3: 0x7FC0})
    with pytest.raises(CheckpointError, match=f"^'{seventh}' holds 1 NaN and 0 infinite values; [^;]*$"):
        convert(checkpoint, tmp_path / "out")


def test_only_what_is_read_identifies_the_source(checkpoint: Path, tmp_path: Path) -> None:
    (checkpoint / "training-log.txt").write_text("long")
    (checkpoint / MANIFEST_NAME).write_text("{}")
    files = {file.name: file for file in convert(checkpoint, tmp_path / "out").manifest.source.files}
    assert not files.keys() & {"training-log.txt", MANIFEST_NAME}
    shard = checkpoint / "model.safetensors"
    header = 8 + int.from_bytes(shard.read_bytes()[:8], "little")
    assert files[shard.name].sha256 is None
    assert files[shard.name].header_sha256 == hashlib.sha256(shard.read_bytes()[:header]).hexdigest()
    config = checkpoint / "config.json"
    assert files[config.name].sha256 == hashlib.sha256(config.read_bytes()).hexdigest()


def test_what_a_plan_needs(checkpoint: Path, tmp_path: Path) -> None:
    plan = plan_conversion(checkpoint, Recipe(("f32", "bf16")))
    needs = find_needs(plan, tmp_path / "not" / "there", 2)
    assert needs.disk == tmp_path
    assert needs.disk_bytes > plan.n_bytes == sum(file.n_bytes for file in plan.files)
    assert find_needs(plan, tmp_path, 64).memory_bytes < 200 << 20  # it has no more than this to read


def poke(checkpoint: Path, name: str, values: dict[int, int]) -> None:
    """Set values of a tensor, by their number, to these bits."""
    ref = next(ref for ref in Checkpoint.open(checkpoint).tensors if ref.name == name)
    size = 4 if ref.dtype == "F32" else 2
    with ref.path.open("r+b") as file:
        for i, bits in values.items():
            file.seek(ref.offset + i * size)
            file.write(bits.to_bytes(size, "little"))
