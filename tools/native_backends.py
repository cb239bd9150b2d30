"""Which backend llama.cpp is built with: what this machine suggests, what it lacks, and CMake's switches."""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

NAMES = ("cpu", "cuda", "vulkan", "metal")
CUDA_ARCH = re.compile(r"[a-z0-9]+(-[a-z]+)?(;[a-z0-9]+(-[a-z]+)?)*")
NVCC_FOLDERS = ("/usr/local/cuda/bin", "/opt/cuda/bin")  # NVIDIA's own packages; Arch

# What ggml-vulkan includes, and the youngest type that it uses without asking for the headers' version
# (ggml-vulkan-types.h and ggml-vulkan.cpp, llama.cpp 0c1e57098).
VULKAN_HEADERS = "#include <vulkan/vulkan.h>\n"
VULKAN_RECENT = f"{VULKAN_HEADERS}VkLayerSettingEXT recent;\n"
CUBLAS_HEADER = "#include <cublas_v2.h>\n"
SPIRV_HEADERS = "#include <spirv/unified1/spirv.hpp>\n"

INSTALL = {  # what is missing -> by package manager
    "nvcc": {"apt": "nvidia-cuda-toolkit", "dnf": "cuda-toolkit"},
    "glslc": {"apt": "glslc", "dnf": "glslc", "brew": "shaderc"},
    "vulkan": {
        "apt": "libvulkan-dev",
        "dnf": "vulkan-headers vulkan-loader-devel",
        "brew": "vulkan-headers vulkan-loader molten-vk",
    },
    "spirv": {"apt": "spirv-headers", "dnf": "spirv-headers-devel", "brew": "spirv-headers"},
}


@dataclass(frozen=True)
class Backend:
    """A backend to build: `cmake_args` and `environment` go to CMake before the user's; `note` is said."""

    name: str = "cpu"
    cmake_args: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    note: str | None = None


CPU = Backend()


class Machine(Protocol):
    """What the rules below need to know of the machine."""

    system: str
    """As `platform.system` has it: Linux, Darwin, Windows."""
    installer: str
    """apt, dnf or brew."""

    def find(self, program: str, folders: Sequence[str] = ()) -> str | None:
        """Path of a program on PATH or in `folders`."""

    def compiles(self, source: str, include_folders: Sequence[str]) -> bool:
        """Whether the C++ compiler takes `source`."""

    def preprocesses(self, compiler: str, source: str) -> bool:
        """Whether `compiler` finds what `source` includes."""

    def loads(self, library: str) -> bool:
        """Whether the system finds a shared library."""

    def has_nvidia_gpu(self) -> bool:
        """Whether the NVIDIA driver shows a GPU."""

    def succeeds(self, *command: str) -> bool:
        """Whether a command runs and ends well."""


def detect(machine: Machine) -> str:
    """Name the backend for this machine. Vulkan is left to the user's wish: its drivers differ too much."""
    if machine.system == "Darwin":
        return "metal"
    return "cuda" if find_nvcc(machine) and machine.has_nvidia_gpu() else "cpu"


def find_nvcc(machine: Machine) -> str | None:
    """Find CUDA's compiler, also where CMake would not look for it."""
    return machine.find("nvcc", NVCC_FOLDERS)


def missing(name: str, machine: Machine, cuda_arch: str, cmake_args: str) -> list[str]:
    """List what this machine lacks to build a backend, each with its remedy; `cmake_args` are the user's."""
    needs = {"cpu": _cpu_lacks, "metal": _metal_lacks, "vulkan": _vulkan_lacks, "cuda": _cuda_lacks}
    return list(needs[name](machine, cuda_arch, cmake_args))


def backend(name: str, machine: Machine, cuda_arch: str) -> Backend:
    """Give the switches of a backend; llama.cpp builds for the GPU that it finds unless `cuda_arch` says."""
    if name != "cuda":
        return Backend(name, () if name == "cpu" else (f"-DGGML_{name.upper()}=ON",))
    arguments, note = ["-DGGML_CUDA=ON"], None
    if cuda_arch:
        arguments.append(f"-DCMAKE_CUDA_ARCHITECTURES={cuda_arch}")
    if not machine.loads("libcuda.so.1") and machine.system == "Linux":
        # linked against the driver, the library would not even load for the CPU
        arguments.append("-DGGML_CUDA_NO_VMM=ON")
        note = "no NVIDIA driver here: built so that it loads without one (GGML_CUDA_NO_VMM)"
    nvcc = find_nvcc(machine)
    return Backend(name, tuple(arguments), {"CUDACXX": nvcc} if nvcc else {}, note)


def _cpu_lacks(machine: Machine, _cuda_arch: str, _cmake_args: str) -> Iterator[str]:
    if machine.system == "Darwin":
        yield (
            "another system: llama-cpp-python always builds Metal on macOS (take metal, and --device cpu "
            "when you run it)"
        )


def _metal_lacks(machine: Machine, _cuda_arch: str, _cmake_args: str) -> Iterator[str]:
    if machine.system != "Darwin":
        yield "macOS (take cuda or vulkan here)"
    elif not machine.succeeds("xcrun", "--show-sdk-path"):
        yield "Xcode's command-line tools (xcode-select --install)"


def _cuda_lacks(machine: Machine, cuda_arch: str, cmake_args: str) -> Iterator[str]:
    if machine.system == "Darwin":
        yield "another system: CUDA is not made for macOS (take metal)"
        return
    nvcc = find_nvcc(machine)
    toolkit = f"({_remedy('nvcc', machine)}, or https://developer.nvidia.com/cuda-downloads)"
    if nvcc is None:
        yield f"nvcc {toolkit}"
    elif not machine.preprocesses(nvcc, CUBLAS_HEADER):
        yield f"the whole toolkit, not nvcc alone: cuBLAS is missing {toolkit}"
    if not (cuda_arch or "CMAKE_CUDA_ARCHITECTURES" in cmake_args or machine.has_nvidia_gpu()):
        yield "a GPU, or its architecture (CUDA_ARCH=86 for one, CUDA_ARCH=all-major for all)"


def _vulkan_lacks(machine: Machine, _cuda_arch: str, cmake_args: str) -> Iterator[str]:
    folders = vulkan_include_folders(cmake_args)
    if machine.find("glslc") is None:
        yield f"glslc ({_remedy('glslc', machine)})"
    if not machine.compiles(VULKAN_HEADERS, folders):
        yield f"the headers vulkan/ ({_remedy('vulkan', machine)})"
    elif not machine.compiles(VULKAN_RECENT, folders):
        yield (
            "newer headers vulkan/: these do not know VkLayerSettingEXT (those of Debian 13 do: "
            "docs/devices.md says how to lend them to an older system)"
        )
    if not machine.compiles(SPIRV_HEADERS, folders):
        yield f"the headers spirv/ ({_remedy('spirv', machine)})"


def vulkan_include_folders(cmake_args: str) -> list[str]:
    """List the folders that the user's CMAKE_ARGS name for the headers."""
    names = (re.fullmatch(r"-DVulkan_INCLUDE_DIR(?::\w+)?=(.+)", word) for word in shlex.split(cmake_args))
    return [name[1] for name in names if name]


def _remedy(what: str, machine: Machine) -> str:
    packages = INSTALL[what]
    installer = machine.installer if machine.installer in packages else "apt"
    return f"{installer} install {packages[installer]}"
