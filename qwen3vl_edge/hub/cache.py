"""The hub's shared cache on this disk: what it holds of one repository, and what was seen of it.

Layout (huggingface_hub 2.4.0, `file_download.py`), below ``models--ORG--NAME/``: ``blobs/HASH`` are the
files, ``snapshots/COMMIT/NAME`` links to them, ``refs/REVISION`` holds the commit that a revision meant last.
"""

import json
import os
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from qwen3vl_edge.errors import CheckpointError
from qwen3vl_edge.hub.contents import COMMIT, HubFile, Listing, content_hasher, is_wanted
from qwen3vl_edge.input_files import read_bytes
from qwen3vl_edge.json_fields import read_object
from qwen3vl_edge.paths import user_cache_dir

__all__ = ["HubCache"]

_BLOCK_BYTES = 1 << 20
_LISTING_LIMIT_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class HubCache:
    """The part of the cache folder `root` that belongs to one model repository."""

    root: Path
    repo_id: str

    @property
    def folder(self) -> Path:
        """Folder of the repository; it need not exist."""
        return self.root / f"models--{self.repo_id.replace('/', '--')}"

    def snapshot(self, commit: str) -> Path:
        """Folder in which the files of `commit` have their own names."""
        return self.folder / "snapshots" / commit

    def blob(self, file: HubFile) -> Path:
        """Where the content of `file` lies once it is complete."""
        return self.folder / "blobs" / file.blob

    def partial(self, file: HubFile) -> Path:
        """Where its first bytes wait for the rest; ``hf cache prune`` knows the suffix."""
        return self.folder / "blobs" / f"{file.blob}.qwen3vl-edge.incomplete"

    def lock(self, file: HubFile) -> Path:
        """The lock file that huggingface_hub takes as well while it writes this blob."""
        return self.root / ".locks" / self.folder.name / f"{file.blob}.lock"

    def missing_bytes(self, file: HubFile, commit: str) -> int:
        """How much of `file` is still to be downloaded."""
        if (self.snapshot(commit) / file.name).exists() or self.blob(file).exists():
            return 0
        try:
            held = self.partial(file).stat().st_size
        except FileNotFoundError:
            held = 0
        return file.size_bytes - held if held <= file.size_bytes else file.size_bytes

    def free_bytes(self) -> int:
        """Free space on the disk of the cache."""
        return shutil.disk_usage(next(path for path in self.folder.absolute().parents if path.exists())).free

    def link(self, file: HubFile, commit: str) -> None:
        """Give the blob of `file` its name in the snapshot, if it has none yet; the caller holds the lock."""
        pointer = self.snapshot(commit) / file.name
        if pointer.exists():
            return
        pointer.parent.mkdir(parents=True, exist_ok=True)
        pointer.unlink(missing_ok=True)  # a link to nothing
        try:
            pointer.symlink_to(Path("..", "..", "blobs", file.blob))
        except FileExistsError:  # another process made the same link just now
            pass
        except (OSError, NotImplementedError):  # no links on this disk: the file itself moves there
            self.blob(file).replace(pointer)

    def commit_of(self, revision: str) -> str | None:
        """Return the commit that `revision` meant when it was last asked for."""
        if COMMIT.fullmatch(revision):
            return revision
        ref = self.folder / "refs" / revision
        commit = ref.read_text("utf-8", "replace").strip() if ref.is_file() else ""
        return commit if COMMIT.fullmatch(commit) else None

    def remember(self, revision: str, commit: str) -> None:
        """Note which commit `revision` means."""
        if self.commit_of(revision) != commit:  # a complete cache may well be read-only
            _write_whole(self.folder / "refs" / revision, commit)

    def listing(self, commit: str) -> Listing | None:
        """Return what the hub has once listed for `commit`, as far as this program has seen it."""
        path = self._listing_record(commit)
        try:
            raw = read_bytes(path, _LISTING_LIMIT_BYTES, CheckpointError)
            return Listing.parse(raw, str(path), is_wanted)
        except CheckpointError:  # no record, or a damaged one
            return None

    def remember_listing(self, listing: Listing) -> None:
        """Note what the commit holds: without the hub, the cache alone does not tell what it lacks."""
        path = self._listing_record(listing.commit)
        if self.listing(listing.commit) != listing:
            with suppress(OSError):  # without a record a lack is found later, or warned of
                _write_whole(path, json.dumps(listing.to_dict()))

    def _listing_record(self, commit: str) -> Path:
        return user_cache_dir() / "listings" / self.folder.name / f"{commit}.json"

    def linked_blob(self, path: Path) -> str | None:
        """Return the hash that the link `path` names as its content's; None if it names none."""
        name = path.readlink().name if path.is_symlink() else ""
        return name if re.fullmatch(r"[0-9a-f]{64}|[0-9a-f]{40}", name) else None

    def is_verified(self, path: Path, blob: str) -> bool:
        """Whether `path`, unchanged since, was once seen to have this hash."""
        record = _record(blob)
        try:
            return record.exists() and read_object(record, 1024, CheckpointError) == _state(path)
        except CheckpointError:  # a damaged record is no record
            return False

    def note_verified(self, path: Path, blob: str) -> None:
        """Record that `path` as it is now has this hash, so that nobody reads gigabytes to know it again."""
        with suppress(OSError):  # without a record the file is hashed again, no more
            _write_whole(_record(blob), json.dumps(_state(path)))

    def verify(self, path: Path, blob: str, on_bytes: Callable[[int], None]) -> None:
        """Compare `path` with the hash `blob` of its content; `on_bytes` is told each number of bytes read.

        Raises:
            CheckpointError: it is another content; it has been removed, so that it can be fetched anew.
        """
        hasher = content_hasher(blob, path.stat().st_size)
        with path.open("rb") as source:
            while block := source.read(_BLOCK_BYTES):
                hasher.update(block)
                on_bytes(len(block))
        if hasher.hexdigest() != blob:
            self._discard(path)
            raise CheckpointError(
                f"{self.repo_id}: {path.name} in the cache has hash {hasher.hexdigest()}, {blob} is "
                "expected; the damaged copy was removed, run again to fetch it"
            )
        self.note_verified(path, blob)

    def _discard(self, path: Path) -> None:
        """Remove a file and the links that lead to it, as far as they lie within the cache."""
        root = self.root.absolute()
        path = path.absolute()
        while path.is_relative_to(root):
            target = Path(os.path.normpath(path.parent / path.readlink())) if path.is_symlink() else None
            path.unlink(missing_ok=True)
            if target is None:
                break
            path = target


def _record(blob: str) -> Path:
    return user_cache_dir() / "verified" / blob


def _state(path: Path) -> dict[str, object]:
    status = path.stat()
    return {"size_bytes": status.st_size, "mtime_ns": status.st_mtime_ns}


def _write_whole(path: Path, text: str) -> None:
    """Write so that no reader ever sees a part of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    draft.write_text(text, "utf-8")
    draft.replace(path)
