import _thread
import signal
import subprocess
import sys
import threading
import time

import pytest

from qwen3vl_edge.cli import interrupt
from qwen3vl_edge.runtime import native
from qwen3vl_edge.runtime.native import Library


def test_it_raises_at_once_in_ordinary_code() -> None:
    with pytest.raises(interrupt.Interrupted):
        interrupt._interrupt(sys._getframe(), threading.Event())


def test_it_waits_for_a_native_callback_to_return(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inside the callback nothing may be raised; the interrupt comes again a moment later."""
    again: list[str] = []
    monkeypatch.setattr(_thread, "interrupt_main", lambda: again.append("again"))
    monkeypatch.setattr(interrupt, "_AGAIN_S", 0.0)

    class Pressed(bytes):
        def decode(self, *_: object) -> str:
            interrupt._interrupt(sys._getframe(), threading.Event())
            return ""

    library = Library.__new__(Library)
    library._level = 10
    library._on_log(1, Pressed(), None)
    for thread in [t for t in threading.enumerate() if isinstance(t, threading.Timer)]:
        thread.join(timeout=5)
    assert again == ["again"]
    assert not native.runs_callback(sys._getframe())


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent the POSIX way")
def test_it_ends_the_process_when_native_code_does_not_return() -> None:
    code = (
        "import hashlib, sys\n"
        "from qwen3vl_edge.cli.interrupt import raise_on_interrupt\n"
        "raise_on_interrupt()\n"
        "print('ready', flush=True)\n"
        "hashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)\n"  # minutes, in one native call
    )
    program = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert program.stdout is not None
    assert program.stdout.readline() == "ready\n"
    time.sleep(0.5)  # it is inside the native call by now
    program.send_signal(signal.SIGINT)
    _, said = program.communicate(timeout=20)
    assert (program.returncode, said) == (130, "qwen3vl-edge: interrupted\n")
