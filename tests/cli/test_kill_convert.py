"""Kill -9 at any moment: what stands under a final name is whole, and the next run puts all else right."""

import hashlib
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qwen3vl_edge.manifest import MANIFEST_NAME, Manifest
from tests.tiny_checkpoint import TinyShape, write_tiny_checkpoint

N_KILLS = 50
RUN_TO_THE_END_EVERY = 10
PROGRAM = (sys.executable, "-c", "from qwen3vl_edge.cli.main import run; run()")
# writing it takes some tenths of a second
LARGE = TinyShape(hidden=768, ffn=2560, n_layers=4, vision_hidden=320, vision_ffn=1024, context_length=8192)

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")


def start(checkpoint: Path, out: Path) -> subprocess.Popen[bytes]:
    command = [*PROGRAM, "convert", str(checkpoint), "-o", str(out), "--overwrite", "--no-verify"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finish(process: subprocess.Popen[bytes]) -> bytes:
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    return said


def models(out: Path) -> dict[str, str]:
    """Return name -> sha256 of every GGUF file under its final name."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in out.glob("*.gguf")}


def promised(out: Path) -> dict[str, str]:
    """Return the same as the manifest has it."""
    return {file.name: file.sha256 for file in Manifest.read(out).files}


def moments(checkpoint: Path, out: Path) -> tuple[float, float]:
    """Return the seconds from the start until the first file appears, and until the end."""
    began = time.monotonic()
    process = start(checkpoint, out)
    while process.poll() is None and not list(out.glob(".*.part")):
        time.sleep(0.002)
    writing = time.monotonic() - began
    finish(process)
    return writing, time.monotonic() - began


def test_no_kill_leaves_half_a_file(tmp_path: Path) -> None:
    rng = random.Random(3)
    checkpoint = write_tiny_checkpoint(tmp_path / "Tiny", shape=LARGE)
    out = tmp_path / "out"
    finish(start(checkpoint, out))
    whole = models(out)
    assert len(whole) == 2
    assert promised(out) == whole
    writing_s, end_s = moments(checkpoint, out)
    left_behind = 0
    for i in range(N_KILLS):
        process = start(checkpoint, out)
        # one in ten at any moment, the others while files are written or shortly before or after
        time.sleep(rng.uniform(0 if i % 10 == 0 else 0.9 * writing_s, end_s))
        process.kill()
        process.communicate()
        found = models(out)
        assert found.items() <= whole.items(), i
        if (out / MANIFEST_NAME).exists():
            assert promised(out) == found == whole, i
        left_behind += bool(list(out.glob(".*.part")))
        if i % RUN_TO_THE_END_EVERY == RUN_TO_THE_END_EVERY - 1:
            (out / ".Gone-BF16.gguf.part").write_bytes(b"of a run with another name")
            finish(start(checkpoint, out))
            assert promised(out) == models(out) == whole
            assert {path.name for path in out.iterdir()} == {*whole, MANIFEST_NAME}
    assert left_behind >= 3  # else the moments were badly chosen
