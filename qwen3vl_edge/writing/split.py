"""One model in several files, as llama.cpp cuts and names them.

Source: GGUFWriter.add_tensor_info and add_shard_kv_data in gguf-py/gguf/gguf_writer.py, 0c1e57098.
"""

import re
from collections.abc import Sequence

from qwen3vl_edge.errors import UsageError
from qwen3vl_edge.gguf_format import ValueType
from qwen3vl_edge.writing.gguf_header import KeyValue

__all__ = ["parse_size", "split_indices", "split_metadata"]

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_MAX_PARTS = 0xFFFF  # split.count is a uint16


def parse_size(text: str) -> int:
    """Read ``4G``, ``500M`` or a number of bytes; units are powers of 1000, as in llama.cpp's converter.

    Raises:
        UsageError: it is none of these.
    """
    found = re.fullmatch(r"([0-9]{1,18})([KMGT]?)B?", text.strip().upper())
    if found is None or int(found[1]) == 0:
        raise UsageError(f"{text!r:.40} is no size; give one like 4G, 500M or a number of bytes")
    return int(found[1]) * _UNITS[found[2]]


def split_indices(sizes: Sequence[int], max_bytes: int | None) -> list[range]:
    """Cut tensors of these sizes, in order, into parts of at most `max_bytes`, or of one larger tensor.

    Raises:
        UsageError: there would be more parts than the format can count.
    """
    parts: list[range] = []
    start = filled = 0
    for i, size in enumerate(sizes):
        if max_bytes is not None and i > start and filled + size > max_bytes:
            parts.append(range(start, i))
            start, filled = i, 0
        filled += size
    parts.append(range(start, len(sizes)))
    if len(parts) > _MAX_PARTS:
        raise UsageError(f"--split-max-size makes {len(parts)} parts, at most {_MAX_PARTS} are possible")
    return parts


def split_metadata(index: int, count: int, n_tensors: int) -> tuple[KeyValue, ...]:
    """Return the keys of part `index` (from 0) of `count`; `n_tensors` is that of the whole model."""
    return (
        KeyValue("split.no", ValueType.UINT16, index),
        KeyValue("split.count", ValueType.UINT16, count),
        KeyValue("split.tensors.count", ValueType.INT32, n_tensors),
    )
