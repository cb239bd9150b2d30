"""Importance matrices written as llama-imatrix does (tools/imatrix/imatrix.cpp, llama.cpp 0c1e57098)."""

import struct
from collections.abc import Mapping
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

__all__ = ["Collected", "dat_bytes", "write_imatrix"]

Collected = Mapping[str, tuple[NDArray[np.float32], NDArray[np.float32]]]
"""Tensor name -> sums of squares, (experts or 1, row length), and of how many rows: (experts or 1,)."""


def write_imatrix(
    path: Path, collected: Collected, *, datasets: tuple[str, ...] = ("texts/calib.txt",), n_chunks: int = 7
) -> Path:
    """Write the format of save_imatrix."""
    writer = gguf.GGUFWriter(path, "")
    writer.add_type("imatrix")
    writer.add_array("imatrix.datasets", list(datasets))
    writer.add_uint32("imatrix.chunk_count", n_chunks)
    writer.add_uint32("imatrix.chunk_size", 512)
    for name, (sums, counts) in sorted(collected.items()):
        writer.add_tensor(f"{name}.in_sum2", sums)
        writer.add_tensor(f"{name}.counts", counts.reshape(-1, 1))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def dat_bytes(collected: Collected, *, dataset: str = "texts/calib.txt", n_chunks: int = 7) -> bytes:
    """Return the format of save_imatrix_legacy, for chunks of 512."""
    parts = [struct.pack("<i", len(collected))]
    for name, (sums, counts) in sorted(collected.items()):
        n_calls = -(-int(counts.max()) // 512)
        means = np.where(counts[:, None] == 0, 1, sums / np.maximum(counts, 1)[:, None])
        values = (means * np.float32(n_calls)).astype("<f4")
        raw = name.encode()
        parts += [
            struct.pack("<i", len(raw)),
            raw,
            struct.pack("<ii", n_calls, values.size),
            values.tobytes(),
        ]
    raw = dataset.encode()
    return b"".join([*parts, struct.pack("<ii", n_chunks, len(raw)), raw])
