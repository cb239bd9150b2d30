import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qwen3vl_edge.runtime.child import Ended, run_child


def ended(code: str, timeout_s: float = 30) -> Ended:
    return run_child([sys.executable, "-S", "-E", "-c", code], timeout_s)


def test_success_is_what_the_last_line_and_the_exit_status_say() -> None:
    assert ended("print('loading'); print('{\"ok\": true, \"n\": 1}')") == Ended(None, {"ok": True, "n": 1})
    assert ended("print('{\"ok\": true}'); raise SystemExit(1)").reason == "no output (exit status 1)"


@pytest.mark.parametrize("output", ["[1]", "{", '{"ok": false}', '{"ok": 1}', "[" * 100_000])
def test_a_report_that_makes_no_sense_is_none(output: str) -> None:
    assert ended(
        f"import sys; print({output[:1]!r} * {len(output)} if {len(output) > 100} else {output!r})"
    ) == Ended("no output (exit status 0)")


def test_a_crash_is_told_with_the_last_words() -> None:
    told = ended(
        "import os, sys; print('first\\nGGML_ASSERT failed', file=sys.stderr, flush=True); os.abort()"
    )
    assert told == Ended("crash (SIGABRT), its last words: GGML_ASSERT failed", signal="SIGABRT")
    assert not told.killed
    assert ended("import os, signal; os.kill(os.getpid(), signal.SIGKILL)").killed


def test_a_reason_is_one_line_that_a_terminal_can_show() -> None:
    code = "import json; print(json.dumps({'ok': False, 'reason': 'a\\nb\\x1b[2Jc' + 'd' * 10_000}))"
    reason = ended(code).reason
    assert reason is not None
    assert reason.startswith("a b [2Jcddd")
    assert len(reason) <= 500


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent the POSIX way")
def test_an_interrupt_here_ends_the_child(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    sleeper = f"import os, time; open({str(note)!r}, 'w').write(str(os.getpid()) + ' '); time.sleep(60)"
    code = (
        "import signal, sys; from qwen3vl_edge.runtime.child import run_child; "
        "signal.signal(signal.SIGINT, signal.default_int_handler); "  # a parent may have it ignored
        "run_child(sys.argv[1:], 60)"
    )
    command = [sys.executable, "-c", code, sys.executable, "-c", sleeper]
    parent = subprocess.Popen(command, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 20
    while not (note.exists() and note.read_text().endswith(" ")) and time.monotonic() < deadline:
        time.sleep(0.02)
    parent.send_signal(signal.SIGINT)  # to the parent alone, as no terminal would
    parent.communicate(timeout=20)
    with pytest.raises(ProcessLookupError):
        os.kill(int(note.read_text()), 0)
