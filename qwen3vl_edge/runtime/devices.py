"""The devices on which this build of llama.cpp can compute."""

import ctypes
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Literal, Protocol

from qwen3vl_edge.errors import EngineError
from qwen3vl_edge.paths import native_library, native_library_dir
from qwen3vl_edge.runtime.memory import available_bytes
from qwen3vl_edge.runtime.native import library

__all__ = ["Backends", "Device", "Kind", "auto_device", "backends_built", "list_devices"]

Kind = Literal["cpu", "gpu", "igpu", "accel"]
"""``igpu`` shares the computer's memory; ``accel`` helps the CPU along and cannot be chosen."""

# enum ggml_backend_dev_type in ggml-backend.h, llama.cpp 0c1e57098; META (4) stands for several devices
_KINDS: dict[int, Kind] = {0: "cpu", 1: "gpu", 2: "igpu", 3: "accel"}
_SPOKEN = {"mtl": "metal", "hip": "rocm"}  # ggml's name -> the one that people know
_BACKEND_FILE = re.compile(r"(?:lib)?ggml-([a-z]+)")
_NOT_A_BACKEND = "base"


@dataclass(frozen=True, slots=True)
class Device:
    """A device that is there.

    ``name`` is llama.cpp's (CPU, CUDA0, Vulkan0), ``description`` the driver's; ``backend`` is in small
    letters (cpu, cuda, metal, vulkan). ``handle`` is ggml's pointer, good for as long as the process lives.
    """

    name: str
    description: str
    backend: str
    kind: Kind
    free_bytes: int
    total_bytes: int
    handle: int = field(default=0, repr=False, compare=False)


class Backends(Protocol):
    """What ggml tells of its devices; a handle is a pointer."""

    def handles(self) -> Sequence[int]:
        """Every device, in the order in which ggml prefers them."""

    def name(self, handle: int) -> str:
        """Name of the device."""

    def description(self, handle: int) -> str:
        """What its driver calls it."""

    def backend(self, handle: int) -> str:
        """Name of its backend, as ggml spells it."""

    def kind(self, handle: int) -> int:
        """A value of ``enum ggml_backend_dev_type``."""

    def memory(self, handle: int) -> tuple[int, int]:
        """Free and total memory in bytes."""


def list_devices(backends: Backends | None = None) -> tuple[Device, ...]:
    """List the devices, in the order in which ggml prefers them.

    A driver that is asked for its free memory may set aside some of it for this process.

    Args:
        backends: Whom to ask; None asks the installed llama.cpp.

    Raises:
        EngineError: llama.cpp does not load.
    """
    asked = _ggml() if backends is None else backends
    known = [handle for handle in asked.handles() if asked.kind(handle) in _KINDS]
    return tuple(_device(asked, handle) for handle in known)


def auto_device(devices: Sequence[Device]) -> Device | None:
    """Give the device that ``auto`` stands for: the first GPU with memory of its own, else the first GPU."""
    kinds: tuple[Kind, ...] = ("gpu", "igpu")
    return next((device for kind in kinds for device in devices if device.kind == kind), None)


def backends_built() -> tuple[str, ...]:
    """Name the backends of the installed llama.cpp by its files, without loading them; sorted.

    ggml itself passes over a backend whose driver is not there.

    Raises:
        EngineError: llama-cpp-python is not installed.
    """
    found = {match[1] for file in native_library_dir().glob("*") if (match := _BACKEND_FILE.match(file.name))}
    return tuple(sorted(_SPOKEN.get(name, name) for name in found - {_NOT_A_BACKEND}))


def _device(asked: Backends, handle: int) -> Device:
    free, total = asked.memory(handle)
    kind, backend = _KINDS[asked.kind(handle)], asked.backend(handle).lower()
    if kind == "cpu":  # ggml calls all of the machine's memory free
        available = available_bytes()
        free = free if available is None else min(free, available)
    name, description = asked.name(handle), asked.description(handle)
    return Device(name, description, _SPOKEN.get(backend, backend), kind, free, total, handle)


class _Ggml:
    """`Backends` of the libraries that libllama has loaded; their functions are those of ggml-backend.h."""

    def __init__(self, registry: ctypes.CDLL, base: ctypes.CDLL) -> None:
        self._registry, self._base = registry, base
        registry.ggml_backend_dev_count.restype = ctypes.c_size_t
        for function in (registry.ggml_backend_dev_get, base.ggml_backend_dev_backend_reg):
            function.restype = ctypes.c_void_p
        for function in (base.ggml_backend_dev_name, base.ggml_backend_dev_description):
            function.restype = ctypes.c_char_p
        base.ggml_backend_reg_name.restype = ctypes.c_char_p

    def handles(self) -> Sequence[int]:
        count = self._registry.ggml_backend_dev_count()
        return [self._registry.ggml_backend_dev_get(ctypes.c_size_t(index)) for index in range(count)]

    def name(self, handle: int) -> str:
        return _text(self._base.ggml_backend_dev_name(ctypes.c_void_p(handle)))

    def description(self, handle: int) -> str:
        return _text(self._base.ggml_backend_dev_description(ctypes.c_void_p(handle)))

    def backend(self, handle: int) -> str:
        owner = self._base.ggml_backend_dev_backend_reg(ctypes.c_void_p(handle))
        return _text(self._base.ggml_backend_reg_name(ctypes.c_void_p(owner)))

    def kind(self, handle: int) -> int:
        return int(self._base.ggml_backend_dev_type(ctypes.c_void_p(handle)))

    def memory(self, handle: int) -> tuple[int, int]:
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        self._base.ggml_backend_dev_memory(ctypes.c_void_p(handle), ctypes.byref(free), ctypes.byref(total))
        return free.value, total.value


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


@cache
def _ggml() -> Backends:
    library()  # loads the same files; their log goes where it belongs
    try:
        return _Ggml(ctypes.CDLL(str(native_library("ggml"))), ctypes.CDLL(str(native_library("ggml-base"))))
    except (OSError, AttributeError) as error:
        raise EngineError(f"llama.cpp's devices cannot be listed ({error}); run `make setup`") from error
