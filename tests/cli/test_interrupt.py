import _thread
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

from qwen3vl_edge.bundle import Bundle
from qwen3vl_edge.cli import interrupt
from qwen3vl_edge.cli import main as main_module
from qwen3vl_edge.cli.interrupt import Interrupted, Interrupts
from qwen3vl_edge.errors import EngineError
from qwen3vl_edge.runtime import native
from qwen3vl_edge.runtime.model import TextModel
from qwen3vl_edge.runtime.native import Library


def press(interrupts: Interrupts) -> None:
    interrupts.on_interrupt(signal.SIGINT, sys._getframe())


def press_in_a_callback(interrupts: Interrupts) -> None:
    class Pressed(bytes):
        def decode(self, *_: object) -> str:
            press(interrupts)
            return ""

    library = Library.__new__(Library)
    library._level = 10
    library._on_log(1, Pressed(), None)


@pytest.fixture
def again(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collects the interrupts that are put off, instead of having them come again."""
    said: list[str] = []
    monkeypatch.setattr(_thread, "interrupt_main", lambda: said.append("again"))
    monkeypatch.setattr(interrupt, "_AGAIN_S", 0.0)
    return said


def timers() -> list[threading.Timer]:
    return [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]


def test_it_raises_at_once_in_ordinary_code() -> None:
    interrupts = Interrupts()
    with pytest.raises(Interrupted):
        press(interrupts)
    assert not interrupts.end()


def test_it_waits_for_a_native_callback_to_return(again: list[str]) -> None:
    """Inside the callback nothing may be raised; the interrupt comes again a moment later."""
    press_in_a_callback(Interrupts())
    for timer in timers():
        assert timer.daemon  # or the end of the process would wait for it, and raise where nothing listens
        timer.join(timeout=5)
    assert again == ["again"]
    assert not native.runs_callback(sys._getframe())


def test_one_put_off_is_pending_until_it_is_raised(again: list[str]) -> None:
    interrupts = Interrupts()
    press_in_a_callback(interrupts)
    with pytest.raises(Interrupted):
        press(interrupts)
    assert not interrupts.end()
    press_late = Interrupts()
    press_in_a_callback(press_late)
    assert press_late.end()
    press(press_late)  # the timer's, when all is over: nothing is raised
    assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL


def finish() -> tuple[int, str]:
    return 0, ""


def fail() -> tuple[int, str]:
    return 1, "error: llama.cpp cannot open it"


def be_interrupted() -> tuple[int, str]:
    raise Interrupted


def be_interrupted_by_python() -> tuple[int, str]:
    raise KeyboardInterrupt


@pytest.mark.parametrize("end", [finish, fail])
def test_a_pending_one_decides_before_the_commands_own_end(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    again: list[str],
    end: Callable[[], tuple[int, str]],
) -> None:
    interrupts = Interrupts()
    press_in_a_callback(interrupts)
    monkeypatch.setattr(main_module, "Interrupts", lambda: interrupts)
    monkeypatch.setattr(main_module, "_run_command", end)
    with pytest.raises(SystemExit) as ended:
        main_module.run()
    assert ended.value.code == 130
    assert capsys.readouterr().err == "qwen3vl-edge: interrupted\n"


@pytest.mark.parametrize(
    ("end", "code", "said"),
    [
        (finish, 0, ""),
        (fail, 1, "qwen3vl-edge: error: llama.cpp cannot open it\n"),
        (be_interrupted, 130, "qwen3vl-edge: interrupted\n"),
        (be_interrupted_by_python, 130, "qwen3vl-edge: interrupted\n"),
    ],
)
def test_ends_of_commands(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    end: Callable[[], tuple[int, str]],
    code: int,
    said: str,
) -> None:
    monkeypatch.setattr(main_module, "_run_command", end)
    with pytest.raises(SystemExit) as ended:
        main_module.run()
    assert (ended.value.code, capsys.readouterr().err) == (code, said)


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


def test_a_load_that_is_given_up_is_no_damaged_file(
    tmp_path_factory: pytest.TempPathFactory, demo_f32: Bundle
) -> None:
    class Pressed:
        """A bar that is told of the first share loaded, and has Ctrl-C pressed there."""

        def __enter__(self) -> "Pressed":
            return self

        def __exit__(self, *_: object) -> None: ...

        def task(self, *_: object) -> "Pressed":
            return self

        def advance(self, _amount: int = 1) -> None:
            native.library().cancel()

    with pytest.raises(native.Cancelled):
        TextModel(demo_f32.model, extra_buffers=False, progress=Pressed())
    with pytest.raises(EngineError, match="cannot open"):
        TextModel(tmp_path_factory.mktemp("none") / "none.gguf")
    TextModel(demo_f32.model, extra_buffers=False).close()  # what was given up before is forgotten
