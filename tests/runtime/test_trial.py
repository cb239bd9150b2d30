import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from qwen3vl_edge.bundle import Bundle
from qwen3vl_edge.limits import ImageLimits
from qwen3vl_edge.messages import Message
from qwen3vl_edge.runtime import memory, trial_process
from qwen3vl_edge.runtime.llama_engine import LlamaEngine
from qwen3vl_edge.runtime.memory import available_bytes
from qwen3vl_edge.runtime.trial import gradient, judge, try_pair
from qwen3vl_edge.runtime.trial_process import run_trial

MODEL, PROJECTOR = Path("model.gguf"), Path("projector.gguf")


def child(code: str) -> tuple[str, ...]:
    return (sys.executable, "-S", "-E", "-c", code)


def test_a_sound_pair(tiny_bundle: Bundle) -> None:
    report = try_pair(tiny_bundle.model, tiny_bundle.projector)
    assert (report.ok, report.reason) == (True, None)
    with LlamaEngine(tiny_bundle) as engine:
        picture = gradient(engine.info.image_limits)
        parts = engine.info.template.parts([Message("user", (picture, "Describe this image."))])
        assert report.n_tokens == sum(engine.count(parts))
        assert report.top_id == int(engine.next_logits(parts).argmax())


def test_the_child_prints_one_object_and_exits_with_its_verdict(tiny_bundle: Bundle) -> None:
    command = [sys.executable, "-P", "-m", "qwen3vl_edge.runtime.trial"]
    good = subprocess.run(
        [*command, tiny_bundle.model, tiny_bundle.projector], capture_output=True, check=False
    )
    assert (good.returncode, good.stderr) == (0, b"")
    assert list(json.loads(good.stdout)) == ["ok", "reason", "n_tokens", "top_id", "seconds"]
    bad = subprocess.run([*command, tiny_bundle.model, tiny_bundle.model], capture_output=True, check=False)
    assert bad.returncode == 1
    assert "cannot open the projector" in json.loads(bad.stdout.splitlines()[-1])["reason"]


@pytest.mark.parametrize(
    ("limits", "shape"),
    [(ImageLimits(), (256, 256, 3)), (ImageLimits(4096, 65536), (64, 64, 3)), (ImageLimits(0), (32, 32, 3))],
)
def test_the_picture_has_the_least_size(limits: ImageLimits, shape: tuple[int, ...]) -> None:
    pixels = gradient(limits).pixels
    assert (pixels.shape, pixels.dtype) == (shape, np.uint8)
    assert pixels[0, 0].tolist() == [0, 0, 128]
    assert pixels[-1, -1].tolist() == [255, 255, 128]


def test_judge() -> None:
    sound = np.array([1, 2, 3], np.float32)
    assert judge(sound) is None
    assert judge(np.array([1, np.nan, -np.inf], np.float32)) == (
        "2 of 3 logits are not finite; some weights are NaN, infinite or damaged"
    )
    assert "all 3 logits are equal" in str(judge(np.full(3, 0.5, np.float32)))


@pytest.mark.parametrize(
    ("code", "ok", "detail"),
    [
        ('print(\'{"ok": true, "n_tokens": 7, "seconds": 1.5}\')', True, "7 tokens, .* in 1.5 s"),
        (
            'print(\'{"ok": false, "reason": "no such tensor"}\'); raise SystemExit(1)',
            False,
            "no such tensor",
        ),
        ("import os; os.abort()", False, r"crash \(SIGABRT\)"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", False, r"crash \(SIGSEGV\)"),
        ("import sys; sys.exit('ModuleNotFoundError: numpy')", False, r"ModuleNotFoundError: numpy \(exit"),
        ("print('all is well')", False, "no output"),
        ("print('{\"ok\": true}'); raise SystemExit(3)", False, "exit status 3"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", None, "SIGKILL.*memory run out"),
    ],
)
def test_how_a_child_may_end(
    monkeypatch: pytest.MonkeyPatch, code: str, ok: bool | None, detail: str
) -> None:
    monkeypatch.setattr(trial_process, "_COMMAND", child(code))
    trial = run_trial(MODEL, PROJECTOR, 0)
    assert trial.ok is ok
    assert re.search(detail, trial.detail)
    assert "\n" not in trial.detail


def test_a_child_that_hangs_is_ended_in_time_for_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial_process, "_COMMAND", child("import time; time.sleep(60)"))
    monkeypatch.setattr(trial_process, "_TIMEOUT_S", 0.1)
    monkeypatch.setattr(trial_process, "_TIMEOUT_S_PER_GB", 0.05)
    trial = run_trial(MODEL, PROJECTOR, 2 * 10**9)
    assert (trial.ok, trial.detail) == (False, "no end within 0.2 s")


def test_the_child_is_given_absolute_paths(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A file named like an option is a file."""
    monkeypatch.chdir(tmp_path)
    said = 'import json, sys; print(json.dumps({"ok": False, "reason": " ".join(sys.argv[1:])}))'
    monkeypatch.setattr(trial_process, "_COMMAND", child(said))
    assert run_trial(Path("--help"), Path("-p.gguf"), 0).detail == f"{tmp_path}/--help {tmp_path}/-p.gguf"


def test_a_child_that_cannot_be_started_is_no_fault_of_the_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial_process, "_COMMAND", ("/absent/python",))
    trial = run_trial(MODEL, PROJECTOR, 0)
    assert trial.ok is None
    assert "no process can be started" in trial.detail


@pytest.mark.parametrize(("size_bytes", "tried"), [(8 * 10**9, True), (8 * 10**9 + 1, False)])
def test_what_does_not_fit_memory_is_not_tried(
    monkeypatch: pytest.MonkeyPatch, size_bytes: int, tried: bool
) -> None:
    monkeypatch.setattr(trial_process, "available_bytes", lambda: 10 * 10**9)
    monkeypatch.setattr(trial_process, "_COMMAND", child("print('{\"ok\": true}')"))
    trial = run_trial(MODEL, PROJECTOR, size_bytes)
    assert trial.ok is (True if tried else None)
    if not tried:
        assert trial.detail.startswith("not tried: needs 10.0 GB of memory, 10.0 GB are available; ")


def test_where_memory_is_unknown_it_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial_process, "available_bytes", lambda: None)
    monkeypatch.setattr(trial_process, "_COMMAND", child("print('{\"ok\": true}')"))
    assert run_trial(MODEL, PROJECTOR, 10**12).ok is True


def test_available_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    meminfo, limit = tmp_path / "meminfo", tmp_path / "memory.max"
    monkeypatch.setattr(memory, "_MEMINFO", meminfo)
    monkeypatch.setattr(memory, "_GROUP_LIMIT", limit)
    monkeypatch.setattr(memory, "_physical", lambda: 99)
    assert available_bytes() == 99
    meminfo.write_text("MemTotal:       16 kB\nMemAvailable:       12 kB\n")
    limit.write_text("max\n")
    assert available_bytes() == 12 * 1024
    limit.write_text("4096\n")
    assert available_bytes() == 4096
    monkeypatch.setattr(memory, "_physical", lambda: None)
    limit.unlink()
    meminfo.unlink()
    assert available_bytes() is None
