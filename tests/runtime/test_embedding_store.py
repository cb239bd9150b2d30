import errno
import logging
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from qwen3vl_edge.runtime import embedding_store
from qwen3vl_edge.runtime.embedding_store import EmbeddingStore

HEADER_BYTES = 8 + 4 * 4 + 32 + 16
LOGGER = "qwen3vl_edge.runtime"


def key(name: int) -> bytes:
    return sha256(bytes([name])).digest()


def values(n_tokens: int = 3, value: float = 1.5) -> NDArray[np.float32]:
    return np.full((n_tokens, 8), value, np.float32) * np.arange(1, 9, dtype=np.float32)


def entry(folder: Path, name: int) -> Path:
    return folder / f"{key(name).hex()}.embedding"


@pytest.fixture
def store(tmp_path: Path) -> EmbeddingStore:
    return EmbeddingStore(tmp_path, limit_bytes=100_000)


def written(store: EmbeddingStore, folder: Path, name: int = 0) -> Path:
    store.put(key(name), values())
    return entry(folder, name)


def used(path: Path, seconds: int) -> None:
    os.utime(path, (seconds, seconds))


def test_an_entry_comes_back_to_the_bit(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "when needed"
    strange = np.array([[np.nan, -0.0, np.inf, 1e-45]], np.float32)
    EmbeddingStore(folder, limit_bytes=1000).put(key(0), strange)
    found = EmbeddingStore(folder, limit_bytes=1000).get(key(0))
    assert found is not None
    assert found.dtype == np.float32
    assert found.tobytes() == strange.tobytes()
    assert (folder.stat().st_mode & 0o077) == 0, "pictures of others are nobody's business"
    assert (entry(folder, 0).stat().st_mode & 0o077) == 0


def test_the_columns_of_a_larger_array_are_kept_as_they_are(store: EmbeddingStore) -> None:
    store.put(key(0), values(5)[::2, 1::3])
    assert np.array_equal(store.get(key(0)), values(5)[::2, 1::3])  # type: ignore[arg-type]


def test_every_flipped_byte_is_noticed(store: EmbeddingStore, tmp_path: Path) -> None:
    path = written(store, tmp_path)
    sound = path.read_bytes()
    assert len(sound) == HEADER_BYTES + 3 * 8 * 4
    for position in range(len(sound)):
        damaged = bytearray(sound)
        damaged[position] ^= 0x10
        path.write_bytes(damaged)
        assert store.get(key(0)) is None, position
        of_others = position < 12  # the magic, or another version: not ours to remove
        assert path.exists() == of_others, position


@pytest.mark.parametrize(
    "damage",
    [
        *(lambda raw, n=n: raw[:n] for n in (*range(1, HEADER_BYTES + 2), HEADER_BYTES + 95)),
        lambda raw: raw + b"\0",
        lambda raw: raw + raw,
        lambda raw: raw[:8] + bytes(len(raw) - 8),
    ],
)
def test_an_entry_of_another_length_is_dropped(
    store: EmbeddingStore, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    path = written(store, tmp_path)
    path.write_bytes(damage(path.read_bytes()))
    assert store.get(key(0)) is None
    store.put(key(0), values())
    if len(damage(bytes(200))) >= 8:
        assert np.array_equal(store.get(key(0)), values())  # type: ignore[arg-type]


def test_an_entry_under_another_name_is_not_believed(store: EmbeddingStore, tmp_path: Path) -> None:
    written(store, tmp_path, 0).rename(entry(tmp_path, 1))
    assert store.get(key(1)) is None


@pytest.mark.parametrize("shape", [(0xFFFFFFFF, 0xFFFFFFFF), (1 << 20, 1 << 14), (0, 8), (3, 0)])
@pytest.mark.parametrize("sparse", [False, True])
def test_a_header_cannot_make_us_allocate(
    store: EmbeddingStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    shape: tuple[int, int],
    sparse: bool,
) -> None:
    path = written(store, tmp_path)
    raw = bytearray(path.read_bytes())
    raw[16:24] = struct.pack("<II", *shape)
    path.write_bytes(raw)
    size = HEADER_BYTES + shape[0] * shape[1] * 4
    if sparse and size < 1 << 40:  # the file has the declared size, in holes
        os.truncate(path, size)
    monkeypatch.setattr(np, "empty", lambda *_: pytest.fail("allocates before it checks"))
    assert store.get(key(0)) is None


def test_damage_is_logged_once_and_is_no_error(
    store: EmbeddingStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = written(store, tmp_path)
    path.write_bytes(path.read_bytes()[:-1])
    with caplog.at_level(logging.WARNING, LOGGER):
        assert store.get(key(0)) is None
        assert store.get(key(0)) is None
    (record,) = caplog.records
    assert str(path) in record.getMessage()


def test_the_longest_unused_go_first(tmp_path: Path) -> None:
    size = HEADER_BYTES + values().nbytes
    store = EmbeddingStore(tmp_path, limit_bytes=3 * size)
    for name in range(3):
        used(written(store, tmp_path, name), 1000 + name)
    assert store.get(key(0)) is not None
    assert entry(tmp_path, 0).stat().st_mtime > 1_000_000  # now the last one used
    used(entry(tmp_path, 0), 1003)
    store.put(key(3), values())
    assert [store.has(key(name)) for name in range(4)] == [True, False, True, True]
    store.put(key(4), values(6))
    assert [store.has(key(name)) for name in range(5)] == [False, False, False, True, True]
    store.put(key(5), values(100))  # larger than all: kept nowhere, and nothing makes room for it
    assert [store.has(key(name)) for name in (3, 4, 5)] == [True, True, False]


def test_what_a_crash_left_makes_room(tmp_path: Path) -> None:
    size = HEADER_BYTES + values().nbytes
    store = EmbeddingStore(tmp_path, limit_bytes=2 * size)
    draft = tmp_path / f".{key(7).hex()}.abc_1234.part"
    left = [draft, entry(tmp_path, 8), entry(tmp_path, 9)]
    for path, content in zip(left, (b"q3vlemb\n" + b"x" * size, b"", bytes(size)), strict=True):
        path.write_bytes(content)
        used(path, 1000)
    assert store.get(key(8)) is store.get(key(9)) is None
    store.put(key(0), values())
    store.put(key(1), values())
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [entry(tmp_path, 0).name, entry(tmp_path, 1).name]
    )


def test_entries_of_another_version_are_not_read_and_make_room(tmp_path: Path) -> None:
    size = HEADER_BYTES + values().nbytes
    store = EmbeddingStore(tmp_path, limit_bytes=size + 20)
    newer = entry(tmp_path, 1)
    newer.write_bytes(b"q3vlemb\n" + struct.pack("<I", 2) + b"?" * 90)
    assert store.get(key(1)) is None
    assert newer.exists()
    store.put(key(0), values())
    assert store.has(key(0))
    assert not newer.exists()


def test_what_is_not_ours_is_neither_read_nor_removed(tmp_path: Path) -> None:
    folder, outside = tmp_path / "store", tmp_path / "outside"
    store = EmbeddingStore(folder, limit_bytes=300)
    sound = written(EmbeddingStore(tmp_path, limit_bytes=1000), tmp_path, 2)
    folder.mkdir()
    outside.write_bytes(b"q3vlemb\n" + b"precious" * 50)
    entry(folder, 1).write_text("another program's, by chance of this name, and long enough to be a header")
    entry(folder, 2).symlink_to(sound)
    entry(folder, 3).symlink_to(outside)
    entry(folder, 4).mkdir()
    os.mkfifo(entry(folder, 5))  # opening it would wait forever
    (folder / "notes.txt").write_bytes(b"q3vlemb\n" * 100)
    (folder / f"{'A' * 64}.embedding").write_bytes(b"q3vlemb\n" * 100)
    before = sorted(path.name for path in folder.iterdir())
    for name in range(1, 6):
        assert store.get(key(name)) is None
        store.put(key(name), values())
    store.put(key(6), values())
    store.put(key(7), values())
    after = sorted(path.name for path in folder.iterdir())
    assert after == sorted([*before, entry(folder, 7).name])
    assert outside.read_bytes() == b"q3vlemb\n" + b"precious" * 50
    assert sound.exists()
    assert entry(folder, 1).read_text().startswith("another program's")


def refusing(code: int) -> Callable[..., object]:
    def refuse(*_: object, **__: object) -> object:
        raise OSError(code, os.strerror(code))

    return refuse


def test_a_read_only_folder_is_read_and_warned_of_once(
    store: EmbeddingStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    written(store, tmp_path)
    monkeypatch.setattr(embedding_store.tempfile, "mkstemp", refusing(errno.EROFS))
    monkeypatch.setattr(os, "utime", refusing(errno.EROFS))
    with caplog.at_level(logging.WARNING, LOGGER):
        for name in (1, 2, 3):
            store.put(key(name), values())
        assert store.get(key(0)) is not None
    (record,) = caplog.records
    assert "Read-only file system" in record.getMessage()


def test_a_folder_that_cannot_be_made_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("in the way")
    store = EmbeddingStore(tmp_path / "file" / "store", limit_bytes=1000)
    with caplog.at_level(logging.WARNING, LOGGER):
        assert store.get(key(0)) is None
        store.put(key(0), values())
    assert "Not a directory" in caplog.text


def test_a_full_disk_leaves_nothing_behind(
    store: EmbeddingStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = written(store, tmp_path)

    def full(descriptor: int, mode: str) -> object:
        os.close(descriptor)
        return open("/dev/full", mode, buffering=0)  # noqa: PTH123 -- as os.fdopen gives it

    monkeypatch.setattr(os, "fdopen", full)
    with caplog.at_level(logging.WARNING, LOGGER):
        store.put(key(1), values())
        store.put(key(2), values())
    (record,) = caplog.records
    assert "No space left" in record.getMessage()
    assert list(tmp_path.iterdir()) == [path]
    assert store.get(key(0)) is not None


def test_a_draft_that_made_room_for_another_is_no_failure(
    store: EmbeddingStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def gone(draft: Path, _target: Path) -> None:
        draft.unlink()
        raise FileNotFoundError(errno.ENOENT, "gone")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", gone)
        store.put(key(0), values())
    store.put(key(1), values())
    assert [store.has(key(0)), store.has(key(1))] == [False, True]
    assert not caplog.records


def test_processes_share_a_small_store(tmp_path: Path) -> None:
    limit, folder = 100_000, tmp_path / "store"
    command = [sys.executable, str(Path(__file__).with_name("embedding_hammer.py")), str(folder), str(limit)]
    hammers = [
        subprocess.Popen([*command, str(seed)], stderr=subprocess.PIPE, text=True) for seed in range(3)
    ]
    for hammer in hammers:
        _, complaint = hammer.communicate()
        assert (hammer.returncode, complaint) == (0, "")
    left = list(folder.iterdir())
    assert not [path for path in left if path.suffix == ".part"]
    largest = HEADER_BYTES + 20 * 1024
    assert 0 < sum(path.stat().st_size for path in left) <= limit + 2 * largest
