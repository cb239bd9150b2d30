"""Kill -9 at any moment: what stands under a final name is whole, and the next run puts all else right."""

import contextlib
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


def written(out: Path, since_ns: int) -> int:
    """Return the bytes written since then in files that don't have their final names yet."""
    n_bytes = 0
    for part in out.glob(".*.part"):
        with contextlib.suppress(FileNotFoundError):  # it has its final name by now
            found = part.stat()
            n_bytes += found.st_size if found.st_mtime_ns >= since_ns else 0  # else a killed run left it
    return n_bytes


def wait_for_bytes(process: subprocess.Popen[bytes], out: Path, n_bytes: float) -> None:
    """Wait until so many bytes are written by the process, which has only just been started."""
    since_ns = time.time_ns()
    while process.poll() is None and written(out, since_ns) < n_bytes:
        time.sleep(0.001)


def test_no_kill_leaves_half_a_file(tmp_path: Path) -> None:
    rng = random.Random(3)
    checkpoint = write_tiny_checkpoint(tmp_path / "Tiny", shape=LARGE)
    out = tmp_path / "out"
    began = time.monotonic()
    finish(start(checkpoint, out))
    all_s = time.monotonic() - began
    whole = models(out)
    assert len(whole) == 2
    assert promised(out) == whole
    n_bytes = sum((out / name).stat().st_size for name in whole)
    left_behind = 0
    for i in range(N_KILLS):
        process = start(checkpoint, out)
        if i % 10 == 0:  # at any moment
            time.sleep(rng.uniform(0, all_s))
        elif i % 2:  # at any byte: however fast the machine is just now, this is while files are written
            wait_for_bytes(process, out, rng.uniform(0, n_bytes))
        else:  # once all bytes are there: while files get their names
            wait_for_bytes(process, out, n_bytes)
            time.sleep(rng.uniform(0, 0.02 * all_s))
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
    assert left_behind >= 10, left_behind  # else the moments were badly chosen
