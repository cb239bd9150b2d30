"""Speed and memory against the peers: ``python -m tools.bench``.

Machines are shared and noisy, so each pair of commands runs in turn, the best of several counts, and
ratios are what to compare. Every command runs in a process of its own; memory is its peak resident set.
"""

import platform
import sys
from pathlib import Path

from tools.bench import conversion
from tools.bench.measure import Command, in_turn
from tools.bench.report import report

ROOT = Path(__file__).resolve().parents[2]
CLI = str(Path(sys.executable).parent / "qwen3vl-edge")


def main() -> None:
    """Run every benchmark and print a table of each."""
    print(f"{platform.machine()}, Python {platform.python_version()}")
    _start()
    conversion.main()
    _ask()


def _start() -> None:
    runs = {
        "qwen3vl-edge --help": Command([CLI, "--help"]),
        "python -c pass": Command([sys.executable, "-c", "pass"]),
    }
    report("start: --help against a Python that does nothing", in_turn(runs, 10))


def _ask() -> None:
    question = ["ask", "demo", "Describe this image.", "-i", str(ROOT / "samples/red_circle.png")]
    runs = {"qwen3vl-edge ask": Command([CLI, *question, "--temperature", "0"])}
    report("ask: the demo model about one picture, start to end", in_turn(runs, 5))


if __name__ == "__main__":
    main()
