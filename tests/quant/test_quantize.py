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
from qwen3vl_edge.manifest import Manifest
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
        assert [path.name for path in (tmp_path / name).iterdir()] == [file.name]  # no manifest
        assert file.name.endswith("-Q8_0.gguf")


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
