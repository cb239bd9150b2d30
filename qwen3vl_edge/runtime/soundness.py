"""May the installed llama.cpp use its extra CPU buffers on this machine? Asked before any model is opened.

Some builds die in these kernels (gcc 12.2 on CPUs with AMX: docs/decisions/0002-native-build.md), others
could compute wrongly, and nothing in Python survives that. So a child process tries first: with the extra
buffers and, if that fails, without. This module never loads the native libraries itself.
"""

import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from qwen3vl_edge.errors import EngineError
from qwen3vl_edge.paths import user_cache_dir
from qwen3vl_edge.runtime.build_identity import build_id, cpu_id
from qwen3vl_edge.runtime.child import CRASHES, run_child
from qwen3vl_edge.runtime.verdict_cache import Soundness, read_verdict, write_verdict

__all__ = ["SELFTEST", "Soundness", "check_build", "extra_buffers_are_sound"]

SELFTEST = (sys.executable, "-P", "-m", "qwen3vl_edge.runtime.selftest", "--json")
"""The child's command; ``-P`` keeps the user's folder, and any ``numpy.py`` in it, off the import path."""

SELFTEST_VERSION = 1  # raise it when the self-test sees more, so that old verdicts are asked anew
TIMEOUT_S = 120.0  # it takes half a second: this is for machines that are busy, swapping or cold
REBUILD = "build it anew: `pip install --force-reinstall --no-cache-dir --no-deps llama-cpp-python==0.3.36`"
log = logging.getLogger("qwen3vl_edge.runtime")


@dataclass(frozen=True)
class _Outcome:
    """How one child ended. `lasting`: another run would end alike, so the verdict may be kept."""

    reason: str | None
    lasting: bool = True


def extra_buffers_are_sound(cache_dir: Path | None = None) -> Soundness:
    """`check_build` with the user's cache folder; warns, in one line, when the extra buffers must stay off.

    Raises:
        EngineError: llama.cpp does not work here at all, or is not installed.
    """
    verdict = check_build(user_cache_dir() if cache_dir is None else cache_dir)
    if not verdict.extra_buffers:
        log.warning("llama.cpp's fast CPU kernels fail their self-test: %s; going on without", verdict.reason)
    return verdict


def check_build(
    cache_dir: Path, *, command: Sequence[str] = SELFTEST, timeout_s: float = TIMEOUT_S
) -> Soundness:
    """Whether this build may use extra buffers on this CPU, from the cache or else from a child process.

    Args:
        cache_dir: Folder of the verdicts; created when there is one to keep.
        command: The self-test; ``--extra-buffers on`` or ``off`` is appended.
        timeout_s: Seconds that each child may take.

    Raises:
        EngineError: The child failed both ways, or llama-cpp-python is not installed.
    """
    key = f"{build_id()}-{cpu_id()}-{SELFTEST_VERSION}"
    known = read_verdict(cache_dir, key)
    if known is not None:
        return known
    fast = _try(command, "on", timeout_s)
    verdict = Soundness(fast.reason is None, fast.reason)
    if fast.reason is not None:
        plain = _try(command, "off", timeout_s)
        if plain.reason is not None:
            raise EngineError(_hopeless(fast.reason, plain.reason))
    if fast.lasting:
        write_verdict(cache_dir, key, verdict)
    return verdict


def _hopeless(fast: str, plain: str) -> str:
    reasons = plain if fast == plain else f"{plain}; with its fast CPU kernels: {fast}"
    return f"the installed llama.cpp fails its self-test: {reasons}; {REBUILD}"


def _try(command: Sequence[str], extra_buffers: str, timeout_s: float) -> _Outcome:
    try:
        ended = run_child([*command, "--extra-buffers", extra_buffers], timeout_s)
    except OSError as error:
        return _Outcome(f"it cannot be started ({error})", lasting=False)
    return _Outcome(ended.reason, lasting=ended.signal in CRASHES or bool(ended.report))
