"""What each backend needs on a machine, and what CMake is told; machines are made up."""

import importlib
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parent.parent / "tools"
sys.path.insert(0, str(TOOLS))
backends = importlib.import_module("native_backends")
native_machine = importlib.import_module("native_machine")

EVERYTHING = frozenset(
    {"nvcc", "glslc", "vulkan.h", "VkLayerSettingEXT", "spirv.hpp", "xcrun", "libcuda.so.1", "cublas_v2.h"}
)


@dataclass
class Made:
    """A machine that has `has`; the headers lie in `include`, for the compiler's own folders None."""

    has: frozenset[str] = EVERYTHING
    system: str = "Linux"
    installer: str = "apt"
    has_gpu: bool = True
    include: str | None = None
    looked_in: list[str] = field(default_factory=list)

    def find(self, program: str, folders: Sequence[str] = ()) -> str | None:
        self.looked_in += folders
        return f"/bin/{program}" if program in self.has else None

    def compiles(self, source: str, include_folders: Sequence[str]) -> bool:
        if self.include is not None and self.include not in include_folders:
            return False
        needed = re.findall(r"[\w.]+\.h(?:pp)?\b|VkLayerSettingEXT", source)
        return set(needed) <= self.has

    def preprocesses(self, compiler: str, source: str) -> bool:
        return compiler == "/bin/nvcc" and self.compiles(source, [])

    def loads(self, library: str) -> bool:
        return library in self.has

    def has_nvidia_gpu(self) -> bool:
        return self.has_gpu

    def succeeds(self, *command: str) -> bool:
        return command[0] in self.has


def without(*names: str) -> frozenset[str]:
    return EVERYTHING - set(names)


@pytest.mark.parametrize(
    ("machine", "name"),
    [
        (Made(), "cuda"),
        (Made(has_gpu=False), "cpu"),
        (Made(without("nvcc")), "cpu"),
        (Made(system="Darwin"), "metal"),
        (Made(without("nvcc"), has_gpu=False), "cpu"),
    ],
)
def test_the_backend_that_fits_a_machine(machine: Made, name: str) -> None:
    assert backends.detect(machine) == name


@pytest.mark.parametrize("name", ["cpu", "cuda", "vulkan"])
def test_a_machine_that_has_everything_lacks_nothing(name: str) -> None:
    assert backends.missing(name, Made(), "", "") == []
    assert backends.missing("metal", Made(system="Darwin"), "", "") == []


@pytest.mark.parametrize(
    ("name", "machine", "lacks"),
    [
        ("vulkan", Made(without("glslc")), ["glslc (apt install glslc)"]),
        ("vulkan", Made(without("glslc"), installer="dnf"), ["glslc (dnf install glslc)"]),
        (
            "vulkan",
            Made(without("glslc"), system="Darwin", installer="brew"),
            ["glslc (brew install shaderc)"],
        ),
        ("vulkan", Made(without("vulkan.h")), ["the headers vulkan/ (apt install libvulkan-dev)"]),
        (
            "vulkan",
            Made(without("vulkan.h", "spirv.hpp"), installer="dnf"),
            [
                "the headers vulkan/ (dnf install vulkan-headers vulkan-loader-devel)",
                "the headers spirv/ (dnf install spirv-headers-devel)",
            ],
        ),
        (
            "cuda",
            Made(without("nvcc")),
            ["nvcc (apt install nvidia-cuda-toolkit, or https://developer.nvidia.com"],
        ),
        ("cuda", Made(without("cublas_v2.h")), ["the whole toolkit, not nvcc alone: cuBLAS is missing (apt"]),
        ("cuda", Made(has_gpu=False), ["a GPU, or its architecture (CUDA_ARCH=86"]),
        ("cuda", Made(system="Darwin"), ["another system: CUDA is not made for macOS"]),
        ("metal", Made(), ["macOS"]),
        (
            "metal",
            Made(without("xcrun"), system="Darwin"),
            ["Xcode's command-line tools (xcode-s"],
        ),
        ("cpu", Made(system="Darwin"), ["another system: llama-cpp-python always builds Metal on macOS"]),
    ],
)
def test_what_is_missing_comes_with_its_remedy(name: str, machine: Made, lacks: list[str]) -> None:
    found = backends.missing(name, machine, "", "")
    assert len(found) == len(lacks)
    assert all(line.startswith(start) for line, start in zip(found, lacks, strict=True))
    assert all("\n" not in line for line in found)


def test_headers_that_are_too_old_are_told_from_none() -> None:
    (line,) = backends.missing("vulkan", Made(without("VkLayerSettingEXT")), "", "")
    assert line.startswith("newer headers vulkan/")
    assert "docs/devices.md" in line


