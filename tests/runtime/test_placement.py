"""What users want, turned into what llama.cpp is told; made-up devices, then the CPU of this machine."""

import numpy as np
import pytest

from qwen3vl_edge.bundle import Bundle
from qwen3vl_edge.errors import UsageError
from qwen3vl_edge.images import Pixels
from qwen3vl_edge.runtime import placement as placement_module
from qwen3vl_edge.runtime.devices import Device
from qwen3vl_edge.runtime.model import TextModel
from qwen3vl_edge.runtime.placement import ALL_LAYERS, ON_CPU, Placement, Resolved, place, resolve
from qwen3vl_edge.runtime.projector import Embeddings, Projector
from tests.prompts import synthetic_pixels

CUDA0 = Device("CUDA0", "RTX", "cuda", "gpu", 1, 2, handle=100)
CUDA1 = Device("CUDA1", "RTX", "cuda", "gpu", 1, 2, handle=101)
VULKAN0 = Device("Vulkan0", "Iris", "vulkan", "igpu", 1, 2, handle=200)
METAL = Device("MTL0", "M4", "metal", "gpu", 1, 2, handle=300)
BLAS = Device("BLAS", "OpenBLAS", "blas", "accel", 0, 0, handle=400)
CPU = Device("CPU", "EPYC", "cpu", "cpu", 1, 2, handle=500)
EVERYTHING = (VULKAN0, CUDA0, CUDA1, METAL, BLAS, CPU)
BUILT = ("blas", "cpu", "cuda", "metal", "vulkan")


@pytest.mark.parametrize(
    ("name", "device"),
    [
        ("auto", CUDA0),
        ("AUTO", CUDA0),
        ("cpu", None),
        ("CPU", None),
        ("cuda", CUDA0),
        ("cuda0", CUDA0),
        ("CUDA1", CUDA1),
        (" cuda1 ", CUDA1),
        ("vulkan", VULKAN0),
        ("Vulkan0", VULKAN0),
        ("metal", METAL),
        ("mtl0", METAL),
    ],
)
def test_names_of_devices_and_backends(name: str, device: Device | None) -> None:
    layers = 0 if device is None else ALL_LAYERS
    assert resolve(Placement(name), EVERYTHING, BUILT) == Resolved(device, layers, device)


def test_auto_without_a_gpu_is_the_cpu() -> None:
    assert resolve(Placement(), (BLAS, CPU), ("blas", "cpu")) == ON_CPU


@pytest.mark.parametrize(
    ("wanted", "resolved"),
    [
        (Placement("cuda0", 0), Resolved(CUDA0, 0, CUDA0)),
        (Placement("cuda0", 12), Resolved(CUDA0, 12, CUDA0)),
        (Placement("cuda0", ALL_LAYERS), Resolved(CUDA0, ALL_LAYERS, CUDA0)),
        (Placement("cuda0", None, "cpu"), Resolved(CUDA0, ALL_LAYERS, None)),
        (Placement("cuda0", None, "vulkan"), Resolved(CUDA0, ALL_LAYERS, VULKAN0)),
        (Placement("cpu", None, "auto"), Resolved(None, 0, CUDA0)),
        (Placement("cpu", 0, "cuda1"), Resolved(None, 0, CUDA1)),
    ],
)
def test_layers_and_the_projector_have_a_will_of_their_own(wanted: Placement, resolved: Resolved) -> None:
    assert resolve(wanted, EVERYTHING, BUILT) == resolved


@pytest.mark.parametrize("device", ["CUDA2", "cuda7", "cuda-0"])
def test_a_device_that_is_not_there_is_told_with_those_that_are(device: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve(Placement(device), (CUDA0, VULKAN0, BLAS, CPU), ("cpu", "cuda", "vulkan"))
    assert str(caught.value) == f"there is no device {device}; there are: auto, cpu, CUDA0, Vulkan0"


@pytest.mark.parametrize("name", ["cuda", "CUDA0"])
def test_a_backend_without_a_device_may_want_its_driver(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve(Placement(name), (VULKAN0, BLAS, CPU), ("cpu", "cuda", "vulkan"))
    assert str(caught.value) == (
        f"{name}: no cuda device is found; is its driver installed? There are: auto, cpu, Vulkan0"
    )


@pytest.mark.parametrize("name", ["cuda", "CUDA0", "vulkan", "Vulkan1", "metal"])
def test_a_backend_that_is_not_built_in_is_told_with_the_command_that_builds_it(name: str) -> None:
    command = f"make setup BACKEND={name.lower().rstrip('01')}"
    for wanted in (Placement(name), Placement("cpu", None, name)):
        with pytest.raises(UsageError, match=command):
            resolve(wanted, (CPU,), ("cpu",))


@pytest.mark.parametrize("name", ["blas", "gpu", "cpu0", "rocm"])
def test_what_cannot_be_chosen_is_no_device(name: str) -> None:
    with pytest.raises(UsageError, match="there are: auto, cpu, Vulkan0"):
        resolve(Placement(name), (VULKAN0, BLAS, CPU), BUILT)


@pytest.mark.parametrize("layers", [1, 99, ALL_LAYERS])
def test_layers_on_a_gpu_need_one(layers: int) -> None:
    with pytest.raises(UsageError, match="no GPU is found"):
        resolve(Placement("auto", layers), (CPU,), ("cpu",))
    with pytest.raises(UsageError, match="the device is the CPU"):
        resolve(Placement("cpu", layers), EVERYTHING, BUILT)


@pytest.mark.parametrize(
    "arguments", [("",), ("  ",), ("cpu", None, ""), ("auto", -2), ("auto", -100, "cpu")]
)
def test_nonsense_is_refused_at_once(arguments: tuple[str, int | None, str]) -> None:
    with pytest.raises(UsageError):
        Placement(*arguments)


def test_llama_cpp_is_given_one_device_or_none() -> None:
    assert list(Resolved(CUDA1, 3, None).devices()) == [101, None]
    assert list(ON_CPU.devices()) == [None]


def test_for_the_cpu_no_device_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement_module, "list_devices", lambda: pytest.fail("a driver was asked"))
    assert place(Placement("CPU")) == place(Placement("cpu", 0, "cpu")) == ON_CPU


def test_every_device_is_asked_for_what_is_not_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement_module, "list_devices", lambda: EVERYTHING)
    monkeypatch.setattr(placement_module, "backends_built", lambda: BUILT)
    assert place(Placement("cpu", None, "vulkan0")) == Resolved(None, 0, VULKAN0)
    assert place(Placement()) == Resolved(CUDA0, ALL_LAYERS, CUDA0)


def test_model_and_projector_open_on_the_installed_cpu(tiny_bundle: Bundle) -> None:
    """Both ways of saying "the CPU" read the same weights; what the encoder gives is finite."""
    pixels = synthetic_pixels(1, 64, 96)
    first = _embeddings(tiny_bundle, ON_CPU, pixels)
    assert np.isfinite(first).all()
    np.testing.assert_array_equal(first, _embeddings(tiny_bundle, place(Placement("cpu")), pixels))


def _embeddings(bundle: Bundle, where: Resolved, pixels: Pixels) -> Embeddings:
    model = TextModel(bundle.model, placement=where)
    try:
        projector = Projector(bundle.projector, model, n_threads=1, placement=where)
        try:
            with projector.cut([pixels]) as chunk:
                return projector.encode(chunk)
        finally:
            projector.close()
    finally:
        model.close()
