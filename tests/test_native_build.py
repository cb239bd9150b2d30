"""Builds that fail, builds that pass, and what is said of them; nothing is built here."""

import importlib
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parent.parent / "tools"
sys.path.insert(0, str(TOOLS))
backends = importlib.import_module("native_backends")
compilers = importlib.import_module("native_compilers")
native_build = importlib.import_module("native_build")
native_pip = importlib.import_module("native_pip")
native_trial = importlib.import_module("native_trial")

GCC = compilers.Compiler("/usr/bin/cc", "/usr/bin/c++", "c++ 12.2.0")
CLANG = compilers.Compiler("/usr/bin/clang-16", "/usr/bin/clang++-16", "clang 16")
NO_AMX = ("-mno-amx-tile", "-mno-amx-int8", "-mno-amx-bf16")
PIN = "llama-cpp-python==0.3.36"


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(native_build, "LOG", tmp_path / "build" / "log")
    return tmp_path / "build" / "log"


@pytest.mark.usefixtures("log")
def test_a_build_that_fails_its_test_gives_way_to_the_next(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reasons = {CLANG: "crash (SIGSEGV)", GCC: None}
    tried = [compilers.Candidate(CLANG, (), "first"), compilers.Candidate(GCC, NO_AMX, "second")]
    monkeypatch.setattr(native_build, "try_candidate", lambda candidate, *_: reasons[candidate.compiler])
    assert native_build.build_first_sound(tried, backends.CPU, PIN, {}) is tried[1]
    assert "SIGSEGV" in capsys.readouterr().out
    reasons[GCC] = "wrong numbers"
    with pytest.raises(native_build.SetupError, match=r"for cpu .*SIGSEGV.*wrong numbers"):
        native_build.build_first_sound(tried, backends.CPU, PIN, {})


def test_a_failed_build_shows_the_end_of_its_log(
    log: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(requirement: str, candidate: object, backend: object, log: Path) -> bool:
        log.parent.mkdir()
        log.write_text("".join(f"line {n}\n" for n in range(100)) + f"error: {requirement}\n")
        return False

    monkeypatch.setattr(native_pip, "build", fail)
    reason = native_build.try_candidate(compilers.Candidate(GCC, (), "why"), backends.CPU, PIN, {})
    said = capsys.readouterr().out
    assert reason == "the build failed"
    assert f"error: {PIN}" in said
    assert "line 3\n" not in said


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (("Vulkan0 (llvmpipe)", None), "devices of vulkan: Vulkan0 (llvmpipe)"),
        (("", None), "devices of vulkan: none on this machine now"),
    ],
)
def test_the_devices_of_a_gpus_backend_are_told_and_none_is_no_failure(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    found: tuple[str, str | None],
    said: str,
) -> None:
    monkeypatch.setattr(native_build, "devices_of", lambda _: found)
    assert native_build.look_for_devices("vulkan") is None
    assert said in capsys.readouterr().out


@pytest.mark.parametrize("name", ["cpu", "vulkan"])
def test_a_library_without_its_backend_does_not_do(
    log: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(native_pip, "build", lambda *_: True)
    monkeypatch.setattr(native_pip, "install", lambda *_: True)
    monkeypatch.setattr(native_build, "test", lambda: None)
    monkeypatch.setattr(native_build, "devices_of", lambda _: ("", "the library holds no vulkan backend"))
    candidate = compilers.Candidate(GCC, (), "why")
    reason = native_build.try_candidate(candidate, backends.Backend(name), PIN, {})
    assert reason == (None if name == "cpu" else "the library holds no vulkan backend")


def test_the_installed_library_is_asked_in_a_child() -> None:
    found, reason = native_trial.devices_of("cpu")
    assert found.startswith("CPU (")
    assert reason is None
    found, reason = native_trial.devices_of("abacus")
    assert (found, reason) == ("", "the library holds no abacus backend; does CMAKE_ARGS switch it off?")
