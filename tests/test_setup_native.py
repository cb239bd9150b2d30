import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parent.parent / "tools"
sys.path.insert(0, str(TOOLS))
stamps = importlib.import_module("native_stamp")
setup_native = importlib.import_module("setup_native")

PIN = "llama-cpp-python==0.3.36"


def test_the_pin_is_the_projects() -> None:
    requirements = setup_native.read_requirements(TOOLS.parent / "pyproject.toml")
    assert requirements["llama-cpp-python"].startswith("llama-cpp-python==")
    assert {"gguf", "numpy"} <= set(requirements)


class World:
    """A virtual environment with a stamp, on a CPU, in which a self-test would say `reason`."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.reason: str | None = None
        self.tests = self.set_ups = 0
        self.cpu = "cpu"
        self.before: object = None
        monkeypatch.setattr(sys, "prefix", str(folder))
        for name in setup_native.OVERRIDES:
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(setup_native, "build_id", lambda: "build")
        monkeypatch.setattr(setup_native, "cpu_id", lambda: self.cpu)
        monkeypatch.setattr(setup_native, "installed_version", lambda: "0.3.36")
        monkeypatch.setattr(setup_native, "read_requirements", lambda _: {"llama-cpp-python": PIN})
        monkeypatch.setattr(setup_native, "test", self._test)
        monkeypatch.setattr(setup_native, "set_up", self._set_up)

    def _test(self) -> str | None:
        self.tests += 1
        return self.reason

    def _set_up(self, _: object, wish: object, before: object) -> object:
        self.set_ups += 1
        self.before = before
        return self.stamp(backend=wish.backend or "cpu", cuda_arch=wish.cuda_arch)

    def stamp(self, **changes: object) -> object:
        facts = {
            "requirement": PIN,
            "compiler": "c++",
            "flags": "",
            "overrides": {},
            "build": "build",
            "cpu": self.cpu,
        }
        return stamps.Stamp(**{**facts, **changes})


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    yield World(tmp_path, monkeypatch)


def test_the_first_call_builds_and_the_second_does_nothing(world: World) -> None:
    assert [setup_native.main(), setup_native.main()] == [0, 0]
    assert (world.set_ups, world.tests) == (1, 0)


@pytest.mark.parametrize("reason", [None, "crash (SIGSEGV)"])
def test_on_another_cpu_it_has_to_pass_again_or_is_built_anew(world: World, reason: str | None) -> None:
    setup_native.main()
    world.cpu, world.reason = "another", reason
    assert [setup_native.main(), setup_native.main()] == [0, 0]
    assert (world.set_ups, world.tests) == (1 if reason is None else 2, 1)


@pytest.mark.parametrize(
    ("changes", "set_ups"),
    [({}, 0), ({"requirement": "llama-cpp-python==0"}, 1), ({"overrides": {"CC": "clang"}}, 0)],
)
def test_a_stamp_counts_for_what_it_says(world: World, changes: dict[str, object], set_ups: int) -> None:
    stamps.write_stamp(world.folder, world.stamp(**changes))
    assert setup_native.main() == 0
    assert world.set_ups == set_ups


def test_asking_for_another_compiler_builds_anew(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    setup_native.main()
    monkeypatch.setenv("CC", "clang")
    setup_native.main()
    assert world.set_ups == 2


@pytest.mark.parametrize("reason", [None, "crash (SIGSEGV)"])
def test_verify_tries_and_builds_nothing(
    world: World, capsys: pytest.CaptureFixture[str], reason: str | None
) -> None:
    world.reason = reason
    assert setup_native.main(["--verify"]) == (0 if reason is None else 1)
    assert (world.set_ups, world.tests) == (0, 1)
    assert (reason or "passed") in capsys.readouterr().out


@pytest.mark.parametrize("content", ["", "[]", "{}", json.dumps({"requirement": PIN}), "null"])
def test_a_damaged_stamp_is_no_stamp(tmp_path: Path, content: str) -> None:
    (tmp_path / stamps.FILE_NAME).write_text(content)
    assert stamps.read_stamp(tmp_path) is None


def test_another_backend_is_built_and_then_stays(world: World) -> None:
    setup_native.main()
    setup_native.main(["--backend=cuda", "--cuda-arch=86,89"])
    assert world.set_ups == 2
    for arguments in ([], ["--backend="], ["--backend=cuda"], ["--cuda-arch=86;89"], ["--backend", "cuda"]):
        setup_native.main(arguments)
    assert (world.set_ups, world.tests) == (2, 0)
    setup_native.main(["--cuda-arch=90"])
    setup_native.main(["--backend=vulkan"])
    assert world.set_ups == 4
    assert world.before.cuda_arch == "90"


def test_stamps_from_before_there_was_a_choice_are_good(world: World) -> None:
    stamps.write_stamp(world.folder, world.stamp())
    path = world.folder / stamps.FILE_NAME
    stored = json.loads(path.read_text())
    del stored["backend"], stored["cuda_arch"]
    path.write_text(json.dumps(stored))
    assert [setup_native.main(), setup_native.main(["--backend=cpu"])] == [0, 0]
    assert world.set_ups == 0


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("--backend=opencl", "BACKEND=opencl is unknown; there are: cpu, cuda, vulkan, metal"),
        ("--cuda-arch=8 6", "CUDA_ARCH=8 6 is unknown"),
        ("--cuda-arch=86 -DX=1", "is unknown"),
        ("--cuda-arch=;", "is unknown"),
    ],
)
def test_what_nobody_can_build_is_refused(
    world: World, capsys: pytest.CaptureFixture[str], argument: str, said: str
) -> None:
    assert setup_native.main([argument]) == 1
    assert said in capsys.readouterr().out
    assert world.set_ups == 0


def test_looking_at_the_stamp_loads_neither_numpy_nor_llama_cpp() -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(TOOLS)!r}); import setup_native\n"
        "setup_native.build_id(); print({'numpy', 'llama_cpp', 'gguf'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
