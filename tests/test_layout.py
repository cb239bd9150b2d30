"""One tree, two views: top-level rooms in the repository, one package when installed."""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("converters", "quant", "cli")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.mark.parametrize("room", ROOMS)
def test_each_room_is_mapped_and_linked(room: str) -> None:
    mapping = PROJECT["tool"]["setuptools"]["package-dir"]
    assert mapping[f"qwen3vl_edge.{room}"] == room
    link = ROOT / "qwen3vl_edge" / room
    assert link.is_symlink()
    assert link.readlink() == Path("..") / room


def test_every_package_folder_is_packaged() -> None:
    listed = set(PROJECT["tool"]["setuptools"]["packages"])
    inside = {
        ".".join(folder.parent.relative_to(ROOT).parts)
        for folder in (ROOT / "qwen3vl_edge").rglob("__init__.py")
        if not any(part in ROOMS for part in folder.relative_to(ROOT / "qwen3vl_edge").parts)
    }
    outside = {
        f"qwen3vl_edge.{'.'.join(file.parent.relative_to(ROOT).parts)}"
        for room in ROOMS
        for file in (ROOT / room).rglob("__init__.py")
    }
    assert inside | outside == listed


def test_the_wheel_holds_one_name_and_the_demo_model(tmp_path: Path) -> None:
    source = tmp_path / "source"  # a copy: setuptools leaves its build folder behind
    for name in ("qwen3vl_edge", *ROOMS):
        shutil.copytree(ROOT / name, source / name, symlinks=True)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    # no isolation: the test run must not need the network
    built = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(source)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    names = zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist()
    assert {re.sub(r"-.*", "", name.split("/")[0]) for name in names} == {"qwen3vl_edge"}
    assert "qwen3vl_edge/cli/main.py" in names
    assert "qwen3vl_edge/demo/checkpoint/model.safetensors" in names
    assert "qwen3vl_edge/py.typed" in names
