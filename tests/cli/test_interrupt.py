import _thread
import sys
import threading

import pytest

from qwen3vl_edge.cli import interrupt
from qwen3vl_edge.runtime import native
from qwen3vl_edge.runtime.native import Library


def test_it_raises_at_once_in_ordinary_code() -> None:
    with pytest.raises(interrupt.Interrupted):
        interrupt._on_interrupt(2, sys._getframe())


def test_it_waits_for_a_native_callback_to_return(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inside the callback nothing may be raised; the interrupt comes again a moment later."""
    again: list[str] = []
    monkeypatch.setattr(_thread, "interrupt_main", lambda: again.append("again"))
    monkeypatch.setattr(interrupt, "_AGAIN_S", 0.0)

    class Pressed(bytes):
        def decode(self, *_: object) -> str:
            interrupt._on_interrupt(2, sys._getframe())
            return ""

    library = Library.__new__(Library)
    library._level = 10
    library._on_log(1, Pressed(), None)
    for thread in [t for t in threading.enumerate() if t.name.startswith("Thread-")]:
        thread.join(timeout=5)
    assert again == ["again"]
    assert not native.runs_callback(sys._getframe())
