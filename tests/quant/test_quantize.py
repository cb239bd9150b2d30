"""GGUF files in other types: against llama.cpp's quantizer, against conversion, and what is refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qwen3vl_edge.bundle import Bundle, find_bundles
from qwen3vl_edge.converters import Recipe, convert, plan_conversion
from qwen3vl_edge.errors import CheckpointError, EdgeError, GGUFError, UsageError
from qwen3vl_edge.ggml_types import TYPES_BY_NAME
from qwen3vl_edge.gguf_info import GGUFInfo
from qwen3vl_edge.inspection import inspect_path
from qwen3vl_edge.manifest import MANIFEST_NAME, Manifest
from qwen3vl_edge.quant import Imatrix, Wishes, find_file_type, find_tensor_type, parse_type_override
from qwen3vl_edge.quant.native import dequantize_rows
from qwen3vl_edge.quant.quantize import QuantRecipe, plan_quantization
from qwen3vl_edge.quant.run import run_plan
from tests.quant.oracle import read_tensors, run_oracle
from tests.tiny_checkpoint import MOE, TinyShape, write_tiny_checkpoint

SHAPE = TinyShape(ffn=512)  # rows of 256 and 512: every block fits
TYPES = ("Q4_K_M", "Q8_0", "IQ4_XS", "Q2_K")


@pytest.fixture(scope="module", params=["dense", "moe"])
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("quantize") / f"Tiny-{request.param}"
    moe = replace(MOE, expert_ffn=256)
    return write_tiny_checkpoint(
        folder, shape=moe if request.param == "moe" else SHAPE, dtype="F32", tied=False
    )


@pytest.fixture(scope="module")
def source(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return convert(checkpoint, tmp_path_factory.mktemp("source"), type="f32", projector_type="f32")


def plan(bundle: Bundle, *types: str, projector: str | None = None, **more: object):  # noqa: ANN201
    recipe = QuantRecipe(types, projector, **more)  # type: ignore[arg-type]
    return plan_quantization(GGUFInfo.read(bundle.model), GGUFInfo.read(bundle.projector), recipe)


def test_every_type_from_one_reading_is_llama_cpp_s(source: Bundle, tmp_path: Path) -> None:
    manifest = run_plan(plan(source, *TYPES), tmp_path / "out")
    assert Manifest.read(tmp_path / "out") == manifest
    for bundle, name in zip(find_bundles(tmp_path / "out"), TYPES, strict=True):
        expected = run_oracle(source.model, tmp_path / "oracle.gguf", find_file_type(name), Wishes(), None)
        assert read_tensors(bundle.model) == expected
        assert GGUFInfo.read(bundle.model).file_type == name
        assert bundle.projector.read_bytes() == source.projector.read_bytes()  # as it is


def test_a_checkpoint_gives_the_same_without_a_file_between(
    checkpoint: Path, source: Bundle, tmp_path: Path
) -> None:
    run_plan(plan(source, *TYPES, projector="Q8_0"), tmp_path / "two steps")
    run_plan(plan_conversion(checkpoint, Recipe(TYPES, "Q8_0")), tmp_path / "one step")
    two, one = (find_bundles(tmp_path / steps) for steps in ("two steps", "one step"))
    for ours, theirs in zip(one, two, strict=True):
        assert read_tensors(ours.model) == read_tensors(theirs.model)
        first, second = GGUFInfo.read(ours.model), GGUFInfo.read(theirs.model)
        assert (set(first.kinds), first.file_type) == (set(second.kinds), second.file_type)
        projectors = [read_tensors(bundle.projector) for bundle in (ours, theirs)]
        for tensors in projectors:  # kept: in F16, and in the F32 of the file between
            assert {tensors.pop(name)[0] for name in ("v.patch_embd.weight", "v.patch_embd.weight.1")}
        assert projectors[0] == projectors[1]


def test_wishes_reach_the_tensors(source: Bundle, tmp_path: Path) -> None:
    wishes = Wishes(
        overrides=(
            parse_type_override(r"blk\.[01]\.attn_q=Q6_K"),
            parse_type_override("v.blk.0.attn_out=F16"),
        ),
        output_type=find_tensor_type("Q5_K"),
        embedding_type=find_tensor_type("Q3_K"),
    )
    run_plan(plan(source, "Q4_K_S", projector="Q8_0", wishes=wishes), tmp_path / "out")
    (bundle,) = find_bundles(tmp_path / "out")
    kinds = {tensor.name: tensor.type_name for tensor in GGUFInfo.read(bundle.model).tensors}
    assert [kinds[f"blk.{i}.attn_q.weight"] for i in range(3)] == ["Q6_K", "Q6_K", "Q4_K"]
    assert (kinds["output.weight"], kinds["token_embd.weight"]) == ("Q5_K", "Q3_K")
    of_projector = {tensor.name: tensor.type_name for tensor in GGUFInfo.read(bundle.projector).tensors}
    assert of_projector["v.blk.0.attn_out.weight"] == "F16"


def test_the_manifest_tells_how_much_each_tensor_lost(source: Bundle, tmp_path: Path) -> None:
    manifest = run_plan(plan(source, "Q4_K_M"), tmp_path / "out")
    notes = {note.name: note for note in manifest.models[0][0].tensors}
    (bundle,) = find_bundles(tmp_path / "out")
    before = {tensor.name: tensor for tensor in GGUFInfo.read(source.model).tensors}
    for tensor in GGUFInfo.read(bundle.model).tensors:
        original = np.fromfile(
            source.model, np.float32, tensor.n_elements, offset=before[tensor.name].offset
        ).astype(np.float64)
        packed = np.fromfile(bundle.model, np.uint8, tensor.nbytes, offset=tensor.offset)
        errors = dequantize_rows(packed, TYPES_BY_NAME[tensor.type_name]) - original
        true = np.sqrt((errors @ errors) / (original @ original))
        assert notes[tensor.name].error == pytest.approx(true, rel=0.1, abs=1e-9)
        assert notes[tensor.name].type == tensor.type_name
        assert notes[tensor.name].why


def test_parts_are_kept(checkpoint: Path, tmp_path: Path) -> None:
    recipe = Recipe(("f32",), split_max_bytes=2_000_000)
    run_plan(plan_conversion(checkpoint, recipe), tmp_path / "parts")
    (whole,) = find_bundles(tmp_path / "parts")
    run_plan(plan(whole, "Q8_0", keep_split=True), tmp_path / "kept")
    run_plan(plan(whole, "Q8_0"), tmp_path / "joined")
    kept, joined = (find_bundles(tmp_path / name)[0] for name in ("kept", "joined"))
    before, after = GGUFInfo.read(whole.model), GGUFInfo.read(kept.model)
    assert len(after.paths) == len(before.paths) > 2
    assert [
        [t.name for t in GGUFInfo.read(whole.model).tensors if t.path == path] for path in before.paths
    ] == [[t.name for t in after.tensors if t.path == path] for path in after.paths]
    assert GGUFInfo.read(joined.model).paths == (joined.model,)


def test_half_a_model(source: Bundle, tmp_path: Path) -> None:
    for model, projector, name in (
        (GGUFInfo.read(source.model), None, f"{source.folder.name}"),
        (None, GGUFInfo.read(source.projector), "mmproj"),
    ):
        manifest = run_plan(plan_quantization(model, projector, QuantRecipe(("Q8_0",))), tmp_path / name)
        (file,) = manifest.files
        assert file.name.endswith("-Q8_0.gguf")
        own = file.name.replace(".gguf", ".manifest.json")
        assert {path.name for path in (tmp_path / name).iterdir()} == {file.name, own}
        assert Manifest.read_beside(tmp_path / name / file.name) == manifest
        found = inspect_path(tmp_path / name / file.name)
        worst = max(file.tensors, key=lambda note: note.error)
        assert (found.weakest[0].name, found.weakest[0].error) == (worst.name, worst.error)
        assert worst.error > 0.001


def test_refusals(source: Bundle, tmp_path: Path) -> None:
    run_plan(plan(source, "Q8_0"), tmp_path / "once")
    (once,) = find_bundles(tmp_path / "once")
    with pytest.raises(GGUFError, match=r"is quantized already: .*\(Q8_0\).*--allow-requantize"):
        plan(once, "Q4_K_M")
    run_plan(plan(once, "Q8_0"), tmp_path / "copy")  # nothing is lost
    assert read_tensors(find_bundles(tmp_path / "copy")[0].model) == read_tensors(once.model)
    run_plan(plan(once, "Q4_K_M", allow_requantize=True), tmp_path / "twice")
    with pytest.raises(UsageError, match=r"IQ2_XS needs an importance matrix .*--imatrix"):
        plan(source, "IQ2_XS")
    with pytest.raises(UsageError, match="found in no tensor"):
        plan(source, "Q8_0", wishes=Wishes(overrides=(parse_type_override("ffn_dwn=Q8_0"),)))
    with pytest.raises(UsageError, match="is where the source lies"):
        run_plan(plan(source, "Q8_0"), source.folder, overwrite=True)
    assert source.model.exists()


def test_a_matrix_of_another_model(source: Bundle, tmp_path: Path) -> None:
    matrix = Imatrix(tmp_path / "x", {"blk.0.attn_q.weight": np.ones((1, 99), np.float32)})
    with pytest.raises(GGUFError, match=r"blk\.0\.attn_q\.weight"):
        plan(source, "Q4_K_M", imatrix=matrix)


def test_nan_in_a_gguf_file(source: Bundle, tmp_path: Path) -> None:
    spoiled = tmp_path / "spoiled.gguf"
    raw = bytearray(source.model.read_bytes())
    tensor = next(t for t in GGUFInfo.read(source.model).tensors if t.name == "blk.2.attn_q.weight")
    raw[tensor.offset + 400 : tensor.offset + 404] = np.float32(np.nan).tobytes()
    spoiled.write_bytes(raw)
    with pytest.raises(CheckpointError, match=r"'blk\.2\.attn_q\.weight' holds 1 NaN"):
        run_plan(plan_quantization(GGUFInfo.read(spoiled), None, QuantRecipe(("Q4_K_M",))), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_full_disk(source: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10**5})())
    with pytest.raises(EdgeError, match="the disk is too small"):
        run_plan(plan(source, "Q4_K_M"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_importance_matrix_is_used(source: Bundle, tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    entries = {}
    for bundle_file in (source.model, source.projector):
        for tensor in GGUFInfo.read(bundle_file).tensors:
            if len(tensor.shape) > 1 and tensor.shape[-1] % 256 == 0 and "embd" not in tensor.name:
                n_experts = tensor.shape[0] if len(tensor.shape) == 3 else 1
                values = rng.random((n_experts, tensor.shape[-1]), dtype=np.float32)
                entries[tensor.name] = values + np.float32(0.1)
    matrix = Imatrix(tmp_path / "m.gguf", entries)
    run_plan(plan(source, "IQ3_XXS", imatrix=matrix), tmp_path / "out")
    (bundle,) = find_bundles(tmp_path / "out")
    flat = {name: np.ascontiguousarray(values.reshape(-1)) for name, values in entries.items()}
    expected = run_oracle(source.model, tmp_path / "oracle.gguf", find_file_type("IQ3_XXS"), Wishes(), flat)
    assert read_tensors(bundle.model) == expected
    assert GGUFInfo.read(bundle.model).text("quantize.imatrix.file") == "m.gguf"


def test_half_a_bundle_does_not_break_a_bundle(source: Bundle, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_plan(plan(source, "Q8_0"), out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    alone = plan_quantization(GGUFInfo.read(source.model), None, QuantRecipe(("Q8_0",)))
    with pytest.raises(UsageError, match=r"-Q8_0\.gguf belongs to the bundle of manifest\.json"):
        run_plan(alone, out, overwrite=True)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    other = plan_quantization(GGUFInfo.read(source.model), None, QuantRecipe(("Q4_0",)))
    run_plan(other, out)  # beside it
    assert find_bundles(out)[0].manifest == Manifest.read(out)


def test_a_bundle_takes_over_from_its_halves(source: Bundle, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_plan(plan_quantization(GGUFInfo.read(source.model), None, QuantRecipe(("Q8_0",))), out)
    manifest = run_plan(plan(source, "Q8_0"), out, overwrite=True)
    assert {path.name for path in out.iterdir()} == {*(file.name for file in manifest.files), MANIFEST_NAME}


def matrix_of(folder: Path, *names: str) -> Imatrix:
    """Importances of these tensors, all of rows of 256."""
    return Imatrix(folder / "m.gguf", {name: np.ones((1, 256), np.float32) for name in names})


def test_each_file_notes_the_matrix_that_is_for_it(source: Bundle, checkpoint: Path, tmp_path: Path) -> None:
    text = matrix_of(tmp_path, "blk.0.attn_q.weight", "blk.1.attn_q.weight")
    key = "quantize.imatrix.entries_count"
    run_plan(plan(source, "Q4_K_M", projector="Q8_0", imatrix=text), tmp_path / "gguf")
    recipe = Recipe(("Q4_K_M", "bf16"), "Q8_0", imatrix=text)
    run_plan(plan_conversion(checkpoint, recipe), tmp_path / "converted")
    for folder in ("gguf", "converted"):
        for bundle in find_bundles(tmp_path / folder):
            model, projector = GGUFInfo.read(bundle.model), GGUFInfo.read(bundle.projector)
            assert model.metadata.get(key) == (2 if model.file_type == "Q4_K_M" else None)
            assert not any(name.startswith("quantize.imatrix") for name in projector.metadata)
    with pytest.raises(UsageError, match="--imatrix .*: changes nothing"):
        plan_conversion(checkpoint, Recipe(("bf16",), imatrix=text))


def test_a_matrix_of_the_projector_is_none_of_the_language_model(source: Bundle, tmp_path: Path) -> None:
    """IQ4_XS has another recipe with a matrix; one that says nothing of this file changes nothing in it."""
    vision = Imatrix(tmp_path / "v.gguf", {"mm.0.weight": np.ones((1, 320), np.float32)})
    both = run_plan(plan(source, "IQ4_XS", projector="Q8_0", imatrix=vision), tmp_path / "vision")
    without = run_plan(plan(source, "IQ4_XS", projector="Q8_0"), tmp_path / "without")
    assert both.models[0][0].tensor_types == without.models[0][0].tensor_types
    (bundle,) = find_bundles(tmp_path / "vision")
    assert GGUFInfo.read(bundle.projector).integer("quantize.imatrix.entries_count") == 1
    with pytest.raises(UsageError, match="has nothing for these tensors"):
        plan(source, "Q4_0", imatrix=vision)  # the projector is copied


def test_projectors_of_several_widths_from_one_reading(source: Bundle, tmp_path: Path) -> None:
    projector = GGUFInfo.read(source.projector)
    types = ("Q8_0", "Q4_K_M", "F16")
    run_plan(plan_quantization(None, projector, QuantRecipe(types)), tmp_path / "all")
    for name in types:
        single = run_plan(plan_quantization(None, projector, QuantRecipe((name,))), tmp_path / name)
        file = single.files[0].name
        assert (tmp_path / name / file).read_bytes() == (tmp_path / "all" / file).read_bytes()


def test_padding_is_told(source: Bundle, tmp_path: Path) -> None:
    manifest = run_plan(plan(source, "Q8_0", projector="Q4_K_M"), tmp_path / "out")
    whys = {note.name: note.why for note in manifest.projector.tensors}
    before = GGUFInfo.read(source.projector).integer("clip.vision.feed_forward_length")
    padding = f"; padded with zeros from {before} to 256"
    assert whys["v.blk.0.ffn_down.weight"].endswith(padding)
    assert whys["v.blk.0.ffn_up.bias"] == f"kept: not a weight{padding}"
    assert "padded" not in whys["v.blk.0.attn_out.weight"]
    vision = inspect_path(tmp_path / "out").vision
    assert vision is not None
    assert (vision.ffn, vision.ffn_padded) == (before, 256)


def test_a_name_goes_into_both_files(source: Bundle, tmp_path: Path) -> None:
    infos = GGUFInfo.read(source.model), GGUFInfo.read(source.projector)
    run_plan(plan_quantization(*infos, QuantRecipe(("Q8_0",)), name="My model"), tmp_path / "out")
    (bundle,) = find_bundles(tmp_path / "out")
    assert (bundle.model.name, bundle.projector.name) == ("My-model-Q8_0.gguf", "mmproj-My-model-F32.gguf")
    for path in (bundle.model, bundle.projector):
        assert GGUFInfo.read(path).text("general.name") == "My model"


def test_a_tied_embedding_takes_the_output_s_type(tmp_path: Path) -> None:
    tied = write_tiny_checkpoint(tmp_path / "tied", shape=SHAPE, tied=True)
    wishes = Wishes(output_type=find_tensor_type("Q5_K"))
    (file, _) = plan_conversion(tied, Recipe(("Q4_K_M",), wishes=wishes)).files
    kinds = {tensor.name: tensor.kind.name for tensor in file.tensors}
    assert kinds["token_embd.weight"] == "Q5_K"  # noqa: S105 -- no password
    with pytest.raises(UsageError, match="--output-type: decides nothing"):
        plan_conversion(tied, Recipe(("bf16",), wishes=wishes))
