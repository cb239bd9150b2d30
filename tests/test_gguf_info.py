import struct
import time
from pathlib import Path

import gguf
import numpy as np
import pytest

from qwen3vl_edge.converters import convert
from qwen3vl_edge.errors import GGUFError
from qwen3vl_edge.ggml_types import FILE_TYPES, TYPES_BY_ID, TYPES_BY_NAME
from qwen3vl_edge.gguf_format import ValueType
from qwen3vl_edge.gguf_info import GGUFArray, GGUFInfo
from tests.tiny_checkpoint import write_tiny_checkpoint


def text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def tensor(name: str, dims: tuple[int, ...], kind: int = 0, offset: int = 0) -> bytes:
    return text(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, offset)


def build(
    *, tensors: tuple[bytes, ...] = (), values: tuple[bytes, ...] = (), data: int = 0, version: int = 3
) -> bytes:
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(values)) + b"".join(values + tensors)
    return head + bytes(-len(head) % 32) + bytes(data)


ARCHITECTURE = text("general.architecture") + struct.pack("<I", 8) + text("qwen3vl")


def test_agrees_with_the_reader_of_gguf(tmp_path: Path) -> None:
    bundle = convert(write_tiny_checkpoint(tmp_path / "c"), tmp_path / "out", type="Q8_0")
    for path in (bundle.model, bundle.projector):
        ours, theirs = GGUFInfo.read(path), gguf.GGUFReader(path)
        assert [
            (item.name, item.type_name, list(reversed(item.shape)), item.offset, item.nbytes)
            for item in ours.tensors
        ] == [
            (item.name, item.tensor_type.name, item.shape.tolist(), item.data_offset, item.n_bytes)
            for item in theirs.tensors
        ]
        for key, value in ours.metadata.items():
            found = value.values() if isinstance(value, GGUFArray) else value
            assert found == theirs.fields[key].contents()
        assert len(ours.metadata) == len([key for key in theirs.fields if not key.startswith("GGUF.")])
        assert ours.size_bytes == path.stat().st_size


