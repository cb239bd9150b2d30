"""Every member of the family in its true size, planned: what would be written, to the byte."""

import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

import pytest
from gguf import GGUFReader

from qwen3vl_edge.cli.main import run
from qwen3vl_edge.converters import Recipe, plan_conversion
from qwen3vl_edge.writing import PlannedFile
from tests.tiny_shape import tensor_shapes
from tests.true_shapes import TRUE_SHAPES, write_hollow, write_true_config

RECIPE = Recipe(("bf16", "Q8_0"), name="member")


@dataclass(frozen=True)
class Expected:
    """Weights as the published checkpoints count them, and the tensors of both files."""

    n_weights: int
    n_model_tensors: int
    n_projector_tensors: int
    tied: bool = False


EXPECTED = {
    "2B": Expected(2_127_532_032, 310, 316, tied=True),
    "4B": Expected(4_437_815_808, 398, 316, tied=True),
    "8B": Expected(8_767_123_696, 399, 352),
    "32B": Expected(33_357_390_064, 707, 352),
    "30B-A3B": Expected(31_070_754_032, 579, 352),
    "235B-A22B": Expected(235_670_022_896, 1131, 352),
}


@pytest.fixture(params=EXPECTED)
def member(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_planned_from_the_config_alone(member: str, tmp_path: Path) -> None:
    plan = plan_conversion(write_true_config(member, tmp_path / "source"), RECIPE, from_config=True)
    bf16, q8_0, projector = plan.files
    expected = EXPECTED[member]
    assert len(bf16.tensors) == len(q8_0.tensors) == expected.n_model_tensors
    assert len(projector.tensors) == expected.n_projector_tensors
    assert n_weights(bf16) + n_weights(projector) == expected.n_weights
    shapes = tensor_shapes(TRUE_SHAPES[member], tied=expected.tied)
    text = {name: shape for name, shape in shapes.items() if "visual" not in name}
    vision = {name: shape for name, shape in shapes.items() if "visual" in name}
    assert bf16.data_bytes == n_bytes(text, 2)
    assert q8_0.data_bytes == n_bytes(text, 34 / 32)  # 32 values and their scale in 34 bytes
    assert projector.data_bytes == n_bytes(vision, 2)


def test_the_planned_file_is_one_that_gguf_reads(member: str, tmp_path: Path) -> None:
    """The planned header over a hole of the planned size: the tensors lie one behind the other in it."""
    plan = plan_conversion(write_true_config(member, tmp_path), RECIPE, from_config=True)
    for file in plan.files:
        path = tmp_path / file.name
        with path.open("wb") as opened:
            opened.write(file.header)
            opened.truncate(file.n_bytes)
        end = len(file.header)
        for found, planned in zip(GGUFReader(path).tensors, file.tensors, strict=True):
            assert (found.name, found.data_offset, int(found.n_bytes)) == (planned.name, end, planned.nbytes)
            end += planned.nbytes
        assert end == path.stat().st_size


def test_headers_of_real_weights_give_the_same_plan(member: str, tmp_path: Path) -> None:
    """There the tensors come in the order of the files, here in that of the rules."""
    folder = write_hollow(member, tmp_path)
    found = plan_conversion(folder, RECIPE)
    implied = plan_conversion(folder, RECIPE, from_config=True)
    assert found.has_weights
    for ours, expected in zip(found.files, implied.files, strict=True):
        assert (ours.name, ours.n_bytes, len(ours.header)) == (
            expected.name,
            expected.n_bytes,
            len(expected.header),
        )
        assert table(ours) == table(expected)
    read = [(tensor.source.refs[0].path, tensor.source.refs[0].name) for tensor in found.files[0].tensors]
    assert read == sorted(read)


def test_dry_run(
    member: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(0, 0, 10**11))
    folder, out = write_true_config(member, tmp_path / "source"), tmp_path / "out"
    arguments = ["convert", str(folder), "-o", str(out), "--dry-run", "--json", "--threads", "4"]
    monkeypatch.setattr(sys, "argv", ["qwen3vl-edge", *arguments])
    with pytest.raises(SystemExit) as left:
        run()
    stdout, stderr = capsys.readouterr()
    said, expected = json.loads(stdout), EXPECTED[member]
    assert sum(prod(tensor["shape"]) for file in said["files"] for tensor in file["tensors"]) == (
        expected.n_weights
    )
    assert not said["has_weights"]
    assert said["needs"]["memory_bytes"] < 700e6
    if member == "235B-A22B":  # 471 GB
        assert left.value.code == 1
        assert "the disk is too small" in said["problem"]
        assert "the disk is too small" in stderr
    else:
        assert not left.value.code, stderr
        assert said["problem"] is None
    assert not out.exists()


def n_weights(file: PlannedFile) -> int:
    return sum(prod(tensor.shape) for tensor in file.tensors)


def n_bytes(shapes: Mapping[str, tuple[int, ...]], matrix_bytes: float) -> int:
    """Sum up: what has one dimension, the learned positions and the routers stay float32."""
    plain = ("pos_embed.weight", "mlp.gate.weight")
    return sum(
        int(prod(shape) * (4 if len(shape) == 1 or name.endswith(plain) else matrix_bytes))
        for name, shape in shapes.items()
    )


def table(file: PlannedFile) -> list[tuple[str, tuple[int, ...], str]]:
    return sorted((tensor.name, tensor.shape, tensor.kind.name) for tensor in file.tensors)
