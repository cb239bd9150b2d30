"""Nodes of a compute graph where ggml has them: what they compute, from what, and the numbers.

``struct ggml_tensor`` of ggml/include/ggml.h, llama.cpp 0c1e57098; ggml's own accessors, asked once, tell
whether it is laid out so in the library that is loaded.
"""

import ctypes
from functools import cache
from itertools import count

import numpy as np
from numpy.typing import NDArray

from qwen3vl_edge.errors import EngineError
from qwen3vl_edge.paths import native_library

__all__ = ["GraphNode", "Operations", "operations"]

_MAX_DIMS, _MAX_OP_PARAMS, _MAX_SRC, _MAX_NAME = 4, 64, 10, 64
_F32 = 0  # enum ggml_type


class _Tensor(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("buffer", ctypes.c_void_p),
        ("ne", ctypes.c_int64 * _MAX_DIMS),
        ("nb", ctypes.c_size_t * _MAX_DIMS),
        ("op", ctypes.c_int),
        ("op_params", ctypes.c_int32 * (_MAX_OP_PARAMS // 4)),
        ("flags", ctypes.c_int32),
        ("src", ctypes.c_void_p * _MAX_SRC),
        ("view_src", ctypes.c_void_p),
        ("view_offs", ctypes.c_size_t),
        ("data", ctypes.c_void_p),
        ("name", ctypes.c_char * _MAX_NAME),
        ("extra", ctypes.c_void_p),
        ("padding", ctypes.c_char * 8),
    )


class Operations:
    """The numbers, in ``enum ggml_op``, of the operations that multiply with weights.

    ``mul_mat_id`` chooses a matrix, an expert, for each row.
    """

    def __init__(self) -> None:
        name_of = _ggml().ggml_op_name
        numbers: dict[bytes, int] = {}
        for number in count():  # MUL_MAT_ID is there: `_ggml` is the version that has it, or has no such call
            numbers[name_of(number)] = number
            if b"MUL_MAT_ID" in numbers or number == _MAX_OPERATIONS:
                break
        try:
            self.mul_mat, self.mul_mat_id = numbers[b"MUL_MAT"], numbers[b"MUL_MAT_ID"]
        except KeyError as error:
            raise EngineError(
                f"llama.cpp knows no operation {error}; run `make setup` for the version that is tested"
            ) from None


_MAX_OPERATIONS = 60  # there are more; asking beyond the last would read beyond a table


@cache
def operations() -> Operations:
    """Ask ggml for the numbers, once."""
    return Operations()


class GraphNode:
    """One tensor of a graph, read at `address`; good while the callback that was given it runs.

    ``shape`` is row-major, (n3, n2, n1, n0), and so are ``strides``, in bytes.
    """

    def __init__(self, address: int) -> None:
        self._address = address
        self._tensor = _Tensor.from_address(address)

    @property
    def operation(self) -> int:
        """A value of ``enum ggml_op``."""
        return int(self._tensor.op)

    @property
    def name(self) -> str:
        """The name, without what the scheduler puts around that of a copied weight: CUDA0#…#0."""
        name: bytes = self._tensor.name
        parts = name.split(b"#")
        return (parts[1] if len(parts) > 1 else name).decode("utf-8", "replace")

    @property
    def is_f32(self) -> bool:
        """Whether the values are float32."""
        return int(self._tensor.type) == _F32

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Row-major."""
        n0, n1, n2, n3 = self._tensor.ne
        return n3, n2, n1, n0

    def source(self, index: int) -> "GraphNode":
        """Give an operand."""
        address: int | None = self._tensor.src[index]
        if address is None:
            raise EngineError(f"{self.name} has no operand {index}; is this another version of llama.cpp?")
        return GraphNode(address)

    def floats(self, *, in_place: bool = True) -> NDArray[np.float32]:
        """Give the values, of shape `shape`: where they lie, or a copy if that is a GPU's memory.

        Args:
            in_place: False always copies, as on a GPU.
        """
        data = self._bytes(in_place=in_place)
        return np.ndarray(self.shape, np.float32, data.data, strides=self._strides)

    def integers(self) -> NDArray[np.int32]:
        """Give a copy of the values of an I32 tensor, of shape `shape`."""
        return np.ndarray(self.shape, np.int32, self._bytes(in_place=False).data, strides=self._strides)

    @property
    def _strides(self) -> tuple[int, ...]:
        return tuple(self._tensor.nb)[::-1]

    def _bytes(self, *, in_place: bool) -> NDArray[np.uint8]:
        ggml = _ggml()
        n_bytes: int = ggml.ggml_nbytes(self._address)
        if in_place and self._tensor.data and ggml.ggml_backend_buffer_is_host(self._buffer):
            pointer = ctypes.cast(self._tensor.data, ctypes.POINTER(ctypes.c_uint8))
            return np.ctypeslib.as_array(pointer, (n_bytes,))
        copy = np.empty(n_bytes, np.uint8)
        ggml.ggml_backend_tensor_get(self._address, copy.ctypes.data, 0, n_bytes)
        return copy

    @property
    def _buffer(self) -> int:
        viewed: int | None = self._tensor.view_src
        buffer: int | None = _Tensor.from_address(viewed).buffer if viewed else self._tensor.buffer
        if buffer is None:
            raise EngineError(f"{self.name} lies nowhere; is this another version of llama.cpp?")
        return buffer


@cache
def _ggml() -> ctypes.CDLL:
    ggml = ctypes.CDLL(str(native_library("ggml-base")))
    pointer, size = ctypes.c_void_p, ctypes.c_size_t
    ggml.ggml_op_name.argtypes, ggml.ggml_op_name.restype = [ctypes.c_int], ctypes.c_char_p
    ggml.ggml_nbytes.argtypes, ggml.ggml_nbytes.restype = [pointer], size
    ggml.ggml_backend_buffer_is_host.argtypes = [pointer]
    ggml.ggml_backend_buffer_is_host.restype = ctypes.c_bool
    ggml.ggml_backend_tensor_get.argtypes = [pointer, pointer, size, size]
    ggml.ggml_backend_tensor_get.restype = None
    ggml.ggml_tensor_overhead.argtypes, ggml.ggml_tensor_overhead.restype = [], size
    _check_layout(ggml)
    return ggml


class _InitParams(ctypes.Structure):
    _fields_ = (
        ("mem_size", ctypes.c_size_t),
        ("mem_buffer", ctypes.c_void_p),
        ("no_alloc", ctypes.c_bool),
    )


def _check_layout(ggml: ctypes.CDLL) -> None:
    """Make sure that a tensor of ggml's own making reads as it should.

    Raises:
        EngineError: It does not; reading others would give nonsense or end the process.
    """
    ggml.ggml_init.argtypes, ggml.ggml_init.restype = [_InitParams], ctypes.c_void_p
    ggml.ggml_new_tensor_2d.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    ggml.ggml_new_tensor_2d.restype = ctypes.c_void_p
    ggml.ggml_set_name.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    ggml.ggml_set_name.restype = ctypes.c_void_p
    ggml.ggml_mul_mat.argtypes, ggml.ggml_mul_mat.restype = [ctypes.c_void_p] * 3, ctypes.c_void_p
    ggml.ggml_free.argtypes, ggml.ggml_free.restype = [ctypes.c_void_p], None
    context = ggml.ggml_init(_InitParams(4 * ggml.ggml_tensor_overhead(), None, True))
    try:
        weight, rows = (ggml.ggml_new_tensor_2d(context, _F32, 5, n) for n in (3, 2))
        ggml.ggml_set_name(weight, b"weight")
        product = _Tensor.from_address(ggml.ggml_mul_mat(context, weight, rows))
        named = _Tensor.from_address(weight)
        read = named.name, list(named.ne), list(product.ne), list(product.src[:2]), list(named.nb)
        size = ctypes.sizeof(_Tensor)
    finally:
        ggml.ggml_free(context)
    right = b"weight", [5, 3, 1, 1], [3, 2, 1, 1], [weight, rows], [4, 20, 60, 60]
    if read != right or size > ggml.ggml_tensor_overhead():
        raise EngineError("llama.cpp has tensors of another form; run `make setup` for the tested version")
