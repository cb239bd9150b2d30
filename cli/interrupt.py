"""Ctrl-C, also while native code runs."""

import _thread
import os
import signal
import socket
import sys
import threading
from types import FrameType

__all__ = ["INTERRUPTED", "Interrupted", "raise_on_interrupt"]

INTERRUPTED = 130
"""Exit code: 128 + SIGINT, as shells have it."""

_AGAIN_S = 0.02
_PATIENCE_S = 1.0


class Interrupted(BaseException):
    """The user pressed Ctrl-C; no `KeyboardInterrupt`, which typer would turn into exit code 1."""


def raise_on_interrupt() -> None:
    """Have Ctrl-C raise `Interrupted` in the main thread, or end the process if that cannot be.

    Python runs signal handlers between its own instructions. Encoding a large picture is one native
    call that can take minutes; a thread, woken by the signal itself, ends the process then.
    """
    raised = threading.Event()

    def on_interrupt(_signal: int, frame: FrameType | None) -> None:
        _interrupt(frame, raised)

    signal.signal(signal.SIGINT, on_interrupt)
    wakes, woken = socket.socketpair()
    woken.setblocking(False)
    signal.set_wakeup_fd(woken.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(wakes, woken, raised), daemon=True).start()


def _interrupt(frame: FrameType | None, raised: threading.Event) -> None:
    # An exception inside a callback from native code ends there: ctypes prints and drops it. So
    # there, the interrupt is put off until the callback has returned.
    if _inside_native_callback(frame):
        threading.Timer(_AGAIN_S, _thread.interrupt_main).start()
        return
    raised.set()
    raise Interrupted


def _inside_native_callback(frame: FrameType | None) -> bool:
    native = sys.modules.get("qwen3vl_edge.runtime.native")  # not loaded, or not yet: no callbacks
    runs_callback = getattr(native, "runs_callback", None)
    return runs_callback is not None and bool(runs_callback(frame))


def _watch(wakes: socket.socket, _woken: socket.socket, raised: threading.Event) -> None:
    """End the process if an interrupt is not raised soon; keeps both sockets open as long as it lives."""
    while True:
        if signal.SIGINT in wakes.recv(64) and not raised.wait(_PATIENCE_S):
            os.write(2, b"qwen3vl-edge: interrupted\n")
            os._exit(INTERRUPTED)