def test_a_vocabulary_of_150000_tokens_is_passed_over_quickly(tmp_path: Path) -> None:
    count = 151_936
    strings = struct.pack("<IIQ", 9, 8, count) + text("token") * count
    merges = struct.pack("<IIQ", 9, 8, count) + text("to ken") * count
    path = tmp_path / "x.gguf"
    path.write_bytes(build(values=(ARCHITECTURE, text("tokens") + strings, text("merges") + merges)))
    start = time.perf_counter()
    info = GGUFInfo.read(path)
    assert time.perf_counter() - start < 1.0  # 0.05 s on an idle machine
    array = info.metadata["tokens"]
    assert isinstance(array, GGUFArray)
    assert (array.count, array.item_type) == (count, ValueType.STRING)
    assert info.array("tokens")[-1] == "token"


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        (b"", "cannot be read"),
        (b"GG", "not a GGUF file"),
        (b"PK\3\4" + bytes(100), "not a GGUF file"),
        (build(version=1), "GGUF version 1 is not supported"),
        (build(version=0x03000000), "is not supported"),
        (build()[:10], "runs past the end"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 0), "do not fit the file"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1 << 60), "do not fit the file"),
        (build(values=(ARCHITECTURE, ARCHITECTURE)), "stands there twice"),
        (build(values=(text("k") + struct.pack("<I", 99) + bytes(64),)), "unknown metadata type 99"),
        (build(values=(text("k") + struct.pack("<IQ", 8, 1 << 60),)), "runs past the end"),
        (build(values=(text("k") + struct.pack("<IIQ", 9, 4, 1 << 60),)), "runs past the end"),
        (build(values=(text("k") + struct.pack("<IIQQ", 9, 8, 2, 1 << 60),)), "runs past the end"),
        (build(values=(text("k") + struct.pack("<IIQ", 9, 8, 1 << 40),)), "runs past the end"),
        (build(values=(text("k") + struct.pack("<IIQQ", 9, 8, 1, 200) + bytes(8),)), "runs past the end"),
        (build(values=(text("k") + struct.pack("<IIQ", 9, 9, 1) + bytes(64),)), "arrays of arrays"),
        (build(values=(struct.pack("<Q", 2) + b"\xff\xfe" + struct.pack("<IB", 0, 1),)), "not UTF-8"),
        (build(tensors=(tensor("a", (8,)),), data=31), "lies outside the file"),
        (build(tensors=(tensor("a", (8,), offset=32),), data=32), "lies outside the file"),
        (build(tensors=(tensor("a", (8,), offset=8),), data=64), "not a multiple of 32"),
        (build(tensors=(tensor("a", (8,)), tensor("a", (8,))), data=32), "stands there twice"),
        (build(tensors=(tensor("a", (8,), kind=77),), data=32), "has type 77"),
        (build(tensors=(tensor("a", (33,), kind=8),), data=64), "which Q8_0 cannot hold"),
        (build(tensors=(tensor("a", (1 << 40, 1 << 40)),), data=64), "impossible shape"),
        (build(tensors=(tensor("a", (0,)),), data=64), "impossible shape"),
        (build(tensors=(tensor("a", (1,) * 5),), data=64), "has 5 dimensions"),
        (build(values=(text("general.alignment") + struct.pack("<II", 4, 24),)), "general.alignment is 24"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_damaged_files(tmp_path: Path, raw: bytes, what: str) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(raw)
    with pytest.raises(GGUFError, match=what) as caught:
        GGUFInfo.read(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("offset", [0, 64])
def test_tensors_lie_one_behind_the_other(tmp_path: Path, offset: int) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(build(tensors=(tensor("a", (8,)), tensor("b", (8,), offset=offset)), data=96))
    with pytest.raises(GGUFError, match=r"tensor 'b' begins at \d+, \d+ is expected"):
        GGUFInfo.read(path)


def test_every_cut_of_a_header_is_noticed(tmp_path: Path) -> None:
    whole = build(
        values=(ARCHITECTURE, text("k") + struct.pack("<IIQ", 9, 8, 2) + text("a") + text("b")),
        tensors=(tensor("a", (8,)), tensor("b", (8,), offset=32)),
        data=64,
    )
    path = tmp_path / "x.gguf"
    path.write_bytes(whole)
    assert [item.name for item in GGUFInfo.read(path).tensors] == ["a", "b"]
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(GGUFError):
            GGUFInfo.read(path)


def test_accessors_name_the_key(tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(build(values=(ARCHITECTURE, text("general.file_type") + struct.pack("<II", 4, 7))))
    info = GGUFInfo.read(path)
    assert info.architecture == "qwen3vl"
    assert info.file_type == "Q8_0"
    for read in (info.integer, info.number, info.array):
        with pytest.raises(GGUFError, match=r"general\.architecture is not a"):
            read("general.architecture")
    with pytest.raises(GGUFError, match="absent is missing"):
        info.text("absent")


def test_tables_agree_with_gguf() -> None:
    for kind, (block, block_bytes) in gguf.GGML_QUANT_SIZES.items():
        ours = TYPES_BY_ID[kind.value]
        assert ours is TYPES_BY_NAME[kind.name]
        if kind is not gguf.GGMLQuantizationType.Q8_1:  # never stored; gguf takes its two scales for float32
            assert (ours.block, ours.block_bytes) == (block, block_bytes)
    names = {
        kind.value: kind.name.removeprefix("MOSTLY_").removeprefix("ALL_") for kind in gguf.LlamaFileType
    }
    names.pop(gguf.LlamaFileType.GUESSED.value)
    assert {code: FILE_TYPES[code] for code in names} == names


def test_sizes_of_types() -> None:
    q8 = TYPES_BY_NAME["Q8_0"]
    assert q8.fits((3, 64))
    assert not q8.fits((64, 48))
    assert q8.nbytes((3, 64)) == 3 * 2 * 34 == np.prod((3, 2, 34))
