"""Every file of the tiny checkpoints against what llama.cpp's own converter made of them."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from qwen3vl_edge.converters import convert
from qwen3vl_edge.writing import write
from tests.converters.cases import GOLDEN_CASES, MODEL_JOBS, SHALLOW_MOE, write_case
from tests.converters.differences import MODEL_DIFFERENCES, PROJECTOR_DIFFERENCES, Difference
from tests.converters.listing import Listing, read_listing
from tests.fp8 import Fp8, write_dequantized
from tests.goldens import GOLDEN
from tests.tiny_checkpoint import ExpertLayout, Spelling, TinyShape, write_tiny_checkpoint

# Where one of the two fused tensors looks the same in both layouts; the other one decides.
AMBIGUOUS = {
    "gate and up are square": replace(SHALLOW_MOE, hidden=192, expert_ffn=96),
    "down is square": replace(SHALLOW_MOE, hidden=96, expert_ffn=96, n_experts=5),
}
LAYOUTS: tuple[tuple[ExpertLayout, Spelling], ...] = (("4.57", "4.57"), ("5", "5"), ("separate", "4.57"))


@pytest.fixture(scope="module", params=GOLDEN_CASES)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    checkpoint = write_case(GOLDEN_CASES[request.param], tmp_path_factory.mktemp("golden"))
    return checkpoint, _golden(request.param)


@pytest.mark.parametrize("kind", MODEL_JOBS)
def test_language_model(case: tuple[Path, dict], kind: str, tmp_path: Path) -> None:
    checkpoint, golden = case
    ours = read_listing(convert(checkpoint, tmp_path, type=kind).model)
    _assert_same(ours, golden[f"model-{kind}"], MODEL_DIFFERENCES)


def test_projector(case: tuple[Path, dict], tmp_path: Path) -> None:
    checkpoint, golden = case
    kinds = [job.removeprefix("mmproj-") for job in golden if job.startswith("mmproj-")]
    for kind in kinds:
        ours = read_listing(convert(checkpoint, tmp_path / kind, projector_type=kind).projector)
        _assert_same(ours, golden[f"mmproj-{kind}"], PROJECTOR_DIFFERENCES)
        assert {item.key for item in PROJECTOR_DIFFERENCES} <= ours.metadata.keys()
    assert kinds


@pytest.mark.parametrize(("layout", "spelling"), LAYOUTS[1:])
@pytest.mark.parametrize("kind", MODEL_JOBS)
def test_every_expert_layout_gives_the_tensors_of_the_published_one(
    layout: ExpertLayout, spelling: Spelling, kind: str, tmp_path: Path
) -> None:
    case = replace(GOLDEN_CASES["moe"], expert_layout=layout, spelling=spelling)
    bundle = convert(write_case(case, tmp_path), tmp_path / "out", type=kind)
    golden = _golden("moe")
    assert read_listing(bundle.model).tensors == golden[f"model-{kind}"]["tensors"]
    assert read_listing(bundle.projector).tensors == golden["mmproj-f16"]["tensors"]


@pytest.mark.parametrize("shape", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_square_experts_are_told_by_the_other_tensor(shape: TinyShape, tmp_path: Path) -> None:
    made = []
    for layout, spelling in LAYOUTS:
        source = write_tiny_checkpoint(
            tmp_path / layout, shape=shape, expert_layout=layout, spelling=spelling
        )
        made.append(read_listing(convert(source, tmp_path / f"out-{layout}").model).tensors)
    assert made[0] == made[1] == made[2]


@pytest.mark.parametrize("kind", ["f32", "q8_0"])
@pytest.mark.parametrize(("layout", "spelling"), LAYOUTS)
@pytest.mark.parametrize("fp8", [Fp8((128, 128), "BF16"), Fp8((32, 48), "F32")], ids=str)
def test_fp8_is_as_if_dequantized_before(
    layout: ExpertLayout,
    spelling: Spelling,
    fp8: Fp8,
    kind: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # rows are read in pieces that begin within a block of scales
    monkeypatch.setattr(write, "_BLOCK_BYTES", 10_000)
    source = write_tiny_checkpoint(
        tmp_path / "fp8",
        shape=SHALLOW_MOE,
        dtype="F8_E4M3",
        fp8=fp8,
        expert_layout=layout,
        spelling=spelling,
    )
    twin = write_dequantized(source, tmp_path / "twin")
    ours, expected = (
        convert(folder, tmp_path / f"out-{folder.name}", type=kind) for folder in (source, twin)
    )
    assert read_listing(ours.model).tensors == read_listing(expected.model).tensors


def test_every_difference_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "conversion.md").read_text(encoding="utf-8")
    differences = (*MODEL_DIFFERENCES, *PROJECTOR_DIFFERENCES)
    assert [item.key for item in differences if f"`{item.key}`" not in text] == []


def _golden(name: str) -> dict:
    return json.loads((GOLDEN / "converters" / f"{name}.json").read_text(encoding="utf-8"))


def _assert_same(ours: Listing, expected: dict, differences: tuple[Difference, ...]) -> None:
    """Compare tensors and their order; metadata but for the keys that ours has beside."""
    assert ours.tensors == expected["tensors"]
    assert list(ours.tensors) == list(expected["tensors"])
    added = {item.key for item in differences} - expected["metadata"].keys()
    assert {key: value for key, value in ours.metadata.items() if key not in added} == expected["metadata"]
