"""Conversion of the 2B in its true shape against llama.cpp's converter and a plain copy."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.converters.listing import read_listing
from tools.bench.measure import Measured, in_turn
from tools.bench.report import report
from tools.oracle import CONVERT_SCRIPT, ROOT

__all__ = ["main"]

_NEEDED_BYTES = 20 * 10**9
_ROUNDS = 3
_COMMAND = str(Path(sys.executable).parent / "qwen3vl-edge")
_OURS, _TEXT, _PROJECTOR = "qwen3vl-edge convert", "convert_hf_to_gguf.py", "convert_hf_to_gguf.py --mmproj"


def main() -> None:
    """Measure in a folder under build/, which is removed.

    Ours hashes what it writes and flushes it to the disk, llama.cpp's converter does neither. All that
    is dirty is flushed before each run, so that nobody waits for what another has written.
    """
    build = ROOT / "build"
    build.mkdir(exist_ok=True)
    if shutil.disk_usage(build).free < _NEEDED_BYTES:
        sys.exit(f"{build}: {_NEEDED_BYTES / 1e9:.0f} GB of disk are needed")
    with tempfile.TemporaryDirectory(dir=build, prefix="bench-") as folder:
        bench = _Bench(Path(folder))
        bench.against_theirs()
        bench.verified()
        bench.several_types()


class _Bench:
    """Commands that convert one source, each into a folder of its own."""

    def __init__(self, work: Path) -> None:
        self._work, self._source = work, work / "Qwen3-VL-2B-Instruct"
        # in a process of its own: on Linux a child's peak memory counts from its parent's
        subprocess.run([sys.executable, "-m", "tools.bench.source", str(self._source)], check=True, cwd=ROOT)

    def against_theirs(self) -> None:
        weights, copy = self._source / "model.safetensors", self._out("copy") / "copy"
        theirs = [sys.executable, str(CONVERT_SCRIPT), str(self._source)]
        rows = self._measure(
            {
                _OURS: self._ours("ours", "--no-verify"),
                _TEXT: [*theirs, str(self._out("text")), "bf16"],
                _PROJECTOR: [*theirs, str(self._out("projector")), "mmproj:f16"],
                "cp of the weights": ["cp", str(weights), str(copy)],
                "the same, flushed": ["dd", f"if={weights}", f"of={copy}", "bs=16M", "conv=fsync"],
            },
        )
        report("convert: 2B, 4.3 GB, to BF16 and F16", rows)
        seconds = rows[_TEXT].seconds + rows[_PROJECTOR].seconds
        print(f"  ours / text and projector together {rows[_OURS].seconds / seconds:.2f} (wanted: 0.60)")
        print(f"  our peak {rows[_OURS].peak_bytes / 1e6:.0f} MB (wanted: 700)")
        self._compare("ours/*-BF16.gguf", "text/model-bf16.gguf")
        self._compare("ours/mmproj-*.gguf", "projector/mmproj-f16.gguf")

    def verified(self) -> None:
        rows = self._measure({f"{_OURS}, verified": self._ours("verified")})
        report("convert: the same, then read again and tried; memory is the trial's", rows)

    def several_types(self) -> None:
        rows = self._measure(
            {
                "BF16 and Q8_0 in one pass": self._ours(
                    "both", "--no-verify", "--type", "bf16", "--type", "Q8_0"
                ),
                "BF16": self._ours("bf16", "--no-verify"),
                "Q8_0": self._ours("q8_0", "--no-verify", "--type", "Q8_0"),
            },
        )
        report("convert: several types", rows)

    def _ours(self, folder: str, *options: str) -> list[str]:
        return [_COMMAND, "convert", str(self._source), "-o", str(self._out(folder)), *options]

    def _out(self, name: str) -> Path:
        return self._work / name

    def _measure(self, commands: dict[str, Sequence[str]]) -> dict[str, Measured]:
        for folder in self._work.iterdir():
            if folder != self._source:
                shutil.rmtree(folder)
        return in_turn(commands, _ROUNDS, prepare=self._prepare)

    def _prepare(self, command: Sequence[str]) -> None:
        """Empty the folder that the command names, and have the disk idle."""
        for folder in self._work.iterdir():
            if folder != self._source and any(str(folder) in argument for argument in command):
                shutil.rmtree(folder)
        os.sync()

    def _compare(self, ours: str, theirs: str) -> None:
        (path,) = self._work.glob(ours)
        same = list(read_listing(path).tensors.items()) == list(
            read_listing(self._work / theirs).tensors.items()
        )
        if not same:
            sys.exit(f"{path.name}: the tensors are not those of {theirs}")
        print(f"  {path.name}: tensors identical in order, names, shapes, types and bytes")
