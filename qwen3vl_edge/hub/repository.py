"""The hub over HTTP: what a repository holds at a commit, and its files, with every failure in one line.

Session, token, headers and error types are huggingface_hub's. The bytes are streamed here: huggingface_hub
2.4.0 (`file_download.py`, ``_download_to_tmp_and_move``) deletes what it has when a download ends early, over
HTTP as over xet, so that a later run could not go on where the last one stopped.
"""

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager
from importlib import metadata
from pathlib import Path
from threading import Event
from urllib.parse import quote

import httpx2
from filelock import Timeout
from huggingface_hub import get_session, hf_hub_url, hf_raise_for_status
from huggingface_hub.constants import HF_HUB_DOWNLOAD_TIMEOUT
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import WeakFileLock, build_hf_headers  # type: ignore[attr-defined]  # lazy there

from qwen3vl_edge.errors import CheckpointError, EdgeError
from qwen3vl_edge.hub.contents import HubFile, Listing
from qwen3vl_edge.hub.http_errors import BUSY, HubUnreachableError, plain_errors, shown_url
from qwen3vl_edge.hub.reception import DamagedError, Reception

__all__ = ["HubRepository", "quiet"]

_RETRIES = 5  # in a row without a byte, as huggingface_hub
_FIRST_WAIT_SECONDS = 1.0  # doubled with each retry
_LISTING_LIMIT_BYTES = 32 << 20
_PERHAPS_TRANSIENT = (
    httpx2.TimeoutException,
    httpx2.NetworkError,
    httpx2.RemoteProtocolError,
    HfHubHTTPError,
)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep huggingface_hub's log off, which its own handler writes to standard error."""
    log = logging.getLogger("huggingface_hub")
    level = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        log.setLevel(level)


class HubRepository:
    """One model repository of the hub at `endpoint`."""

    def __init__(self, endpoint: str, repo_id: str) -> None:
        self._endpoint = endpoint
        self._repo_id = repo_id
        with plain_errors(self._endpoint, self._repo_id):
            self._headers = build_hf_headers(
                library_name="qwen3vl-edge", library_version=metadata.version("qwen3vl-edge")
            )
        token = self._headers.get("authorization", "")
        if not (token.isascii() and token.isprintable()):
            raise EdgeError("the token holds what no token can; set HF_TOKEN anew or run `hf auth login`")

    def listing(self, revision: str, wanted: Callable[[str], bool]) -> Listing:
        """Ask once for the commit that `revision` means and the files there whose name is `wanted`.

        Raises:
            HubUnreachableError: no connection, or the hub is down.
            CheckpointError: no such repository or revision, no access, or an answer that is not a listing.
        """
        url = f"{self._endpoint}/api/models/{self._repo_id}/revision/{quote(revision, safe='')}"
        with (
            plain_errors(self._endpoint, self._repo_id),
            self._get(url, params={"blobs": "true"}) as response,
        ):
            raw = bytearray()
            for chunk in response.iter_bytes():
                raw += chunk
                if len(raw) > _LISTING_LIMIT_BYTES:
                    raise CheckpointError(
                        f"{self._repo_id}: the hub's listing exceeds {_LISTING_LIMIT_BYTES} bytes"
                    )
        return Listing.parse(
            bytes(raw), f"{self._repo_id}: the listing of {shown_url(self._endpoint)}", wanted
        )

    def download(
        self, file: HubFile, commit: str, partial: Path, on_size: Callable[[int], None], stop: Event
    ) -> None:
        """Make `partial` the whole of `file`, going on from its end, and compare its hash.

        `on_size` is told the size reached, again and again. A lost connection is tried again after a while.

        Raises:
            EdgeError: the connection is lost for good; `partial` stays for the next run.
            CheckpointError: no access, or what came is not what the listing announced; `partial` is removed.
            CancelledError: `stop` was set.
        """
        url = hf_hub_url(self._repo_id, file.name, revision=commit, endpoint=self._endpoint)
        try:
            with partial.open("a+b") as target, plain_errors(self._endpoint, self._repo_id):
                reception = Reception(file, target, on_size, stop)
                while reception.size < file.size_bytes:
                    self._receive(url, reception)
                reception.check_hash()
        except HubUnreachableError as failure:
            raise EdgeError(
                f"{self._repo_id}: {file.name}: {failure}; run again to go on where it stopped"
            ) from failure
        except DamagedError as failure:
            partial.unlink(missing_ok=True)
            raise CheckpointError(
                f"{self._repo_id}: {file.name}: {failure}; run again to fetch it anew"
            ) from failure

    @contextmanager
    def locked(self, path: Path, stop: Event) -> Iterator[None]:
        """Hold the lock file `path`, which another process may keep for as long as it downloads.

        Raises:
            CancelledError: `stop` was set meanwhile.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as held:
            while True:
                try:
                    held.enter_context(WeakFileLock(path, timeout=1))
                    break
                except Timeout:
                    if stop.is_set():
                        raise CancelledError from None
            yield

    def _receive(self, url: str, reception: Reception) -> None:
        """Read one answer after the other until some bytes have come; they may not be all."""
        for retry in range(_RETRIES + 1):
            before = reception.size
            try:
                range_header = {"Range": f"bytes={before}-"} if before else {}
                with self._get(url, headers=range_header) as response:
                    reception.read(response)
                    return
            except _PERHAPS_TRANSIENT as failure:
                lasting = isinstance(failure, HfHubHTTPError) and failure.response.status_code not in BUSY
                if lasting or retry == _RETRIES:
                    raise
                if reception.size > before:
                    return
            if reception.stop.wait(_FIRST_WAIT_SECONDS * 2**retry):
                raise CancelledError

    @contextmanager
    def _get(
        self, url: str, *, params: dict[str, str] | None = None, headers: dict[str, str] | None = None
    ) -> Iterator[httpx2.Response]:
        # httpx drops the token when a redirect leads to another host, as to the one that serves large files
        merged = {**self._headers, "Accept-Encoding": "identity", **(headers or {})}
        with get_session().stream(
            "GET", url, params=params, headers=merged, timeout=HF_HUB_DOWNLOAD_TIMEOUT, follow_redirects=True
        ) as response:
            hf_raise_for_status(response)
            yield response
