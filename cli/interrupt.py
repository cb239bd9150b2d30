"""Ctrl-C, also while native code runs."""

import _thread
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # it is loaded when Ctrl-C is heard already
    import socket

__all__ = [
    "INTERRUPTED",
    "Interrupted",
    "Interrupts",
    "answering",
    "raise_on_interrupt",
    "signals_kept",
]

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
    import socket

    pressed = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield pressed
        return
    wakes, woken = socket.socketpair()
    woken.setblocking(False)
    watcher = threading.Thread(target=_cancel, args=(wakes, engine, pressed), daemon=True)
    with signals_kept(), wakes:
        try:
            with woken:
                signal.signal(signal.SIGINT, lambda _signal, _frame: pressed.set())
                signal.set_wakeup_fd(woken.fileno(), warn_on_full_buffer=False)
                watcher.start()
                try:
                    yield pressed
                finally:
                    signal.set_wakeup_fd(-1)
        finally:  # also where the answer failed: it must not listen at a closed socket
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


def _cancel(wakes: "socket.socket", engine: _Cancellable, pressed: threading.Event) -> None:
    while signals := wakes.recv(64):  # nothing comes when the other end is closed
        if signal.SIGINT in signals:
            pressed.set()
            engine.cancel()


class Interrupts:
    """What becomes of Ctrl-C while a command runs; see `raise_on_interrupt`."""

    def __init__(self) -> None:
        self._raised = threading.Event()
        self._put_off = False
        self._ended = False

    def on_interrupt(self, _signal: int, frame: FrameType | None) -> None:
        """Raise `Interrupted`, or come back in a moment.

        An exception inside a callback from native code ends there: ctypes prints and drops it. So
        there, the interrupt is put off until the callback has returned.
        """
        if self._ended:
            return
        if _inside_native_callback(frame):
            self._put_off = True
            again = threading.Timer(_AGAIN_S, _thread.interrupt_main)
            again.daemon = True  # the end of the process does not wait for it
            again.start()
            return
        self._put_off = False
        self._raised.set()
        raise Interrupted

    def end(self) -> bool:
        """Leave Ctrl-C to the system from now on; tell whether one was put off and never raised.

        The watching thread has then stopped what native code was at, and the command may have taken that
        for an ordinary end, or for an error.
        """
        self._ended = True
        self._raised.set()  # nothing is left to wait for
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        return self._put_off

    def watch(self, wakes: "socket.socket", _woken: "socket.socket") -> None:
        """End the process if an interrupt is not raised soon; keeps both sockets open as long as it lives."""
        while True:
            if signal.SIGINT not in wakes.recv(64):
                continue
            _cancel_native_work()
            if not self._raised.wait(_PATIENCE_S):
                os.write(2, b"qwen3vl-edge: interrupted\n")
                os._exit(INTERRUPTED)


def raise_on_interrupt(interrupts: Interrupts | None = None) -> None:
    """Have Ctrl-C raise `Interrupted` in the main thread, or end the process if that cannot be.

    Python runs signal handlers between its own instructions. Encoding a large picture is one native
    call that can take minutes; a thread, woken by the signal itself, has llama.cpp give it up, and ends
    the process if nothing comes of that.
    """
    interrupts = interrupts or Interrupts()
    signal.signal(signal.SIGINT, interrupts.on_interrupt)
    import socket

    wakes, woken = socket.socketpair()
    woken.setblocking(False)
    signal.set_wakeup_fd(woken.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=interrupts.watch, args=(wakes, woken), daemon=True).start()


def _inside_native_callback(frame: FrameType | None) -> bool:
    native = sys.modules.get("qwen3vl_edge.runtime.native")  # not loaded, or not yet: no callbacks
    runs_callback = getattr(native, "runs_callback", None)
    return runs_callback is not None and bool(runs_callback(frame))


def _cancel_native_work() -> None:
    native = sys.modules.get("qwen3vl_edge.runtime.native")
    cancel = getattr(native, "cancel", None)
    if cancel is not None:
        cancel()
