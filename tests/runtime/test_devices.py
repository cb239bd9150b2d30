"""Devices as ggml tells of them; a GPU is not needed: `Ggml` stands in for one."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from qwen3vl_edge.runtime import devices as devices_module
from qwen3vl_edge.runtime.devices import Device, auto_device, backends_built, list_devices

CPU, GPU, IGPU, ACCEL, META = range(5)  # enum ggml_backend_dev_type
GB = 10**9


class Ggml:
    """What ggml would tell; rows of name, description, backend, type, free and total bytes."""

    def __init__(self, *rows: tuple[str, str, str, int, int, int]) -> None:
        self._rows = rows

    def handles(self) -> Sequence[int]:
        return range(len(self._rows))

    def name(self, handle: int) -> str:
        return self._rows[handle][0]

    def description(self, handle: int) -> str:
        return self._rows[handle][1]

    def backend(self, handle: int) -> str:
        return self._rows[handle][2]

    def kind(self, handle: int) -> int:
        return self._rows[handle][3]

    def memory(self, handle: int) -> tuple[int, int]:
        return self._rows[handle][4:]


RTX = ("CUDA0", "NVIDIA RTX", "CUDA", GPU, 7 * GB, 8 * GB)
IRIS = ("Vulkan0", "Iris", "Vulkan", IGPU, 9 * GB, 10 * GB)
APPLE = ("MTL0", "Apple M4", "MTL", GPU, 9 * GB, 10 * GB)
BLAS = ("BLAS", "OpenBLAS", "BLAS", ACCEL, 0, 0)
BOTH = ("Meta", "two devices", "Meta", META, 0, 0)
EPYC = ("CPU", "EPYC", "CPU", CPU, 16 * GB, 16 * GB)


@pytest.fixture(autouse=True)
def _memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices_module, "available_bytes", lambda: 5 * GB)


def test_every_device_is_listed_in_ggmls_order_with_what_ggml_tells() -> None:
    assert list_devices(Ggml(RTX, IRIS, BLAS, EPYC)) == (
        Device("CUDA0", "NVIDIA RTX", "cuda", "gpu", 7 * GB, 8 * GB),
        Device("Vulkan0", "Iris", "vulkan", "igpu", 9 * GB, 10 * GB),
        Device("BLAS", "OpenBLAS", "blas", "accel", 0, 0),
        Device("CPU", "EPYC", "cpu", "cpu", 5 * GB, 16 * GB),
    )


def test_a_device_keeps_its_handle() -> None:
    assert [device.handle for device in list_devices(Ggml(RTX, IRIS, EPYC))] == [0, 1, 2]


def test_metal_has_the_name_that_people_know_and_what_stands_for_several_is_left_out() -> None:
    assert [(device.name, device.backend) for device in list_devices(Ggml(APPLE, BOTH))] == [
        ("MTL0", "metal")
    ]


def test_the_free_memory_of_the_cpu_is_what_is_available_not_all_there_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert list_devices(Ggml(EPYC))[0].free_bytes == 5 * GB
    monkeypatch.setattr(devices_module, "available_bytes", lambda: None)
    assert list_devices(Ggml(EPYC))[0].free_bytes == 16 * GB


@pytest.mark.parametrize(
    ("rows", "name"),
    [
        ((EPYC,), None),
        ((BLAS, EPYC), None),
        ((IRIS, RTX, EPYC), "CUDA0"),
        ((IRIS, EPYC), "Vulkan0"),
        ((), None),
    ],
)
def test_auto_is_the_first_gpu_and_one_with_memory_of_its_own_if_there_is_one(
    rows: tuple[tuple[str, str, str, int, int, int], ...], name: str | None
) -> None:
    picked = auto_device(list_devices(Ggml(*rows)))
    assert (picked and picked.name) == name


@pytest.mark.parametrize(
    ("files", "names"),
    [
        ("libggml.so libggml-base.so.0 libggml-cpu.so libllama.so libmtmd.so", ("cpu",)),
        (
            "libggml-base.so libggml-cuda.so libggml-cpu.so libggml-vulkan.so.0.25.3",
            ("cpu", "cuda", "vulkan"),
        ),
        ("libggml-metal.dylib libggml-blas.dylib libggml-cpu.dylib", ("blas", "cpu", "metal")),
        ("ggml-base.dll ggml-cpu-haswell.dll ggml-hip.dll llama.dll", ("cpu", "rocm")),
        ("", ()),
    ],
)
def test_the_files_tell_which_backends_are_built_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: str, names: tuple[str, ...]
) -> None:
    monkeypatch.setenv("LLAMA_CPP_LIB_PATH", str(tmp_path))
    for file in files.split():
        (tmp_path / file).touch()
    assert backends_built() == names


def test_the_installed_llama_cpp_lists_this_cpu() -> None:
    cpus = [device for device in list_devices() if device.kind == "cpu"]
    assert [cpu.name for cpu in cpus] == ["CPU"]
    assert 0 < cpus[0].free_bytes <= cpus[0].total_bytes
    assert cpus[0].description
    assert cpus[0].handle
    assert "cpu" in backends_built()
