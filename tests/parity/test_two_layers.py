"""Two layers of every member in its true widths, converted and run; gigabytes that are gone afterwards."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from qwen3vl_edge.converters import convert
from qwen3vl_edge.verification import verify_bundles
from tests.true_shapes import TRUE_SHAPES, write_two_layers

pytestmark = pytest.mark.parity

ROOT = Path(__file__).parents[2]


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Path]:
    """A folder that does not outlive the test: pytest would keep those of three runs."""
    yield tmp_path
    shutil.rmtree(tmp_path)


@pytest.mark.parametrize("name", TRUE_SHAPES)
def test_converted_and_run(name: str, scratch: Path) -> None:
    source = write_two_layers(name, scratch / "source")
    bundle = convert(source, scratch / "out", type="bf16")
    shutil.rmtree(source)
    done = verify_bundles([bundle])
    assert {check.name for check in done.checks} == {"structure", "hash", "forward"}
    assert all(check.ok for check in done.checks), done


def test_memory_does_not_grow_with_the_experts(scratch: Path) -> None:
    """Nobody's layer is held whole: 16 experts of the 235B are 1.2 GB in two layers, 4 are 0.3 GB."""
    peaks = {}
    for n_experts in (4, 16):
        source = write_two_layers("235B-A22B", scratch / "source", n_experts=n_experts)
        peaks[n_experts] = _peak_bytes(source, scratch / "out")
        shutil.rmtree(source)
        shutil.rmtree(scratch / "out")
    assert abs(peaks[16] / peaks[4] - 1) < 0.1, peaks


def _peak_bytes(source: Path, out: Path) -> int:
    """Convert in a child of a small child: on Linux the peak of a process begins with its parent's size.

    glibc would keep blocks that were freed, more or fewer by chance, once it had seen large ones.
    """
    command = Path(sys.executable).parent / "qwen3vl-edge"
    options = ["-o", str(out), "--no-verify", "--threads", "2"]
    measure = [sys.executable, "-m", "tools.bench.measure", str(command), "convert", str(source), *options]
    env = os.environ | {"MALLOC_MMAP_THRESHOLD_": str(1 << 20)}
    done = subprocess.run(measure, capture_output=True, text=True, check=True, cwd=ROOT, env=env)
    return int(json.loads(done.stdout)["peak_bytes"])
