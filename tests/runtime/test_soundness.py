import importlib.metadata
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from qwen3vl_edge.errors import EngineError
from qwen3vl_edge.runtime import build_identity, soundness
from qwen3vl_edge.runtime.soundness import Soundness, check_build, extra_buffers_are_sound

CHILD = """
import os, signal, sys, time
mode = sys.argv[-1]
with open({calls!r}, "a") as calls:
    calls.write(mode + " ")
deed = {{"on": {on!r}, "off": {off!r}}}[mode]
if deed == "sound":
    print('{{"ok": true, "reason": null}}')
elif deed == "wrong":
    print('{{"ok": false, "reason": "wrong numbers (extra buffers: 1)"}}')
    sys.exit(1)
elif deed == "hang":
    time.sleep(60)
elif deed == "mute":
    print("all is well")
elif deed == "broken":
    sys.exit("ModuleNotFoundError: No module named 'numpy'")
else:
    os.kill(os.getpid(), getattr(signal, deed))
"""


class FakeChild:
    """A self-test that behaves as told, with and without extra buffers, and notes that it was asked."""

    def __init__(self, folder: Path, on: str, off: str) -> None:
        self._calls = folder / "calls"
        script = folder / f"child-{on}-{off}.py"
        script.write_text(CHILD.format(calls=str(self._calls), on=on, off=off))
        self.command = (sys.executable, "-S", "-E", str(script))

    @property
    def calls(self) -> list[str]:
        return self._calls.read_text().split() if self._calls.exists() else []


def test_a_sound_build_is_asked_once(tmp_path: Path) -> None:
    child = FakeChild(tmp_path, on="sound", off="sound")
    assert check_build(tmp_path / "cache", command=child.command) == Soundness(True, None)
    assert check_build(tmp_path / "cache", command=child.command) == Soundness(True, None)
    assert child.calls == ["on"]


@pytest.mark.parametrize(
    ("deed", "reason"),
    [
        ("SIGSEGV", "crash (SIGSEGV)"),
        ("SIGILL", "crash (SIGILL)"),
        ("wrong", "wrong numbers (extra buffers: 1)"),
    ],
)
def test_a_build_that_fails_only_with_extra_buffers_does_without(
    tmp_path: Path, deed: str, reason: str
) -> None:
    child = FakeChild(tmp_path, on=deed, off="sound")
    assert check_build(tmp_path / "cache", command=child.command) == Soundness(False, reason)
    assert check_build(tmp_path / "cache", command=child.command) == Soundness(False, reason)
    assert child.calls == ["on", "off"]


@pytest.mark.parametrize("deed", ["SIGKILL", "hang", "mute", "broken"])
def test_what_may_go_better_next_time_is_not_kept(tmp_path: Path, deed: str) -> None:
    child = FakeChild(tmp_path, on=deed, off="sound")
    for _ in range(2):
        verdict = check_build(tmp_path / "cache", command=child.command, timeout_s=1)
        assert not verdict.extra_buffers
    assert child.calls == ["on", "off"] * 2


def test_a_build_that_fails_both_ways_is_refused_and_asked_again(tmp_path: Path) -> None:
    child = FakeChild(tmp_path, on="SIGSEGV", off="wrong")
    for _ in range(2):
        with pytest.raises(EngineError) as caught:
            check_build(tmp_path / "cache", command=child.command)
    message = str(caught.value)
    assert "wrong numbers" in message
    assert "SIGSEGV" in message
    assert "pip install" in message
    assert "\n" not in message
    assert child.calls == ["on", "off"] * 2


def test_a_child_that_cannot_start_is_an_error_with_its_reason(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="cannot be started"):
        check_build(tmp_path, command=[str(tmp_path / "missing")])


