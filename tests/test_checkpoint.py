import json
from pathlib import Path

import numpy as np
import pytest

from qwen3vl_edge.checkpoint import Checkpoint, Stored, TensorRef, row_ranges
from qwen3vl_edge.errors import CheckpointError, UsageError
from qwen3vl_edge.safetensors_header import read_header
from tests.safetensors_files import Dtype, to_stored, write_raw_safetensors
from tests.tiny_checkpoint import TinyShape, tiny_tensors, write_tiny_checkpoint


def entry(begin: int, end: int, shape: list[int], dtype: str = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def chunks(ref: TensorRef, limit_bytes: int) -> list[Stored]:
    n_rows = ref.shape[0] if ref.shape else 1
    return [ref.rows(start, stop) for start, stop in row_ranges(n_rows, ref.nbytes, limit_bytes)]


SOUND = {"a": entry(0, 8, [2]), "b": entry(8, 32, [2, 3])}


@pytest.mark.parametrize("sharded", [False, True])
@pytest.mark.parametrize("dtype", ["BF16", "F16", "F32"])
def test_values_come_back_as_stored(tmp_path: Path, sharded: bool, dtype: Dtype) -> None:
    checkpoint = Checkpoint.open(write_tiny_checkpoint(tmp_path, sharded=sharded, dtype=dtype, tied=False))
    tensors = tiny_tensors(TinyShape(), tied=False)
    assert {ref.name for ref in checkpoint.tensors} == tensors.keys()
    assert len(checkpoint.shards) == (3 if sharded else 1)
    for ref in checkpoint.tensors:
        stored = to_stored(tensors[ref.name], dtype)
        assert ref.shape == stored.shape
        np.testing.assert_array_equal(ref.read(), stored)
        for limit in (1, 1000, 1 << 30):
            np.testing.assert_array_equal(np.concatenate(list(chunks(ref, limit))), stored)


def test_float32_of_bfloat16_is_exact(tmp_path: Path) -> None:
    bits = np.array([0x3F80, 0xBF80, 0x0001, 0x7F80, 0x7FC1], dtype=np.uint16)
    header = {"a": {"dtype": "BF16", "shape": [5], "data_offsets": [0, 10]}}
    write_raw_safetensors(tmp_path / "model.safetensors", header, bits.tobytes())
    (tmp_path / "config.json").write_text("{}")
    values = Checkpoint.open(tmp_path).tensors[0].float32()
    np.testing.assert_array_equal(values.view(np.uint32), bits.astype(np.uint32) << 16)
    assert values[0] == 1.0
    assert np.isinf(values[3])


def test_chunks_hold_whole_rows(tmp_path: Path) -> None:
    ref = max(Checkpoint.open(write_tiny_checkpoint(tmp_path)).tensors, key=lambda ref: ref.nbytes)
    row_bytes = ref.nbytes // ref.shape[0]
    sizes = [chunk.shape for chunk in chunks(ref, 7 * row_bytes + 1)]
    assert all(shape[0] <= 7 and shape[1:] == ref.shape[1:] for shape in sizes)
    assert sum(shape[0] for shape in sizes) == ref.shape[0]


def test_rows_are_read_alone(tmp_path: Path) -> None:
    checkpoint = Checkpoint.open(write_tiny_checkpoint(tmp_path))
    for ref in checkpoint.tensors:
        whole, n_rows = ref.read(), ref.shape[0]
        for start, stop in ((0, 0), (0, 1), (n_rows // 2, n_rows), (n_rows, n_rows)):
            np.testing.assert_array_equal(ref.rows(start, stop), whole[start:stop])
            assert ref.rows(start, stop).shape == (stop - start, *ref.shape[1:])
        for start, stop in ((0, n_rows + 1), (-1, 1), (2, 1)):
            with pytest.raises(CheckpointError, match="has no rows"):
                ref.rows(start, stop)


def test_rows_of_a_scalar(tmp_path: Path) -> None:
    write_raw_safetensors(tmp_path / "model.safetensors", {"a": entry(0, 4, [])}, np.float32(3).tobytes())
    (tmp_path / "config.json").write_text("{}")
    (ref,) = Checkpoint.open(tmp_path).tensors
    assert ref.rows(0, 1).tolist() == [3.0]
    assert [block.tolist() for block in chunks(ref, 1)] == [[3.0]]


def test_sound_header(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    write_raw_safetensors(path, {"__metadata__": {"format": "pt"}, **SOUND}, bytes(32))
    first, second = read_header(path)
    assert (first.name, first.shape, first.nbytes) == ("a", (2,), 8)
    assert second.offset == first.offset + 8
    assert second.offset + second.nbytes == path.stat().st_size


@pytest.mark.parametrize(
    ("header", "data_bytes", "what"),
    [
        ({**SOUND, "b": entry(4, 28, [2, 3])}, 32, "'b' overlaps the tensor before it"),
        ({**SOUND, "b": entry(12, 36, [2, 3])}, 36, "'b' leaves a hole before it"),
        (SOUND, 28, "take 32 bytes of data, the file has 28"),
        (SOUND, 40, "take 32 bytes of data, the file has 40"),
        ({"a": entry(0, 8, [3])}, 8, "does not take 8 bytes"),
        ({"a": entry(0, 8, [-2, -1])}, 8, r"a list of integers in 0\.\.\d+ is expected"),
        ({"a": entry(0, 8, [1 << 52, 1 << 52])}, 8, "does not take 8 bytes"),
        ({"a": entry(0, 8, [1 << 62])}, 8, "a list of integers in"),
        ({"a": entry(0, 8, [10**900])}, 8, r"shape is \[10+\.\.\.0+\], a list"),
        ({"a": entry(8, 0, [2])}, 8, r"data_offsets is \[8, 0\]"),
        ({"a": entry(-8, 0, [2])}, 8, "data_offsets"),
        ({"a": {"dtype": "F32", "shape": [2], "data_offsets": [8]}}, 8, r"data_offsets is \[8\]"),
        ({**SOUND, "b": entry(9, 33, [2, 3])}, 33, "begins at 9, which is no multiple of F32's size"),
        ({"": entry(0, 8, [2])}, 8, "name is not one of 1 to 256 printable characters"),
        ({"a\nb": entry(0, 8, [2])}, 8, r"'a\\nb': name is not one of"),
        ({"__metadata__": {"format": 1}, **SOUND}, 32, "__metadata__: format is 1, a string"),
        ({"__metadata__": [], **SOUND}, 32, r"__metadata__ is \[\], an object"),
        ({"a": entry(0, 8, [2], "F99")}, 8, "dtype is 'F99'"),
        ({"a": {"shape": [2], "data_offsets": [0, 8]}}, 8, "dtype is missing"),
        ({"a": entry(0, 8, [True, 2])}, 8, "a list of integers"),
        ({"a": entry(0, 4, [1] * 9)}, 4, "has 9 dimensions"),
        ({"a": 5}, 8, "an object is expected"),
    ],
)
def test_faulty_headers(tmp_path: Path, header: dict[str, object], data_bytes: int, what: str) -> None:
    path = tmp_path / "x.safetensors"
    write_raw_safetensors(path, header, bytes(data_bytes))
    with pytest.raises(CheckpointError, match=what) as caught:
        read_header(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_all_faults_of_a_header_at_once(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    write_raw_safetensors(path, {"a": entry(0, 8, [3]), "b": entry(8, 16, [2], "F99")}, bytes(16))
    with pytest.raises(CheckpointError, match=r"a: shape .*; .*b: dtype"):
        read_header(path)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\0" * 4,
        (1 << 63).to_bytes(8, "little") + b"{}",
        (200_000_000).to_bytes(8, "little") + b"{}",
        (3).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"[]",
        (40).to_bytes(8, "little") + b'{"a": 1, "a": 2}' + b" " * 24,
    ],
)
def test_files_that_are_no_safetensors(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(raw)
    with pytest.raises(CheckpointError, match=r"x\.safetensors"):
        read_header(path)


def test_folders_that_are_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"looked for config\.json and model\.safetensors"):
        Checkpoint.open(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UsageError, match="not a checkpoint folder"):
        Checkpoint.open(tmp_path)
    with pytest.raises(UsageError, match="no such file or folder"):
        Checkpoint.open(tmp_path / "absent")


def edit_index(folder: Path, **changes: str | None) -> None:
    path = folder / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    for name, file in changes.items():
        if file is None:
            del index["weight_map"][name]
        else:
            index["weight_map"][name] = file
    path.write_text(json.dumps(index))


def test_index_and_shards_must_agree(tmp_path: Path) -> None:
    write_tiny_checkpoint(tmp_path, sharded=True)
    first, last = "model-00001-of-00003.safetensors", "model-00003-of-00003.safetensors"
    moved, lost = "model.visual.pos_embed.weight", "model.language_model.norm.weight"
    edit_index(tmp_path, **{moved: first, lost: None, "never.there": last})
    with pytest.raises(CheckpointError) as caught:
        Checkpoint.open(tmp_path)
    message = str(caught.value)
    assert f"{moved!r} is not in {first}" in message
    assert f"'never.there' is not in {last}" in message
    assert f"{lost!r} of model-" in message
    assert "is not in the index" in message


def test_missing_shards_are_named_together(tmp_path: Path) -> None:
    write_tiny_checkpoint(tmp_path, sharded=True)
    (tmp_path / "model-00001-of-00003.safetensors").unlink()
    (tmp_path / "model-00003-of-00003.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"not there: model-00001\S+; model-00003"):
        Checkpoint.open(tmp_path)


def test_files_that_would_not_be_read_are_named(tmp_path: Path) -> None:
    write_tiny_checkpoint(tmp_path, sharded=True)
    for name in ("model.safetensors", "model-00009-of-00009.safetensors", "consolidated.safetensors"):
        (tmp_path / name).touch()
    with pytest.raises(
        CheckpointError, match="model-00009-of-00009.safetensors; model.safetensors would not"
    ):
        Checkpoint.open(tmp_path)


def test_a_hub_s_cache_may_hold_more_than_the_index_names(tmp_path: Path) -> None:
    snapshot = tmp_path / "models--Org--Name" / "snapshots" / "0123456789abcdef0123456789abcdef01234567"
    write_tiny_checkpoint(snapshot, sharded=True)
    (snapshot / "model.safetensors").touch()
    assert len(Checkpoint.open(snapshot).shards) == 3
    (snapshot / "model.safetensors.index.json").unlink()
    with pytest.raises(CheckpointError, match="would not"):  # which of them count, nobody knows
        Checkpoint.open(snapshot)


@pytest.mark.parametrize(
    "file", ["../other.safetensors", "/etc/passwd", "sub/x.safetensors", "model.bin", ""]
)
def test_index_may_only_name_files_beside_it(tmp_path: Path, file: str) -> None:
    write_tiny_checkpoint(tmp_path, sharded=True)
    edit_index(tmp_path, **{"model.visual.pos_embed.weight": file})
    with pytest.raises(CheckpointError, match="a file name ending in"):
        Checkpoint.open(tmp_path)


def test_doubled_tensor_in_two_shards(tmp_path: Path) -> None:
    write_tiny_checkpoint(tmp_path, sharded=True)
    (tmp_path / "model-00003-of-00003.safetensors").write_bytes(
        (tmp_path / "model-00001-of-00003.safetensors").read_bytes()
    )
    with pytest.raises(CheckpointError, match="stands in both model-00001"):
        Checkpoint.open(tmp_path)


def test_a_file_cut_after_opening_is_noticed(tmp_path: Path) -> None:
    checkpoint = Checkpoint.open(write_tiny_checkpoint(tmp_path))
    path = checkpoint.shards[0]
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match="ended within"):
        checkpoint.tensors[-1].read()
