"""Which backend a set-up builds for; nothing is built here."""

import importlib
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parent.parent / "tools"
sys.path.insert(0, str(TOOLS))
backends = importlib.import_module("native_backends")
compilers = importlib.import_module("native_compilers")
setup_native = importlib.import_module("setup_native")
stamps = importlib.import_module("native_stamp")

GCC = compilers.Compiler("/usr/bin/cc", "/usr/bin/c++", "c++ 12.2.0")
PIN = "llama-cpp-python==0.3.36"


class Machines:
    """Stands in for `build_for`: fails for some backends, and notes what was asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, detected: str, failing: set[str]) -> None:
        self.calls: list[tuple[str, str]] = []
        self._failing = failing
        monkeypatch.setattr(compilers, "default_compiler", lambda _: GCC)
        monkeypatch.setattr(backends, "detect", lambda _: detected)
        monkeypatch.setattr(setup_native, "build_for", self._build_for)

    def _build_for(self, name: str, cuda_arch: str, *_: object) -> object:
        self.calls.append((name, cuda_arch))
        if name in self._failing:
            raise setup_native.SetupError(f"no {name}")
        return f"stamp of {name}"


def wish(backend: str = "", cuda_arch: str = "") -> object:
    return setup_native.Wish(backend, cuda_arch, {})


def stamp(backend: str, cuda_arch: str = "") -> object:
    return stamps.Stamp(PIN, "c++", "", {}, "build", "cpu", backend, cuda_arch)


@pytest.mark.parametrize(
    ("wanted", "before", "call"),
    [
        (("", ""), None, ("cuda", "")),
        (("", "90"), None, ("cuda", "90")),
        (("vulkan", ""), None, ("vulkan", "")),
        (("", ""), ("vulkan", ""), ("vulkan", "")),
        (("", ""), ("cuda", "90"), ("cuda", "90")),
        (("cuda", "86"), ("cuda", "90"), ("cuda", "86")),
        (("vulkan", ""), ("cuda", "90"), ("vulkan", "")),
        (("cuda", ""), ("cpu", ""), ("cuda", "")),
    ],
)
def test_the_wish_comes_first_then_what_was_built_then_what_is_detected(
    monkeypatch: pytest.MonkeyPatch,
    wanted: tuple[str, str],
    before: tuple[str, str] | None,
    call: tuple[str, str],
) -> None:
    machines = Machines(monkeypatch, "cuda", set())
    setup_native.set_up({}, wish(*wanted), stamp(*before) if before else None)
    assert machines.calls == [call]


def test_a_detected_gpu_that_cannot_be_built_for_gives_way_to_the_cpu(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    machines = Machines(monkeypatch, "cuda", {"cuda"})
    assert setup_native.set_up({}, wish(), None) == "stamp of cpu"
    assert machines.calls == [("cuda", ""), ("cpu", "")]
    assert "no cuda; going on for the CPU alone" in capsys.readouterr().out


@pytest.mark.parametrize(("wanted", "before"), [("cuda", None), ("", "cuda")])
def test_a_backend_that_was_chosen_does_not_give_way(
    monkeypatch: pytest.MonkeyPatch, wanted: str, before: str | None
) -> None:
    machines = Machines(monkeypatch, "cpu", {"cuda"})
    with pytest.raises(setup_native.SetupError, match="no cuda"):
        setup_native.set_up({}, wish(wanted), stamp(before) if before else None)
    assert machines.calls == [("cuda", "")]


def test_what_is_missing_is_said_before_anything_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "missing", lambda *_: ["glslc (apt install glslc)", "a GPU"])
    monkeypatch.setattr(setup_native, "build_first_sound", lambda *_: pytest.fail("built"))
    with pytest.raises(setup_native.SetupError) as caught:
        setup_native.build_for("vulkan", "", GCC, {"llama-cpp-python": PIN}, {})
    assert str(caught.value) == "BACKEND=vulkan needs glslc (apt install glslc); a GPU"


def test_the_stamp_says_what_was_built(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[object] = []

    def build_first_sound(candidates: list[object], backend: object, *_: object) -> object:
        built.append(backend)
        return candidates[0]

    monkeypatch.setattr(backends, "missing", lambda *_: [])
    monkeypatch.setattr(setup_native, "build_first_sound", build_first_sound)
    user = {"CMAKE_ARGS": "-DX=1"}
    made = setup_native.build_for("cuda", "90", GCC, {"llama-cpp-python": PIN}, user)
    assert (made.backend, made.cuda_arch, made.overrides, made.compiler) == ("cuda", "90", user, GCC.version)
    assert "-DCMAKE_CUDA_ARCHITECTURES=90" in built[0].cmake_args
