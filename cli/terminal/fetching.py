"""A picture from the web: bounded in size and time, and nothing but a picture."""

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2

from qwen3vl_edge.cli.terminal.folders import private_folder
from qwen3vl_edge.errors import MediaError

__all__ = ["fetch_picture"]

_LIMIT_BYTES = 32 << 20
_LIMIT_S, _SILENCE_S = 30.0, 10.0
_MOST_REDIRECTS = 5
_SUFFIXES = {
    "image/avif": ".avif",
    "image/bmp": ".bmp",
    "image/gif": ".gif",
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "image/tiff": ".tif",
    "image/webp": ".webp",
}


def fetch_picture(url: str, folder: Path) -> Path:
    """Fetch the picture at `url` into `folder`, under the hash of its bytes, and give its path.

    Raises:
        MediaError: It cannot be had, takes too long, is too large, or is no picture.
        OSError: `folder` cannot be written.
    """
    shown = url if len(url) <= 100 else f"{url[:100]}…"
    try:
        with (
            httpx2.Client(follow_redirects=True, max_redirects=_MOST_REDIRECTS, timeout=_SILENCE_S) as client,
            client.stream("GET", url, headers={"accept": ", ".join(_SUFFIXES)}) as response,
        ):
            suffix = _checked(response, shown)
            raw = b"".join(_bounded(response.iter_bytes(), shown))
    except (httpx2.HTTPError, httpx2.InvalidURL, UnicodeError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise MediaError(
            f"{shown}: cannot be fetched ({reason}); save the picture and name the file"
        ) from error
    path = private_folder(folder) / f"{hashlib.sha256(raw).hexdigest()[:24]}{suffix}"
    path.write_bytes(raw)
    return path


def _checked(response: httpx2.Response, shown: str) -> str:
    """Give the suffix for what the answer holds."""
    if response.status_code != httpx2.codes.OK:
        raise MediaError(f"{shown}: the server answers HTTP {response.status_code}; is the address right?")
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in _SUFFIXES:
        raise MediaError(f"{shown}: not a picture, but {kind or 'of an unknown type'!r:.60}")
    return _SUFFIXES[kind]


def _bounded(pieces: Iterator[bytes], shown: str) -> Iterator[bytes]:
    n_bytes, end = 0, time.monotonic() + _LIMIT_S
    for piece in pieces:
        n_bytes += len(piece)
        if n_bytes > _LIMIT_BYTES:
            raise MediaError(f"{shown}: larger than {_LIMIT_BYTES >> 20} MiB; save it and name the file")
        if time.monotonic() > end:
            raise MediaError(f"{shown}: not there after {_LIMIT_S:.0f} s; save it and name the file")
        yield piece
