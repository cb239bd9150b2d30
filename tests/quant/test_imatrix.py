import os
import random
import struct
from collections.abc import Mapping
from pathlib import Path

import gguf
import numpy as np
import pytest
from numpy.typing import NDArray

from qwen3vl_edge.errors import GGUFError, UsageError
from qwen3vl_edge.gguf_format import ValueType
from qwen3vl_edge.quant import QUANTIZED_FILE_TYPES, Wishes
from qwen3vl_edge.quant.imatrix import Imatrix
from qwen3vl_edge.quant.parts import why_kept
from qwen3vl_edge.writing.gguf_header import KeyValue
from tests.quant.imatrix_files import Collected, dat_bytes, write_imatrix
from tests.quant.oracle import run_oracle
from tests.quant.ours import choose, run_ours
from tests.quant.tiny_gguf import Tensors, TinyModel, tiny_tensors, write_gguf

DENSE, EXPERTS, PROJECTOR = "blk.0.attn_q.weight", "blk.1.ffn_down_exps.weight", "v.blk.0.ffn_up.weight"
SHAPES: list[tuple[str, tuple[int, ...]]] = [
    (DENSE, (5, 6)),
    (EXPERTS, (8, 3, 4)),
    ("output.weight", (9, 6)),
    ("output_norm.weight", (6,)),
]
UNUSED = 2  # the expert that no token was sent to


def collected() -> dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]:
    rng = np.random.default_rng(3)
    counts = np.array([700, 1, 0, 350, 9, 10, 11, 12], np.float32)
    sums = rng.random((8, 4), dtype=np.float32) * counts[:, None]
    return {
        DENSE: (rng.random((1, 6), dtype=np.float32) * 900, np.array([1025], np.float32)),
        EXPERTS: (sums, counts),
    }


def both(folder: Path, content: Collected) -> tuple[Path, Path]:
    dat = folder / "matrix.dat"
    dat.write_bytes(dat_bytes(content))
    return write_imatrix(folder / "matrix.gguf", content), dat


