"""On which device the language model and the projector run."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

from qwen3vl_edge.errors import UsageError
from qwen3vl_edge.runtime.devices import Device, auto_device, backends_built, list_devices

__all__ = ["ALL_LAYERS", "ON_CPU", "Placement", "Resolved", "place", "resolve"]

ALL_LAYERS = -1
"""Every layer, as ``llama_model_params.n_gpu_layers`` spells it (llama.h, llama.cpp 0c1e57098)."""

_BUILDABLE = ("cuda", "metal", "vulkan")  # what `make setup BACKEND=…` knows besides the CPU
_AUTO, _CPU = "auto", "cpu"


@dataclass(frozen=True, slots=True)
class Placement:
    """What the user wants.

    Args:
        device: ``auto`` (the first GPU, else the CPU), ``cpu``, a device's name, or a backend's, which
            means its first device; capital or small letters.
        gpu_layers: Layers of the language model on a GPU, the last ones; `ALL_LAYERS`; None decides:
            for now all on a GPU, none on the CPU.
        projector_device: As `device`, for the projector; None puts it beside the language model.

    Raises:
        UsageError: A name is empty or a number is out of range.
    """

    device: str = _AUTO
    gpu_layers: int | None = None
    projector_device: str | None = None

    def __post_init__(self) -> None:
        names = [self.device] if self.projector_device is None else [self.device, self.projector_device]
        if not all(map(str.strip, names)):
            raise UsageError("a device without a name is wanted; `qwen3vl-edge devices` lists the names")
        if self.gpu_layers is not None and self.gpu_layers < ALL_LAYERS:
            raise UsageError(f"{self.gpu_layers} layers on a GPU are wanted; give auto, 0 or more, or all")


@dataclass(frozen=True, slots=True)
class Resolved:
    """Where everything goes; a device of None is the CPU.

    llama.cpp is given a list of devices with one device or none. Without one, nothing touches a GPU: no
    weights, no KV cells, no large products of matrices and no pinned memory, for a context has only
    the devices of its model (llama-context.cpp, llama.cpp 0c1e57098).
    """

    device: Device | None = None
    n_gpu_layers: int = 0
    projector_device: Device | None = None

    def devices(self) -> ctypes.Array[ctypes.c_void_p]:
        """Give ``llama_model_params.devices``: an array ended by NULL, to be kept while a model is opened."""
        handles = [] if self.device is None else [self.device.handle]
        return (ctypes.c_void_p * (len(handles) + 1))(*handles, None)


ON_CPU = Resolved()
"""Nothing on a GPU."""


def place(placement: Placement) -> Resolved:
    """Find the devices of the installed llama.cpp that `placement` names; for ``cpu`` none is asked.

    Raises:
        UsageError: A device is not there, its backend is not built in, or layers are wanted on a CPU.
        EngineError: llama.cpp does not load.
    """
    wanted = {_spelled(placement.device), _spelled(placement.projector_device or placement.device)}
    devices = () if wanted == {_CPU} else list_devices()
    return resolve(placement, devices, backends_built())


def resolve(placement: Placement, devices: Sequence[Device], built: Sequence[str]) -> Resolved:
    """Do as `place`, with the `devices` that are there and the backends that are `built` in."""
    device = _find(placement.device, devices, built)
    projector = (
        device if placement.projector_device is None else _find(placement.projector_device, devices, built)
    )
    if device is None and placement.gpu_layers:
        why = "no GPU is found" if _spelled(placement.device) == _AUTO else "the device is the CPU"
        raise UsageError(f"layers are wanted on a GPU, but {why}; `qwen3vl-edge devices` lists the devices")
    automatic = 0 if device is None else ALL_LAYERS
    return Resolved(device, automatic if placement.gpu_layers is None else placement.gpu_layers, projector)


def _find(name: str, devices: Sequence[Device], built: Sequence[str]) -> Device | None:
    """Give the device called `name`; None for the CPU."""
    wanted = _spelled(name)
    if wanted == _AUTO:
        return auto_device(devices)
    if wanted == _CPU:
        return None
    choices = [device for device in devices if device.kind in {"gpu", "igpu"}]
    for device in choices:
        if device.name.lower() == wanted:
            return device
    for device in choices:
        if device.backend == wanted:
            return device
    raise UsageError(_not_there(name, choices, built))


def _not_there(name: str, choices: Sequence[Device], built: Sequence[str]) -> str:
    backend = _spelled(name).rstrip("0123456789")
    if backend in _BUILDABLE and backend not in built:
        return (
            f"{name}: the installed llama.cpp is built without {backend}; `make setup BACKEND={backend}` "
            "builds it"
        )
    names = ", ".join([_AUTO, _CPU, *(device.name for device in choices)])
    if backend in _BUILDABLE and not any(device.backend == backend for device in choices):
        return f"{name}: no {backend} device is found; is its driver installed? There are: {names}"
    return f"there is no device {name}; there are: {names}"


def _spelled(name: str) -> str:
    return name.strip().lower()
