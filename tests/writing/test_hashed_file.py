import errno
import hashlib
from contextlib import closing
from pathlib import Path

import pytest

from qwen3vl_edge.writing.hashed_file import HashedFile


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 2, 1, 3), (0, 3, 2, 1), (3, 2, 1, 0), (0, 2, 3, 1)])
def test_any_order_gives_the_same_file_and_hash(tmp_path: Path, order: tuple[int, ...]) -> None:
    pieces = [b"a" * 10, b"b" * 3_000_000, b"c", b"d" * 77]
    starts = [sum(map(len, pieces[:i])) for i in range(len(pieces))]
    whole = b"".join(pieces)
    with closing(HashedFile(tmp_path / "file")) as file:
        for i in order:
            file.write(starts[i], memoryview(pieces[i]))
        assert file.finish() == (len(whole), hashlib.sha256(whole).hexdigest())
    assert (tmp_path / "file").read_bytes() == whole


def test_a_gap_shows(tmp_path: Path) -> None:
    with closing(HashedFile(tmp_path / "file")) as file:
        file.write(0, memoryview(b"12345"))
        file.write(6, memoryview(b"789"))
        assert file.finish() == (5, hashlib.sha256(b"12345").hexdigest())


def test_a_file_cut_off_behind_its_back(tmp_path: Path) -> None:
    with closing(HashedFile(tmp_path / "file")) as file:
        file.write(3, memoryview(b"456"))
        (tmp_path / "file").write_bytes(b"")
        with pytest.raises(OSError, match="shorter") as caught:
            file.write(0, memoryview(b"123"))
        assert caught.value.errno == errno.EIO
