"""Every file of the tiny checkpoints against what llama.cpp's own converter made of them."""

import json
from pathlib import Path

import pytest

from qwen3vl_edge.converters import convert
from tests.converters.cases import GOLDEN_CASES, MODEL_JOBS, PROJECTOR_JOBS, write_case
from tests.converters.differences import PROJECTOR_DIFFERENCES
from tests.converters.listing import read_listing
from tests.goldens import GOLDEN


@pytest.fixture(scope="module", params=GOLDEN_CASES)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    golden = json.loads((GOLDEN / "converters" / f"{request.param}.json").read_text(encoding="utf-8"))
    return write_case(request.param, tmp_path_factory.mktemp("golden")), golden


@pytest.mark.parametrize("kind", MODEL_JOBS)
def test_language_model(case: tuple[Path, dict], kind: str, tmp_path: Path) -> None:
    checkpoint, golden = case
    ours = read_listing(convert(checkpoint, tmp_path, type=kind).model)
    expected = golden[f"model-{kind}"]
    assert ours.tensors == expected["tensors"]
    assert ours.metadata == expected["metadata"]
    assert list(ours.tensors) == list(expected["tensors"])


@pytest.mark.parametrize("kind", PROJECTOR_JOBS)
def test_projector(case: tuple[Path, dict], kind: str, tmp_path: Path) -> None:
    checkpoint, golden = case
    ours = read_listing(convert(checkpoint, tmp_path, projector_type=kind).projector)
    expected = golden[f"mmproj-{kind}"]
    assert ours.tensors == expected["tensors"]
    added = {item.key for item in PROJECTOR_DIFFERENCES if item.key.startswith("qwen3vl_edge.")}
    assert {key: value for key, value in ours.metadata.items() if key not in added} == expected["metadata"]
    assert added <= ours.metadata.keys()


def test_every_difference_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "conversion.md").read_text(encoding="utf-8")
    assert [item.key for item in PROJECTOR_DIFFERENCES if f"`{item.key}`" not in text] == []
