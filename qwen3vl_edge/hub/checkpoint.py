"""A checkpoint by its name on the hub: found in the shared cache, or fetched into it."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from errno import EDQUOT, ENOSPC
from pathlib import Path

from qwen3vl_edge.errors import EdgeError, join_problems
from qwen3vl_edge.hub.cache import HubCache, hub_cache_folder, hub_endpoint, hub_offline
from qwen3vl_edge.hub.contents import CONFIG, is_wanted, shard_names
from qwen3vl_edge.hub.fetch import Fetch, verify
from qwen3vl_edge.progress import SILENT, Progress

__all__ = ["HubCheckpoint", "HubReference", "fetch_checkpoint", "parse_reference"]

_REPO_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9_][\w.-]*", re.ASCII)
_REVISION = re.compile(r"\w[\w.+-]*(?:/\w[\w.+-]*)*", re.ASCII)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HubReference:
    """A repository ``org/name`` and a branch, tag or commit of it (None: ``main``), as the user gave it."""

    repo_id: str
    revision: str | None

    def __str__(self) -> str:
        """Return it as the command line takes it."""
        return self.repo_id if self.revision is None else f"{self.repo_id}@{self.revision}"


@dataclass(frozen=True, slots=True)
class HubCheckpoint:
    """A checkpoint in the cache; `commit` (40 hex digits) is what `reference` meant, `folder` holds it."""

    reference: HubReference
    commit: str
    folder: Path


def parse_reference(text: str) -> HubReference | None:
    """Read ``org/name`` or ``org/name@revision``; None if `text` can be neither, as a path with ``./`` is.

    The rules for names are those of huggingface_hub 2.4.0 (``utils/_validators.py``).
    """
    repo_id, at, revision = text.partition("@")
    faulty = "--" in repo_id or ".." in text or repo_id.endswith((".", "-", ".git")) or len(repo_id) > 96
    if faulty or not _REPO_ID.fullmatch(repo_id) or (at and not _REVISION.fullmatch(revision)):
        return None
    return HubReference(repo_id, revision or None)


def fetch_checkpoint(
    reference: HubReference, *, weights: bool = True, progress: Progress = SILENT
) -> HubCheckpoint:
    """Make sure that the shared cache holds the files of `reference` that a conversion reads, and no others.

    Without `weights` no safetensors file is fetched. ``HF_ENDPOINT``, ``HF_TOKEN``, ``HF_HOME``,
    ``HF_HUB_CACHE`` and ``HF_HUB_OFFLINE`` mean what they mean to huggingface_hub. All files are of one
    commit; each is compared with the hash of the hub's listing, once. What an interrupted call has got, the
    next one uses. `progress` sees the bytes that are still to come, as "fetching".

    Raises:
        CheckpointError: no such repository or revision, no access, files missing there, damaged files.
        EdgeError: no network and not all in the cache, a lost connection, a full disk.
    """
    cache = HubCache(hub_cache_folder(), reference.repo_id)
    revision = reference.revision or "main"
    with _disk_errors(cache.root):
        if hub_offline():
            return _cached(cache, reference, weights, progress, "HF_HUB_OFFLINE is set")
        # these load huggingface_hub, which takes its time
        from qwen3vl_edge.hub.http_errors import HubUnreachableError  # noqa: PLC0415
        from qwen3vl_edge.hub.repository import HubRepository, quiet  # noqa: PLC0415

        with quiet():
            repository = HubRepository(hub_endpoint(), reference.repo_id)
            try:
                listing = repository.listing(revision, is_wanted)
            except HubUnreachableError as failure:
                checkpoint = _cached(cache, reference, weights, progress, str(failure))
                _log.warning("%s; using %s from the cache, commit %s", failure, reference, checkpoint.commit)
                return checkpoint
            Fetch(cache, repository, listing).run(weights, progress)
        cache.remember(revision, listing.commit)
    return HubCheckpoint(reference, listing.commit, cache.snapshot(listing.commit))


def _cached(
    cache: HubCache, reference: HubReference, weights: bool, progress: Progress, reason: str
) -> HubCheckpoint:
    """Find the checkpoint in the cache alone; `reason` says why."""
    commit = cache.commit_of(reference.revision or "main")
    folder = cache.snapshot(commit or "none")
    names = [CONFIG, *(shard_names(folder) if weights else [])]
    missing = [name for name in names if not (folder / name).exists()]
    if commit is None or missing:
        lack = f"lacks {join_problems(missing)} of {reference}" if commit else f"does not hold {reference}"
        raise EdgeError(
            f"{reason}, and the cache {cache.root} {lack}; connect and run again, or give the path of a "
            "checkpoint folder"
        )
    hashes = {folder / name: cache.linked_sha256(folder / name) for name in names}
    verify(cache, {path: sha256 for path, sha256 in hashes.items() if sha256 is not None}, progress)
    return HubCheckpoint(reference, commit, folder)


@contextmanager
def _disk_errors(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as failure:
        if failure.errno in {ENOSPC, EDQUOT}:
            raise EdgeError(f"{root}: the disk is full; make room, then run again to go on") from failure
        raise EdgeError(
            f"{failure.filename or root}: {failure.strerror}; HF_HUB_CACHE can name another folder"
        ) from failure
