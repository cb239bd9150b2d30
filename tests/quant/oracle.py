"""llama.cpp's own quantizer, as the oracle of ours."""

import ctypes
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qwen3vl_edge.gguf_info import GGUFInfo
from qwen3vl_edge.quant import FileType, Wishes
from qwen3vl_edge.runtime.native import library

__all__ = ["Quantized", "plan_oracle", "read_tensors", "run_oracle"]

Quantized = dict[str, tuple[str, bytes]]
"""Name -> type and bytes."""

_NOT_GIVEN = 43  # GGML_TYPE_COUNT


def run_oracle(
    source: Path,
    target: Path,
    file_type: FileType | int,
    wishes: Wishes,
    imatrix: Mapping[str, NDArray[np.float32]] | None,
    *,
    keep_split: bool = False,
) -> Quantized | None:
    """Quantize `source` with llama_model_quantize; None if it refuses. `file_type` may be a code.

    With `keep_split`, `target` is what the names of the parts begin with.
    """
    llama = library().llama
    params = llama.llama_model_quantize_default_params()
    params.ftype = file_type if isinstance(file_type, int) else file_type.code
    params.nthread, params.pure, params.keep_split = 2, wishes.pure, keep_split
    params.output_tensor_type = wishes.output_type.id if wishes.output_type else _NOT_GIVEN
    params.token_embedding_type = wishes.embedding_type.id if wishes.embedding_type else _NOT_GIVEN
    # ctypes keeps what the fields point to alive
    if imatrix is not None:
        params.imatrix = _imatrix(imatrix)
    if wishes.overrides:
        params.tt_overrides = _overrides(wishes)
    code = llama.llama_model_quantize(str(source).encode(), str(target).encode(), ctypes.byref(params))
    if keep_split:
        target = next(target.parent.glob(f"{target.name}-00001-of-*.gguf"), target)
    return None if code else read_tensors(target)


def read_tensors(path: Path) -> Quantized:
    """Read every tensor of a GGUF file, or of all parts of a model."""
    info = GGUFInfo.read(path)
    raw = {part: part.read_bytes() for part in info.paths}
    return {
        tensor.name: (tensor.type_name, raw[tensor.path][tensor.offset : tensor.offset + tensor.nbytes])
        for tensor in info.tensors
    }


def _imatrix(imatrix: Mapping[str, NDArray[np.float32]]) -> "ctypes.Array[ctypes.Structure]":
    entry = library().llama.llama_model_imatrix_data
    pointer = ctypes.POINTER(ctypes.c_float)
    entries = [
        entry(name.encode(), values.ctypes.data_as(pointer), values.size) for name, values in imatrix.items()
    ]
    return (entry * (len(entries) + 1))(*entries)


def _overrides(wishes: Wishes) -> "ctypes.Array[ctypes.Structure]":
    entry = library().llama.llama_model_tensor_override
    entries: Sequence[ctypes.Structure] = [
        entry(override.pattern.pattern.encode(), override.kind.id) for override in wishes.overrides
    ]
    return (entry * (len(entries) + 1))(*entries)


class _Lines(logging.Handler):
    """Keeps what llama.cpp logs."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def plan_oracle(source: Path, file_type: FileType) -> dict[str, str]:
    """Return name -> type of a dry run of llama_model_quantize without an importance matrix."""
    llama, lines, log = library().llama, _Lines(), logging.getLogger("qwen3vl_edge.native")
    params = llama.llama_model_quantize_default_params()
    params.ftype, params.dry_run = file_type.code, True
    log.addHandler(lines)
    log.setLevel(logging.DEBUG)
    try:
        code = llama.llama_model_quantize(str(source).encode(), b"", ctypes.byref(params))
    finally:
        log.removeHandler(lines)
        log.setLevel(logging.NOTSET)
    assert code == 0
    # "[1/46] NAME - [shape], type = f32, " and "size = 1.0 MiB -> 0.5 MiB (q4_K)"; no type if it is kept
    found = re.findall(
        r"\[ *\d+/ *\d+\] (\S+) +- \[[^]]*\], type = +f32, ?size =[^(\[]*(?:\((\w+)\))?", "".join(lines.lines)
    )
    return {name: (kind or "F32").upper() for name, kind in found}