def refusal(path: Path) -> str:
    with pytest.raises(GGUFError) as caught:
        Imatrix.read(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message


def test_gguf_holds_means_of_each_expert(tmp_path: Path) -> None:
    content = collected()
    matrix = Imatrix.read(write_imatrix(tmp_path / "m.gguf", content))
    assert {name: rows.shape for name, rows in matrix.entries.items()} == {DENSE: (1, 6), EXPERTS: (8, 4)}
    assert np.array_equal(matrix.entries[DENSE], content[DENSE][0] / np.float32(1025))
    sums, counts = content[EXPERTS]
    for expert, row in enumerate(matrix.entries[EXPERTS]):
        expected = np.ones(4) if expert == UNUSED else sums[expert] / counts[expert]
        assert np.array_equal(row, expected)
    assert all(rows.dtype == np.float32 for rows in matrix.entries.values())
    assert (matrix.datasets, matrix.n_chunks) == (("texts/calib.txt",), 7)


def test_dat_holds_means_times_calls(tmp_path: Path) -> None:
    path = tmp_path / "m"
    path.write_bytes(
        struct.pack("<i", 2)
        + struct.pack("<i1sii2f", 1, b"a", 3, 2, 6.0, 7.5)
        + struct.pack("<i1sii1f", 1, b"b", 0, 1, 4.0)  # llama-quantize takes sums of no calls as they are
        + struct.pack("<ii3s", 5, 3, b"set")
    )
    matrix = Imatrix.read(path)
    assert {name: rows.tolist() for name, rows in matrix.entries.items()} == {"a": [[2.0, 2.5]], "b": [[4.0]]}
    assert (matrix.datasets, matrix.n_chunks) == (("set",), 5)


def test_both_formats_give_a_model_the_same(tmp_path: Path) -> None:
    new, old = (Imatrix.read(path).for_tensors(SHAPES) for path in both(tmp_path, collected()))
    assert {name: rows.shape for name, rows in new.items()} == {DENSE: (1, 6), EXPERTS: (8, 4)}
    assert {name: rows.shape for name, rows in old.items()} == {DENSE: (1, 6), EXPERTS: (8, 4)}
    for name, rows in new.items():
        assert np.allclose(old[name], rows, rtol=1e-6)


def test_counts_are_rounded_and_one_may_be_for_all_experts(tmp_path: Path) -> None:
    """As lround does; a matrix that was converted from the old format knows no experts."""
    sums = np.full((1, 32), 6, np.float32)
    for count, expected in ((0.4, 1.0), (0.5, 6.0), (2.5, 2.0)):
        path = write_imatrix(tmp_path / "m.gguf", {EXPERTS: (sums, np.array([count], np.float32))})
        assert np.array_equal(Imatrix.read(path).for_tensors(SHAPES)[EXPERTS], np.full((8, 4), expected))


@pytest.mark.parametrize("name", ["Q4_K_M", "IQ2_XXS", "IQ3_XS"])
@pytest.mark.parametrize("model", [TinyModel(4, tied=False), TinyModel(4, n_experts=3)], ids=str)
def test_same_bytes_as_llama_cpp(tmp_path: Path, model: TinyModel, name: str) -> None:
    tensors, file_type = tiny_tensors(model), QUANTIZED_FILE_TYPES[name]
    source = write_gguf(tmp_path / "source.gguf", model, tensors)
    content, means = collect(tensors)
    theirs = run_oracle(source, tmp_path / "target.gguf", file_type, Wishes(), means)
    matrix = Imatrix.read(write_imatrix(tmp_path / "m.gguf", content))
    importance = matrix.for_tensors([(name, values.shape) for name, values in tensors.items()])
    choices = choose(tensors, file_type, model.traits, Wishes(), has_imatrix=True)
    assert run_ours(tensors, choices, importance) == theirs


def collect(tensors: Tensors) -> tuple[Collected, dict[str, NDArray[np.float32]]]:
    """Make up a matrix and say what llama.cpp shall take from it; one expert is never used."""
    rng = np.random.default_rng(5)
    content, means = {}, {}
    for name, values in tensors.items():
        if why_kept(name, values.shape) or name == "token_embd.weight":
            continue
        counts = np.arange(3, 3 + np.prod(values.shape[:-2], dtype=int)).astype(np.float32)
        counts[1:2] = 0
        sums = rng.random((counts.size, values.shape[-1]), dtype=np.float32) * counts[:, None]
        content[name] = sums, counts
        means[name] = np.stack(
            [row / count if count else row + 1 for row, count in zip(sums, counts, strict=True)]
        )
    return content, means


def test_a_matrix_of_another_model(tmp_path: Path) -> None:
    for path in both(tmp_path, collected() | {"blk.7.x\n": collected()[DENSE]}):
        with pytest.raises(
            GGUFError, match=r"is of another model: 'blk\.7\.x\\n' is not in the model; "
        ) as f:
            Imatrix.read(path).for_tensors(SHAPES)
        assert "\n" not in str(f.value)


@pytest.mark.parametrize("shape", [(8, 3, 5), (7, 3, 4), (24, 4), (4, 3, 8)])
def test_a_matrix_of_other_sizes(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path, _ = both(tmp_path, collected())
    wanted = f"is 8 × 4, not {shape[0] if len(shape) == 3 else 1} × {shape[-1]};"
    with pytest.raises(GGUFError, match=f"is of another model: '{EXPERTS}' {wanted}"):
        Imatrix.read(path).for_tensors([SHAPES[0], (EXPERTS, shape)])


def test_an_old_matrix_of_other_sizes(tmp_path: Path) -> None:
    _, path = both(tmp_path, collected())
    with pytest.raises(GGUFError, match="is 1 × 32, not 8 × 5;"):
        Imatrix.read(path).for_tensors([SHAPES[0], (EXPERTS, (8, 3, 5))])


def test_three_mismatches_are_named(tmp_path: Path) -> None:
    path = write_imatrix(tmp_path / "m.gguf", {f"blk.{i}.x": collected()[DENSE] for i in range(5)})
    with pytest.raises(GGUFError, match="'blk.2.x' is not in the model; and 2 more; give"):
        Imatrix.read(path).for_tensors(SHAPES)


def test_the_side_that_is_not_there_is_passed_over(tmp_path: Path) -> None:
    path = write_imatrix(tmp_path / "m.gguf", collected() | {PROJECTOR: collected()[DENSE]})
    matrix = Imatrix.read(path)
    projector: list[tuple[str, tuple[int, ...]]] = [(PROJECTOR, (2, 6))]
    assert matrix.for_tensors(SHAPES).keys() == {DENSE, EXPERTS}
    assert matrix.for_tensors(projector).keys() == {PROJECTOR}
    assert matrix.for_tensors(SHAPES + projector).keys() == {DENSE, EXPERTS, PROJECTOR}
    with pytest.raises(GGUFError, match=f"'{PROJECTOR}' is not in the model"):
        matrix.for_tensors([*SHAPES, ("v.blk.0.ffn_down.weight", (2, 6))])
    text = Imatrix.read(write_imatrix(tmp_path / "t.gguf", collected()))
    with pytest.raises(UsageError, match="has nothing for these tensors"):
        text.for_tensors(projector)


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (np.nan, "is NaN or infinite"),
        (np.inf, "is NaN or infinite"),
        (-1e-9, "is negative"),
        (None, "is 0 everywhere"),
    ],
)
def test_values_that_are_none(tmp_path: Path, value: float | None, what: str) -> None:
    content = collected()
    sums, _ = content[DENSE]
    sums[0, 0 if value else slice(None)] = value or 0
    for path in both(tmp_path, content):
        assert f"'{DENSE}' {what}; make the importance matrix anew" in refusal(path)