@pytest.mark.parametrize("content", ["", "{", "[]", '"x"', "\udcff"])
def test_a_damaged_cache_costs_one_more_look(tmp_path: Path, content: str) -> None:
    child = FakeChild(tmp_path, on="sound", off="sound")
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "soundness.json").write_text(content, errors="surrogateescape")
    for _ in range(2):
        assert check_build(cache, command=child.command).extra_buffers
    assert child.calls == ["on"]
    assert [path.name for path in cache.iterdir()] == ["soundness.json"]


@pytest.mark.parametrize("entry", ["{}", "null", '{"extra_buffers": 1, "reason": null}'])
def test_an_entry_that_makes_no_sense_is_not_believed(tmp_path: Path, entry: str) -> None:
    child = FakeChild(tmp_path, on="SIGSEGV", off="sound")
    check_build(tmp_path, command=child.command)
    cache = tmp_path / "soundness.json"
    start, _, _ = cache.read_text().partition(": {")
    cache.write_text(f"{start}: {entry}}}")
    assert not check_build(tmp_path, command=child.command).extra_buffers
    assert len(child.calls) == 4


def test_a_cache_that_cannot_be_written_does_no_harm(tmp_path: Path) -> None:
    child = FakeChild(tmp_path, on="sound", off="sound")
    (tmp_path / "file").write_text("")
    assert check_build(tmp_path / "file" / "cache", command=child.command).extra_buffers


@pytest.mark.parametrize("identity", ["cpu_id", "build_id"])
def test_another_cpu_or_build_is_asked_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, identity: str
) -> None:
    child = FakeChild(tmp_path, on="sound", off="sound")
    check_build(tmp_path, command=child.command)
    monkeypatch.setattr(soundness, identity, lambda: "another")
    check_build(tmp_path, command=child.command)
    assert child.calls == ["on", "on"]


def test_build_id_follows_the_library_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLAMA_CPP_LIB_PATH", str(tmp_path))
    library = tmp_path / "libggml-cpu.so"
    library.write_bytes(b"one")
    os.utime(library, ns=(0, 0))
    first = build_identity.build_id()
    assert build_identity.build_id() == first
    os.utime(library, ns=(0, 1))
    assert build_identity.build_id() != first
    os.utime(library, ns=(0, 0))
    (tmp_path / "libggml-cuda.so").write_bytes(b"")
    assert build_identity.build_id() != first


def test_cpu_id_follows_the_instruction_sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def identify(text: str) -> str:
        (tmp_path / "cpuinfo").write_text(text)
        monkeypatch.setattr(build_identity, "CPUINFO", tmp_path / "cpuinfo")
        return build_identity.cpu_id()

    base = identify("processor : 0\nmodel name : X\ncpu MHz : 1\nflags : fpu\n\nprocessor : 1\nflags : avx\n")
    assert identify("processor : 3\nmodel name : X\ncpu MHz : 2\nflags : fpu\n") == base
    assert identify("processor : 0\nmodel name : X\ncpu MHz : 1\nflags : fpu amx_tile\n") != base
    monkeypatch.setattr(build_identity, "CPUINFO", tmp_path / "missing")
    assert build_identity.cpu_id() != base


@pytest.mark.parametrize("verdict", [Soundness(True), Soundness(False, "crash (SIGSEGV)")])
def test_one_warning_when_the_extra_buffers_must_stay_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, verdict: Soundness
) -> None:
    monkeypatch.setattr(soundness, "check_build", lambda _: verdict)
    with caplog.at_level(logging.WARNING):
        assert extra_buffers_are_sound(tmp_path) == verdict
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == (0 if verdict.extra_buffers else 1)
    assert all("SIGSEGV" in line and "\n" not in line for line in lines)


def test_the_installed_build_is_sound_and_the_parent_never_loads_it(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from qwen3vl_edge.runtime.soundness import check_build\n"
        "print(check_build(Path(sys.argv[1])).reason, {'llama_cpp', 'numpy'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "None set()"


def test_the_version_is_the_one_that_the_metadata_tell() -> None:
    assert build_identity.installed_version() == importlib.metadata.version("llama-cpp-python")
