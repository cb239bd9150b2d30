"""The files of one commit on their way into the cache: several at a time, each verified, none twice."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from threading import Event, Lock
from typing import TYPE_CHECKING

from qwen3vl_edge.errors import CheckpointError, EdgeError, join_problems
from qwen3vl_edge.hub.cache import HubCache
from qwen3vl_edge.hub.contents import CONFIG, INDEX, SINGLE, HubFile, Listing, is_small
from qwen3vl_edge.hub.streams import run_all
from qwen3vl_edge.progress import SILENT, Progress, Task

if TYPE_CHECKING:
    from qwen3vl_edge.hub.repository import HubRepository

__all__ = ["Fetch", "verify"]

_SMALL_LIMIT_BYTES = 256 << 20  # the largest of the family, tokenizer.json, has 11 MB
_STREAMS = 4  # downloads at a time


class Fetch:
    """The files of one listing on their way into the cache."""

    def __init__(self, cache: HubCache, repository: "HubRepository", listing: Listing) -> None:
        self._cache = cache
        self._repository = repository
        self._listing = listing
        self._folder = cache.snapshot(listing.commit)

    def run(self, weights: bool, progress: Progress) -> None:
        """Fetch what is missing, verify what was there."""
        files = self._listing.files
        self._check(CONFIG in files, "it has no config.json")
        self._check(INDEX in files or SINGLE in files, f"it has neither {INDEX} nor {SINGLE}")
        huge = [
            name for name, file in files.items() if is_small(name) and file.size_bytes > _SMALL_LIMIT_BYTES
        ]
        self._check(not huge, f"{join_problems(huge)} is larger than {_SMALL_LIMIT_BYTES} bytes")
        if INDEX in files:
            self._obtain([files[INDEX]], SILENT)  # first, for it names the others
        self._obtain(self._listing.needed(self._folder, weights=weights), progress)

    def _check(self, sound: bool, fault: str) -> None:
        if not sound:
            raise CheckpointError(
                f"{self._cache.repo_id}@{self._listing.commit[:12]}: {fault}; is it a Qwen3-VL checkpoint?"
            )

    def _obtain(self, files: Sequence[HubFile], progress: Progress) -> None:
        """Fetch what is missing of `files`, verify what was there."""
        self._fetch(files, progress)
        verify(self._cache, {self._folder / file.name: file.blob for file in files}, progress)

    def _fetch(self, files: Sequence[HubFile], progress: Progress) -> None:
        """Download what is missing of `files`, several at a time; the smallest first."""
        missing = {file: self._cache.missing_bytes(file, self._listing.commit) for file in files}
        total = sum(missing.values())
        if total > (free := self._cache.free_bytes()):
            raise EdgeError(
                f"{self._cache.root}: {total:,} bytes are to be downloaded, {free:,} are free; make room, or "
                "set HF_HUB_CACHE to a folder on a larger disk"
            )
        todo = {file: size for file, size in missing.items() if not (self._folder / file.name).exists()}
        if not todo:
            return
        lock = Lock()
        with progress.task("fetching", total, "bytes") as task:
            run_all(
                [
                    partial(self._fetch_file, file, _Share(file.size_bytes - size, task, lock))
                    for file, size in sorted(todo.items(), key=lambda item: item[0].size_bytes)
                ],
                _STREAMS,
            )

    def _fetch_file(self, file: HubFile, share: "_Share", stop: Event) -> None:
        blob, begun = self._cache.blob(file), self._cache.partial(file)
        blob.parent.mkdir(parents=True, exist_ok=True)
        with self._repository.locked(self._cache.lock(file), stop):
            if not blob.exists():
                self._repository.download(file, self._listing.commit, begun, share.reached, stop)
                begun.replace(blob)
                self._cache.note_verified(blob, file.blob)
            share.reached(file.size_bytes)
            self._cache.link(file, self._listing.commit)


class _Share:
    """The part of one file in the task: bytes that come a second time, after a restart, do not count."""

    def __init__(self, size: int, task: Task, lock: Lock) -> None:
        self._size = size
        self._task = task
        self._lock = lock

    def reached(self, size: int) -> None:
        """Note that the file has grown to `size` bytes."""
        if size > self._size:
            with self._lock:  # not every task takes news from several threads
                self._task.advance(size - self._size)
            self._size = size


def verify(cache: HubCache, expected: Mapping[Path, str], progress: Progress) -> None:
    """Hash those of `expected` (path -> hash) that nobody has hashed since they were written."""
    doubtful = {path: blob for path, blob in expected.items() if not cache.is_verified(path, blob)}
    if not doubtful:
        return
    with progress.task("verifying", sum(path.stat().st_size for path in doubtful), "bytes") as task:
        for path, blob in doubtful.items():
            cache.verify(path, blob, task.advance)
