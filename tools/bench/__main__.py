"""Speed and memory against the peers: ``python -m tools.bench``.

Machines are shared and noisy, so each pair of commands runs in turn, the best of several counts, and
ratios are what to compare. Every command runs in a process of its own; memory is its peak resident set.
"""

import platform
import subprocess
import sys
import tempfile
from pathlib import Path

from tools.bench.measure import Measured, in_turn

ROOT = Path(__file__).resolve().parents[2]
COMMAND = str(Path(sys.executable).parent / "qwen3vl-edge")


def main() -> None:
    """Run every benchmark and print a table of each."""
    print(f"{platform.machine()}, Python {platform.python_version()}")
    _start()
    _convert()
    _ask()


def _start() -> None:
    runs = {"qwen3vl-edge --help": [COMMAND, "--help"], "python -c pass": [sys.executable, "-c", "pass"]}
    _report("start: --help against a Python that does nothing", in_turn(runs, 10))


def _convert() -> None:
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        source = str(work / "source")
        # in a process of its own: on Linux a child's peak memory counts from its parent's
        subprocess.run([sys.executable, "-m", "tools.bench.source", source], check=True)
        theirs = [sys.executable, str(ROOT / "tools/oracle_convert.py"), "--any-vocab", source, folder]
        runs = {
            "qwen3vl-edge convert": [COMMAND, "convert", source, "-o", str(work / "ours"), "--overwrite"],
            "convert_hf_to_gguf.py, both files": [*theirs, "bf16", "mmproj:f16"],
            "cp of the checkpoint": ["cp", "-r", source, str(work / "copy")],
        }
        _report("convert: 0.8 GB checkpoint to BF16 and F16", in_turn(runs, 3))


def _ask() -> None:
    question = ["ask", "demo", "Describe this image.", "-i", str(ROOT / "samples/red_circle.png")]
    _report(
        "ask: the demo model about one picture, start to end",
        in_turn({"qwen3vl-edge ask": [COMMAND, *question, "--temperature", "0"]}, 5),
    )


def _report(title: str, rows: dict[str, Measured]) -> None:
    print(f"\n{title}")
    first = next(iter(rows.values()))
    for name, row in rows.items():
        ratio = first.seconds / row.seconds
        print(f"  {name:36} {row.seconds:8.2f} s  {row.peak_bytes / 1e6:8.0f} MB  first/this {ratio:.2f}")


if __name__ == "__main__":
    main()
