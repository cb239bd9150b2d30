"""Ctrl-C, also while native code runs."""

import _thread
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Protocol

__all__ = ["INTERRUPTED", "Interrupted", "answering", "raise_on_interrupt", "signals_kept"]

INTERRUPTED = 130
"""Exit code: 128 + SIGINT, as shells have it."""

_AGAIN_S = 0.02
_PATIENCE_S = 1.0


class Interrupted(BaseException):
    """The user pressed Ctrl-C; no `KeyboardInterrupt`, which typer would turn into exit code 1."""


class _Cancellable(Protocol):
    def cancel(self) -> None: ...


@contextmanager
def answering(engine: _Cancellable) -> Iterator[threading.Event]:
    """Have Ctrl-C meanwhile do nothing but end the answer of `engine`; gives an event that it sets.

    A thread, woken by the signal itself, calls ``engine.cancel``: the main thread may be in native code
    for minutes, where Python hears no signals. Outside the main thread nothing is changed.
    """
    pressed = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield pressed
        return
    wakes, woken = socket.socketpair()
    woken.setblocking(False)
    with signals_kept(), wakes:
        with woken:
            signal.signal(signal.SIGINT, lambda _signal, _frame: pressed.set())
            signal.set_wakeup_fd(woken.fileno(), warn_on_full_buffer=False)
            watcher = threading.Thread(target=_cancel, args=(wakes, engine, pressed), daemon=True)
            watcher.start()
            try:
                yield pressed
            finally:
                signal.set_wakeup_fd(-1)
        watcher.join()


@contextmanager
def signals_kept() -> Iterator[None]:
    """Put back, afterwards, what becomes of Ctrl-C: asyncio, and with it prompt_toolkit, forgets that."""
    handler, wakes = signal.getsignal(signal.SIGINT), signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler or signal.SIG_DFL)  # None: set by native code
        signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)


def _cancel(wakes: socket.socket, engine: _Cancellable, pressed: threading.Event) -> None:
    while signals := wakes.recv(64):  # nothing comes when the other end is closed
        if signal.SIGINT in signals:
            pressed.set()
            engine.cancel()


def raise_on_interrupt() -> None:
    """Have Ctrl-C raise `Interrupted` in the main thread, or end the process if that cannot be.

    Python runs signal handlers between its own instructions. Encoding a large picture is one native
    call that can take minutes; a thread, woken by the signal itself, has llama.cpp give it up, and ends
    the process if nothing comes of that.
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


def _cancel_native_work() -> None:
    native = sys.modules.get("qwen3vl_edge.runtime.native")
    cancel = getattr(native, "cancel", None)
    if cancel is not None:
        cancel()


def _watch(wakes: socket.socket, _woken: socket.socket, raised: threading.Event) -> None:
    """End the process if an interrupt is not raised soon; keeps both sockets open as long as it lives."""
    while True:
        if signal.SIGINT not in wakes.recv(64):
            continue
        _cancel_native_work()
        if not raised.wait(_PATIENCE_S):
            os.write(2, b"qwen3vl-edge: interrupted\n")
            os._exit(INTERRUPTED)