def test_signalling_nans_warn_of_nothing(tmp_path: Path) -> None:
    for part in (0, 1):
        content = collected()
        content[DENSE][part].view(np.uint32).flat[0] = 0x7F800001
        message = refusal(write_imatrix(tmp_path / "m.gguf", content))
        assert DENSE in message
        assert ("holds no counts" if part else "is NaN or infinite") in message


@pytest.mark.parametrize("count", [np.nan, np.inf, -1])
def test_counts_that_are_none(tmp_path: Path, count: float) -> None:
    content = collected()
    content[EXPERTS][1][3] = count
    assert f"'{EXPERTS}.counts' holds no counts" in refusal(write_imatrix(tmp_path / "m.gguf", content))


def test_zeros_in_one_expert(tmp_path: Path) -> None:
    content = collected()
    content[EXPERTS][0][4] = 0
    assert f"'{EXPERTS}' is 0 everywhere" in refusal(write_imatrix(tmp_path / "m.gguf", content))


def build(path: Path, tensors: Mapping[str, NDArray[np.floating]], without: str = "", **values: int) -> Path:
    """Write a GGUF file with the metadata of an importance matrix, but for the key `without`."""
    writer = gguf.GGUFWriter(path, "")
    if without != "datasets":
        writer.add_array("imatrix.datasets", ["a"])
    for key in {"chunk_count", "chunk_size"} - {without}:
        writer.add_int32(f"imatrix.{key}", values.get(key, 5))
    for name, array in tensors.items():
        writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_other_gguf_files(tmp_path: Path) -> None:
    path, ones = tmp_path / "x.gguf", np.ones((1, 4), np.float32)
    good = {"a.in_sum2": ones, "a.counts": ones[:, :1]}
    assert Imatrix.read(build(path, good)).entries.keys() == {"a"}
    assert Imatrix.read(build(path, good | {"more": ones})).entries.keys() == {"a"}
    assert "has no entries" in refusal(build(path, {"more": ones}))
    assert "'a' has no .counts" in refusal(build(path, {"a.in_sum2": ones}))
    assert "'a' has no .in_sum2" in refusal(build(path, {"a.counts": ones}))
    assert "'a' is not in F32" in refusal(build(path, good | {"a.counts": ones[:, :1].astype(np.float16)}))
    assert "'a' has 4 sums for 3 counts" in refusal(build(path, good | {"a.counts": ones[:, :3]}))
    for key in ("datasets", "chunk_count", "chunk_size"):
        assert "give one that llama-imatrix wrote" in refusal(build(path, good, without=key))
    assert "is missing or no count" in refusal(build(path, good, chunk_count=-1))
    model = TinyModel(1)
    assert "imatrix.chunk_count" in refusal(write_gguf(path, model, tiny_tensors(model)))


