"""Ctrl-C, also while native code runs."""

import _thread
import signal
import sys
import threading
from types import FrameType

__all__ = ["Interrupted", "raise_on_interrupt"]

_AGAIN_S = 0.02


class Interrupted(BaseException):
    """The user pressed Ctrl-C; no `KeyboardInterrupt`, which typer would turn into exit code 1."""


def raise_on_interrupt() -> None:
    """Have Ctrl-C raise `Interrupted` in the main thread."""
    signal.signal(signal.SIGINT, _on_interrupt)


def _on_interrupt(_signal: int, frame: FrameType | None) -> None:
    # An exception inside a callback from native code ends there: ctypes prints and drops it. So
    # there, the interrupt is put off until the callback has returned.
    if _inside_native_callback(frame):
        threading.Timer(_AGAIN_S, _thread.interrupt_main).start()
        return
    raise Interrupted


def _inside_native_callback(frame: FrameType | None) -> bool:
    native = sys.modules.get("qwen3vl_edge.runtime.native")  # not loaded: no callbacks
    return native is not None and native.runs_callback(frame)
