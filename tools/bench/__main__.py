"""Speed and memory against the peers: ``python -m tools.bench [NAME…]``.

There are start, convert, ask, runtime, video and caption; soak takes a quarter of an hour, quality
an hour; they are to be named.

Machines are shared and noisy, so each pair of commands runs in turn, the best of several counts, and
ratios are what to compare. Every command runs in a process of its own; memory is its peak resident set.
"""

import argparse
import platform
import sys
from pathlib import Path

from tools.bench import conversion
from tools.bench.measure import Command, in_turn
from tools.bench.report import report

ROOT = Path(__file__).resolve().parents[2]
CLI = str(Path(sys.executable).parent / "qwen3vl-edge")
_LONG = ("soak", "quality")


def main() -> None:
    """Run the benchmarks that are named, or all, and print a table of each."""
    benchmarks = {
        "start": _start,
        "convert": conversion.main,
        "ask": _ask,
        "runtime": _runtime,
        "video": _video,
        "caption": _caption,
        "soak": _soak,
        "quality": _quality,
    }
    parser = argparse.ArgumentParser(prog="python -m tools.bench")
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"{', '.join(benchmarks)}; default: all but {', '.join(_LONG)}",
    )
    names = parser.parse_args().names or [name for name in benchmarks if name not in _LONG]
    unknown = set(names) - set(benchmarks)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are: {', '.join(benchmarks)}")
    print(f"{platform.machine()}, Python {platform.python_version()}")
    for name in names:
        benchmarks[name]()


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


def _runtime() -> None:
    from tools.bench import runtime  # loads numpy, which would count to what is measured before

    runtime.main()


def _video() -> None:
    from tools.bench import video

    video.main()


def _caption() -> None:
    from tools.bench import caption

    caption.main()


def _soak() -> None:
    from tools.bench import caption_soak

    caption_soak.main([])


def _quality() -> None:
    from tools.bench.quality import __main__ as quality

    quality.main()


if __name__ == "__main__":
    main()