@pytest.mark.parametrize(
    ("cmake_args", "found"),
    [
        ("", False),
        ("-DVulkan_INCLUDE_DIR=/opt/new/include", True),
        ("-DX=1 -DVulkan_INCLUDE_DIR:PATH=/opt/new/include -DY=2", True),
        ("'-DVulkan_INCLUDE_DIR=/opt/new/include'", True),
        ("-DVulkan_INCLUDE_DIR=/opt/old/include", False),
    ],
)
def test_headers_are_looked_for_where_the_user_says(cmake_args: str, found: bool) -> None:
    machine = Made(include="/opt/new/include")
    assert (backends.missing("vulkan", machine, "", cmake_args) == []) is found


@pytest.mark.parametrize(("arch", "args"), [("86", ""), ("", "-DCMAKE_CUDA_ARCHITECTURES=86")])
def test_cuda_can_be_built_for_a_gpu_that_is_elsewhere(arch: str, args: str) -> None:
    assert backends.missing("cuda", Made(has_gpu=False), arch, args) == []


def test_switches_of_each_backend() -> None:
    assert backends.backend("cpu", Made(), "") == backends.CPU
    assert backends.backend("vulkan", Made(), "").cmake_args == ("-DGGML_VULKAN=ON",)
    assert backends.backend("metal", Made(system="Darwin"), "").cmake_args == ("-DGGML_METAL=ON",)
    cuda = backends.backend("cuda", Made(), "")
    assert (cuda.cmake_args, cuda.note) == (("-DGGML_CUDA=ON",), None)
    assert backends.backend("cuda", Made(), "86;89").cmake_args[1:] == ("-DCMAKE_CUDA_ARCHITECTURES=86;89",)


def test_cmake_is_told_where_nvcc_is_which_may_not_be_on_path() -> None:
    machine = Made()
    assert backends.backend("cuda", machine, "").environment == {"CUDACXX": "/bin/nvcc"}
    assert "/usr/local/cuda/bin" in machine.looked_in


def test_without_the_driver_the_library_must_still_load() -> None:
    cuda = backends.backend("cuda", Made(without("libcuda.so.1")), "90")
    assert "-DGGML_CUDA_NO_VMM=ON" in cuda.cmake_args
    assert "driver" in cuda.note


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        *((good, True) for good in ("86", "86;89", "90a-real", "all-major", "native")),
        *((bad, False) for bad in ("", "86 -DX=1", "86;", "$(id)", "-86")),
    ],
)
def test_what_counts_as_an_architecture(text: str, is_one: bool) -> None:
    assert bool(backends.CUDA_ARCH.fullmatch(text)) is is_one


@pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler")
def test_this_machine_compiles_headers_where_it_is_told_to_look(tmp_path: Path) -> None:
    machine = native_machine.ThisMachine("c++")
    (tmp_path / "own_header.h").write_text("#pragma once\n")
    assert machine.compiles("#include <cstdint>\n", [])
    assert not machine.compiles("#include <own_header.h>\n", [])
    assert machine.compiles("#include <own_header.h>\n", [str(tmp_path)])
    assert machine.preprocesses("c++", "#include <cstdint>\n")
    assert not machine.preprocesses("c++", "#include <own_header.h>\n")
    assert not machine.preprocesses("unheard-of", "#include <cstdint>\n")


def test_this_machine_finds_programs_and_libraries(tmp_path: Path) -> None:
    machine = native_machine.ThisMachine("c++")
    program = tmp_path / "unheard-of"
    program.write_text("#!/bin/sh\nexit 3\n")
    program.chmod(0o755)
    assert machine.find("unheard-of") is None
    assert machine.find("unheard-of", [str(tmp_path)]) == str(program)
    assert not machine.succeeds(str(program))
    assert not machine.succeeds("unheard-of")
    assert machine.succeeds(sys.executable, "-c", "")
    assert not machine.loads("libunheard-of.so.1")


@pytest.mark.parametrize(
    ("os_release", "installer"),
    [
        ("ID=debian\n", "apt"),
        ("ID=ubuntu\nID_LIKE=debian\n", "apt"),
        ("ID=fedora\n", "dnf"),
        ('NAME="Rocky"\nID="rocky"\nID_LIKE="rhel centos fedora"\n', "dnf"),
        ('NAME="No fedora"\nID=arch\n', "apt"),
    ],
)
def test_the_distribution_tells_how_packages_are_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, os_release: str, installer: str
) -> None:
    monkeypatch.setattr(native_machine.platform, "system", lambda: "Linux")
    path = tmp_path / "os-release"
    path.write_text(os_release)
    assert native_machine.ThisMachine("c++", path).installer == installer
    assert native_machine.ThisMachine("c++", tmp_path / "missing").installer == "apt"
