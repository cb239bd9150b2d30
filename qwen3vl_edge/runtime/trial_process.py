"""Starts the trial of a pair in a child process, if there is memory for it; loads nothing native itself."""

import sys
from dataclasses import dataclass
from pathlib import Path

from qwen3vl_edge.runtime.child import run_child
from qwen3vl_edge.runtime.memory import available_bytes

__all__ = ["Trial", "run_trial"]

_COMMAND = (sys.executable, "-P", "-m", "qwen3vl_edge.runtime.trial")
_MEMORY_SHARE = 0.8  # of what is available: the rest is for the context, buffers and everyone else
_TIMEOUT_S, _TIMEOUT_S_PER_GB = 120.0, 60.0  # enough for disks of 17 MB/s
_GB = 1e9


@dataclass(frozen=True, slots=True)
class Trial:
    """What a trial came to: `ok` is None where there was none, or it was cut short; `detail` is one line."""

    ok: bool | None
    detail: str


def run_trial(model: Path, projector: Path, size_bytes: int) -> Trial:
    """Open the pair in a child process and evaluate a prompt with a picture (`qwen3vl_edge.runtime.trial`).

    Args:
        model: GGUF file of the language model, the first if it is split.
        projector: GGUF file of the projector.
        size_bytes: Of all files together. A model larger than memory is not tried: it would keep the
            disk busy for hours.
    """
    size_gb, available = size_bytes / _GB, available_bytes()
    if available is not None and size_bytes > _MEMORY_SHARE * available:
        return Trial(
            None,
            f"not tried: needs {size_gb / _MEMORY_SHARE:.1f} GB of memory, {available / _GB:.1f} GB are "
            "available; `qwen3vl-edge inspect --verify` does it on a larger machine",
        )
    # absolute: no path can be taken for an option
    command = [*_COMMAND, str(model.absolute()), str(projector.absolute())]
    try:
        ended = run_child(command, _TIMEOUT_S + _TIMEOUT_S_PER_GB * size_gb)
    except OSError as failure:
        return Trial(None, f"not tried: no process can be started ({failure.strerror})")
    if ended.killed:
        return Trial(None, f"not done: {ended.reason}; was it stopped, or did memory run out?")
    if ended.reason is not None:
        return Trial(False, ended.reason)
    n_tokens, seconds = ended.report.get("n_tokens"), ended.report.get("seconds")
    return Trial(True, f"{n_tokens} tokens, a picture among them, in {seconds} s")
