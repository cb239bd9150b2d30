"""Does this build of llama.cpp compute rightly on this CPU? ``python -m qwen3vl_edge.runtime.selftest``.

Runs in a process of its own (`soundness` starts it, and the set-up), because a wrong build may die here. Exit
status 0: sound; 1: wrong numbers or refused; a signal: it crashed. With ``--json`` the last line of stdout is
one object: ``ok``, ``reason`` (null if ok), ``extra_buffers``, ``tolerance``, ``max_error``, ``errors``,
``seconds``.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import llama_cpp.llama_cpp as native
import numpy as np
from numpy.typing import NDArray

from qwen3vl_edge.errors import EngineError
from qwen3vl_edge.runtime.child import leave_no_core_file
from qwen3vl_edge.runtime.probe_model import write_probe_model
from qwen3vl_edge.runtime.probe_run import probe_logits

__all__ = ["TOLERANCE", "Report", "examine", "judge", "logits_error", "main"]

TOLERANCE = 0.12
"""Largest `logits_error` of a sound build: healthy ones stay under 0.04 (activations are rounded to 8 bits),
while a kernel that loses one row in sixteen exceeds 0.3 (docs/decisions/0002-native-build.md)."""

LOG_LEVEL_ERROR = 4  # enum ggml_log_level, ggml.h
N_THREADS = 2  # in one of the runs: AMX is set up thread by thread
N_PIECE = 5  # tokens at once in the second run: other kernels than a whole prompt, and a remainder of 3
Logits = NDArray[np.float32]


@dataclass(frozen=True)
class Report:
    """What the self-test found; `errors` maps a comparison to its `logits_error`."""

    ok: bool
    reason: str | None
    extra_buffers: bool
    tolerance: float
    max_error: float | None
    errors: dict[str, float]
    seconds: float


def logits_error(logits: Logits, oracle: Logits) -> float:
    """Root mean square difference over the oracle's standard deviation, of the worst token.

    Both arrays are (tokens, vocabulary). Infinite if a number is not finite or the oracle is flat.
    """
    spread = np.std(oracle, axis=1)  # (tokens,)
    if not (np.isfinite(logits).all() and np.isfinite(spread).all() and spread.all()):
        return float("inf")
    difference = np.sqrt(np.mean((logits - oracle) ** 2, axis=1))  # (tokens,)
    return float(np.max(difference / spread))


def judge(errors: dict[str, float]) -> str | None:
    """Give the reason to distrust the build, or None."""
    wrong = [f"{name}: {error:.3g}" for name, error in errors.items() if not error <= TOLERANCE]
    return f"wrong numbers ({', '.join(wrong)}; at most {TOLERANCE} is sound)" if wrong else None


def examine(extra_buffers: bool) -> Report:
    """Run the probe model and compare it with its float32 twin, between batch sizes and between buffers."""
    start = time.perf_counter()
    try:
        errors = _compare(extra_buffers)
        reason = judge(errors)
    except EngineError as error:
        errors, reason = {}, str(error)
    finite = [error for error in errors.values() if np.isfinite(error)]
    return Report(
        ok=reason is None,
        reason=reason,
        extra_buffers=extra_buffers,
        tolerance=TOLERANCE,
        max_error=max(finite, default=None),
        errors={name: error for name, error in errors.items() if np.isfinite(error)},
        seconds=round(time.perf_counter() - start, 3),
    )


def _compare(extra_buffers: bool) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="qwen3vl-edge-probe-") as folder:
        quantized, reference = Path(folder, "quantized.gguf"), Path(folder, "reference.gguf")
        write_probe_model(quantized, reference)
        oracle = probe_logits(reference, extra_buffers=False)
        plain = probe_logits(quantized, extra_buffers=False)
        errors = {"plain buffers": logits_error(plain, oracle)}
        whole = probe_logits(quantized, extra_buffers=extra_buffers, n_threads=N_THREADS)
        pieces = probe_logits(quantized, extra_buffers=extra_buffers, n_at_once=N_PIECE)
    if extra_buffers:
        errors["extra buffers"] = logits_error(whole, oracle)
        errors["extra against plain buffers"] = logits_error(whole, plain)
    errors["prompt in pieces"] = logits_error(pieces, oracle)
    errors["whole prompt against pieces"] = logits_error(pieces, whole)
    return errors


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry of the child process; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m qwen3vl_edge.runtime.selftest", description="Try llama.cpp."
    )
    parser.add_argument(
        "--extra-buffers", choices=("on", "off"), default="on", help="AMX and repacked kernels"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    leave_no_core_file()
    native.llama_log_set(_quiet, None)
    native.llama_backend_init()
    report = examine(options.extra_buffers == "on")
    sys.stdout.write((json.dumps(asdict(report)) if options.json else _sentence(report)) + "\n")
    return 0 if report.ok else 1


def _sentence(report: Report) -> str:
    buffers = "with" if report.extra_buffers else "without"
    verdict = f"sound (largest error {report.max_error:.3f})" if report.ok else f"not sound: {report.reason}"
    return f"llama.cpp {buffers} extra CPU buffers is {verdict}; {report.seconds:.2f} s"


@native.llama_log_callback  # type: ignore[untyped-decorator]
def _quiet(level: int, text: bytes, _user_data: object) -> None:
    if level == LOG_LEVEL_ERROR:
        sys.stderr.write(text.decode("utf-8", "replace"))


if __name__ == "__main__":
    sys.exit(main())
