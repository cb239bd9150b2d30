"""Quantizing as llama.cpp does: recipes say which tensor gets which type, `native` makes the bytes."""

from qwen3vl_edge.quant.file_types import (
    ALIASES,
    QUANTIZED_FILE_TYPES,
    TENSOR_TYPES,
    FileType,
    find_file_type,
    find_tensor_type,
)
from qwen3vl_edge.quant.imatrix import Imatrix
from qwen3vl_edge.quant.mixes import ModelTraits
from qwen3vl_edge.quant.native import dequantize_rows, quantize_rows
from qwen3vl_edge.quant.overrides import TypeOverride, parse_type_override, read_type_overrides
from qwen3vl_edge.quant.recipes import Choice, SourceTensor, Wishes, choose_types

__all__ = [
    "ALIASES",
    "QUANTIZED_FILE_TYPES",
    "TENSOR_TYPES",
    "Choice",
    "FileType",
    "Imatrix",
    "ModelTraits",
    "SourceTensor",
    "TypeOverride",
    "Wishes",
    "choose_types",
    "dequantize_rows",
    "find_file_type",
    "find_tensor_type",
    "parse_type_override",
    "quantize_rows",
    "read_type_overrides",
]