def dat(name: bytes = b"a", n_entries: int = 1, length: int | None = None, n_values: int = 1) -> bytes:
    size = len(name) if length is None else length
    return struct.pack("<ii", n_entries, size) + name + struct.pack("<iif", 1, n_values, 1.0)


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        (b"", "ends too early"),
        (b"GG", "ends too early"),
        (b"{}\n\n" + bytes(99), "neither GGUF nor an old .dat"),
        (dat(n_entries=0), "neither GGUF nor an old .dat"),
        (dat(n_entries=-1), "neither GGUF nor an old .dat"),
        (dat(n_entries=2), "ends too early"),
        (dat(length=2**31 - 1), "ends too early"),
        (dat(length=-1), "ends too early"),
        (dat(n_values=2**31 - 1), "ends too early"),
        (dat(n_values=0), "an entry has 0 values"),
        (dat(n_values=-4), "an entry has -4 values"),
        (dat(name=b"\xff"), "not UTF-8"),
        (dat(n_entries=2) + dat()[4:], "'a' stands there twice"),
        (dat() + struct.pack("<ii", 1, -1), "ends too early"),
    ],
)
def test_other_dat_files(tmp_path: Path, raw: bytes, what: str) -> None:
    path = tmp_path / "x.dat"
    path.write_bytes(raw)
    assert what in refusal(path)


def test_tensors_that_stand_there_twice(tmp_path: Path) -> None:
    path = write_imatrix(tmp_path / "m.gguf", {name: collected()[DENSE] for name in ("aa", "ab")})
    path.write_bytes(path.read_bytes().replace(b"ab.in_sum2", b"aa.in_sum2"))
    assert "'aa.in_sum2' stands there twice" in refusal(path)


def test_every_cut_of_gguf_is_noticed(tmp_path: Path) -> None:
    path = write_imatrix(tmp_path / "m.gguf", collected())
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        refusal(path)


def test_every_cut_of_dat_is_noticed(tmp_path: Path) -> None:
    """But for what was not always written: the dataset, or the number of chunks too."""
    path, whole = tmp_path / "m.dat", dat_bytes(collected())
    after_chunks = len(whole) - 4 - len("texts/calib.txt")
    shorter = {after_chunks - 4: 0, after_chunks: 7}
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        if length in shorter:
            matrix = Imatrix.read(path)
            assert (len(matrix.entries), matrix.datasets, matrix.n_chunks) == (2, (), shorter[length])
        else:
            refusal(path)


def test_damage_ends_in_an_error_or_in_a_sound_matrix(tmp_path: Path) -> None:
    rng = random.Random(0)
    for path in both(tmp_path, collected()):
        whole = path.read_bytes()
        for _ in range(400):
            raw = bytearray(whole)
            for _ in range(rng.randint(1, 4)):
                raw[rng.randrange(len(raw))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
            path.write_bytes(raw)
            try:
                matrix = Imatrix.read(path)
                assert all(np.isfinite(rows).all() and rows.min() >= 0 for rows in matrix.entries.values())
                matrix.for_tensors(SHAPES)
            except GGUFError as refused:
                assert "\n" not in str(refused)


def test_what_is_no_file(tmp_path: Path) -> None:
    pipe, large = tmp_path / "pipe", tmp_path / "large"
    os.mkfifo(pipe)
    large.touch()
    os.truncate(large, 3 << 30)
    assert "not a regular file" in refusal(pipe)
    assert "not a regular file" in refusal(tmp_path)
    assert "No such file" in refusal(tmp_path / "absent")
    assert "allowed for an importance matrix" in refusal(large)


def test_metadata_is_that_of_llama_quantize(tmp_path: Path) -> None:
    matrix = Imatrix.read(write_imatrix(tmp_path / "m.gguf", collected(), datasets=("texts/a.txt", "b.txt")))
    assert matrix.metadata(0) == ()
    assert matrix.metadata(2) == (
        KeyValue("quantize.imatrix.file", ValueType.STRING, "m.gguf"),
        KeyValue("quantize.imatrix.dataset", ValueType.STRING, "texts/a.txt"),
        KeyValue("quantize.imatrix.entries_count", ValueType.UINT32, 2),
        KeyValue("quantize.imatrix.chunks_count", ValueType.UINT32, 7),
    )


def test_metadata_that_is_not_known_is_left_out(tmp_path: Path) -> None:
    matrix = Imatrix.read(write_imatrix(tmp_path / "m.gguf", collected(), datasets=("é" * 99,), n_chunks=0))
    values = {entry.key: entry.value for entry in matrix.metadata(2)}
    assert values["quantize.imatrix.dataset"] == "é" * 63  # 127 bytes would end within a letter
    assert "quantize.imatrix.chunks_count" not in values
    (tmp_path / "m.dat").write_bytes(dat_bytes(collected(), dataset=""))
    keys = [entry.key for entry in Imatrix.read(tmp_path / "m.dat").metadata(2)]
    assert "quantize.imatrix.dataset" not in keys
