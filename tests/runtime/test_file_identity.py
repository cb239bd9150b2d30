import hashlib
import os
import shutil
from pathlib import Path

import pytest

from qwen3vl_edge import content_hash
from qwen3vl_edge.bundle import Bundle
from qwen3vl_edge.errors import GGUFError
from qwen3vl_edge.gguf_info import GGUFInfo
from qwen3vl_edge.runtime.file_identity import model_identity, projector_identity


@pytest.fixture(autouse=True)
def _new_files_are_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test's files count as old: it writes and hashes them within one second."""
    monkeypatch.setattr(content_hash, "_SETTLED_NS", -10_000_000_000)


def flip(path: Path, position: int) -> None:
    """Change one byte and set the time of change back, as an archive's unpacking does."""
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(position)
        byte = file.read(1)[0]
        file.seek(position)
        file.write(bytes([byte ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.fixture
def projector(tiny_bundle: Bundle, tmp_path: Path) -> Path:
    return Path(shutil.copy(tiny_bundle.projector, tmp_path / "mmproj.gguf"))


def test_a_projector_is_its_content_wherever_it_lies(tiny_bundle: Bundle, projector: Path) -> None:
    expected = hashlib.sha256(projector.read_bytes()).hexdigest()
    assert projector_identity(projector) == projector_identity(tiny_bundle.projector) == expected


@pytest.mark.parametrize("where", [100, -1, -7777])
def test_one_byte_makes_another_projector(projector: Path, where: int) -> None:
    before = projector_identity(projector)
    flip(projector, where % projector.stat().st_size)
    assert projector_identity(projector) != before


def test_an_unchanged_projector_is_hashed_once(projector: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = projector_identity(projector)
    monkeypatch.setattr(content_hash.hashlib, "file_digest", lambda *_: pytest.fail("is hashed again"))
    assert projector_identity(projector) == before


def test_a_file_that_changes_just_now_is_not_remembered(
    projector: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(content_hash, "_SETTLED_NS", 2_000_000_000)
    projector_identity(projector)
    monkeypatch.setattr(content_hash.hashlib, "file_digest", lambda *_: pytest.fail("is hashed again"))
    with pytest.raises(pytest.fail.Exception):
        projector_identity(projector)


@pytest.mark.parametrize("damage", [b"", b"{", b"[1]", b'{"state": 1, "sha256": 2}', b"\xff" * 99_999])
def test_a_damaged_record_is_none(projector: Path, damage: bytes) -> None:
    expected = projector_identity(projector)
    record = content_hash._record([str(projector.resolve())])
    assert record.exists()
    record.write_bytes(damage)
    assert projector_identity(projector) == expected


def test_a_cache_folder_that_cannot_be_written_to_is_done_without(
    projector: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert projector_identity(projector) == hashlib.sha256(projector.read_bytes()).hexdigest()


@pytest.mark.parametrize("identity", [projector_identity, model_identity])
def test_a_missing_file_is_said(identity: type[str], tmp_path: Path) -> None:
    with pytest.raises(GGUFError, match="gone.gguf: cannot be read"):
        identity(tmp_path / "gone.gguf")


def test_a_model_is_its_header_and_samples_of_each_tensor(tiny_bundle: Bundle, tmp_path: Path) -> None:
    copy = Path(shutil.copy(tiny_bundle.model, tmp_path / "copy.gguf"))
    expected = model_identity(tiny_bundle.model)
    assert model_identity(copy) == expected
    info = GGUFInfo.read(copy)
    seen = {expected}
    for tensor in info.tensors:
        for position in (
            tensor.offset,
            tensor.offset + tensor.nbytes // 2,
            tensor.offset + tensor.nbytes - 1,
        ):
            flip(copy, position)
            assert model_identity(copy) not in seen, tensor.name
            seen.add(model_identity(copy))
    shutil.copy(tiny_bundle.model, copy)
    flip(copy, copy.read_bytes().index(b"general.name") + len("general.name") + 12)
    assert model_identity(copy) not in seen
