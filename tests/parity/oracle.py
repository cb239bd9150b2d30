"""llama.cpp's own converter, and what is compared with what it writes."""

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from gguf import GGUFReader

from tests.converters.differences import MODEL_DIFFERENCES, PROJECTOR_DIFFERENCES
from tests.converters.listing import read_listing
from tools.oracle import CONVERT_SCRIPT, LLAMA_CPP

__all__ = ["assert_same_file", "data_of", "run_oracle"]


def run_oracle(checkpoint: Path, out: Path, jobs: Iterable[str], *options: str) -> Path:
    """Convert `checkpoint` to files in `out`; jobs and options as tools/oracle_convert.py has them."""
    if not LLAMA_CPP.is_dir():
        pytest.fail("build/oracle is missing: run tools/oracle.py")
    command = [sys.executable, str(CONVERT_SCRIPT), str(checkpoint), str(out), *jobs, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return out


def assert_same_file(ours: Path, theirs: Path) -> None:
    """Compare tensors, their order and every byte after the header; metadata but for known differences."""
    found, expected = read_listing(ours), read_listing(theirs)
    is_projector = expected.metadata["general.architecture"] == "STRING 'clip'"
    differences = PROJECTOR_DIFFERENCES if is_projector else MODEL_DIFFERENCES
    allowed = {difference.key for difference in differences}
    assert found.tensors == expected.tensors
    assert list(found.tensors) == list(expected.tensors)
    assert [item for item in found.metadata.items() if item[0] not in allowed] == [
        item for item in expected.metadata.items() if item[0] not in allowed
    ]
    assert data_of(ours) == data_of(theirs)


def data_of(path: Path) -> bytes:
    """Read all that is behind the header: the tensors and their padding."""
    return path.read_bytes()[GGUFReader(path).data_offset :]
