"""A checkpoint by its name on the hub: found in the shared cache, or fetched into it."""

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from errno import EDQUOT, ENOSPC
from pathlib import Path

from qwen3vl_edge.errors import EdgeError, UsageError, join_problems
from qwen3vl_edge.hub.cache import HubCache
from qwen3vl_edge.hub.contents import (
    CONFIG,
    INDEX,
    Listing,
    is_small,
    is_wanted,
    shard_names,
    unusual_absences,
)
from qwen3vl_edge.hub.fetch import Fetch, verify
from qwen3vl_edge.hub.settings import hub_cache_folder, hub_endpoint, hub_offline
from qwen3vl_edge.progress import SILENT, Progress

__all__ = ["HubCheckpoint", "HubReference", "fetch_checkpoint", "parse_reference"]

_REPO_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9_][\w.-]*", re.ASCII)
_WEB_ADDRESS = re.compile(r"https?://[^/]*(?:/(?P<repo>[^/?#]+/[^/?#]+))?", re.ASCII)
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

    The rules for names are those of huggingface_hub 2.4.0 (``utils/_validators.py``). What ends in
    ``.gguf`` is a path: no checkpoint is called so.

    Raises:
        UsageError: it is a web address.
    """
    if address := _WEB_ADDRESS.match(text):
        wanted = f"give {address['repo']}" if address["repo"] else "give ORG/NAME"
        raise UsageError(f"{text!r:.200} is a web address; {wanted}, as the hub calls the checkpoint")
    repo_id, at, revision = text.partition("@")
    faulty = "--" in repo_id or ".." in text or len(repo_id) > 96
    faulty = faulty or repo_id.lower().endswith((".", "-", ".git", ".gguf"))
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
            cache.remember_listing(listing)
            Fetch(cache, repository, listing).run(weights, progress)
        cache.remember(revision, listing.commit)
    return HubCheckpoint(reference, listing.commit, cache.snapshot(listing.commit))


def _cached(
    cache: HubCache, reference: HubReference, weights: bool, progress: Progress, reason: str
) -> HubCheckpoint:
    """Find the checkpoint in the cache alone; `reason` says why."""
    commit = cache.commit_of(reference.revision or "main")
    folder = cache.snapshot(commit or "none")
    listing = cache.listing(commit) if commit else None
    if (folder / INDEX).exists():
        verify(cache, _known_hashes(cache, folder, listing, [INDEX]), SILENT)  # it names the others
    names = _needed(folder, listing, weights)
    missing = [name for name in names if not (folder / name).exists()]
    if commit is None or missing:
        lack = f"lacks {join_problems(missing)} of {reference}" if commit else f"does not hold {reference}"
        raise EdgeError(
            f"{reason}, and the cache {cache.root} {lack}; connect and run again, or give the path of a "
            "checkpoint folder"
        )
    verify(cache, _known_hashes(cache, folder, listing, names), progress)
    if listing is None and (absent := unusual_absences(folder)):
        _log.warning(
            "%s: the cache lacks %s; if the repository has it, connect and run again to have it used",
            reference,
            join_problems(absent),
        )
    return HubCheckpoint(reference, commit, folder)


def _needed(folder: Path, listing: Listing | None, weights: bool) -> list[str]:
    """Name what the cache must hold; without a listing, what is there is all that is known."""
    if listing is not None:
        small_and_shards = [file.name for file in listing.needed(folder, weights=weights)]
    else:
        small = [path.name for path in sorted(folder.glob("*")) if is_small(path.name)]
        small_and_shards = small + (shard_names(folder) if weights else [])
    return list(dict.fromkeys([CONFIG, *small_and_shards]))


def _known_hashes(
    cache: HubCache, folder: Path, listing: Listing | None, names: Sequence[str]
) -> dict[Path, str]:
    """Give the hashes by the listing, else those that the links in the cache tell."""
    if listing is not None:
        return {folder / name: listing.files[name].blob for name in names if name in listing.files}
    linked = {folder / name: cache.linked_blob(folder / name) for name in names}
    return {path: blob for path, blob in linked.items() if blob is not None}


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
