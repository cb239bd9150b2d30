"""One pass through a container with OpenCV, its frames numbered by the time at which they are seen."""

import math
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
from PIL import Image

from qwen3vl_edge.errors import MediaError
from qwen3vl_edge.video.refusals import is_playlist, why_unreadable

__all__ = ["Capture", "opened"]

_FALLBACK_FPS = 24.0
"""Frame rate of a container that states none (transformers 5.23 ``Qwen3VLVideoProcessor.sample_frames``)."""
_MAX_FPS = 100_000.0  # more is damage; 90000 is the clock of MPEG
_ATTEMPTS = 8  # grabs that may fail in a row before what is left is given up
_LONGEST_HOLD_MS = 3_600_000.0  # a clock that jumps further is damaged
_HEAD_BYTES = 64


class Capture:
    """An open container. ``number`` is that of the frame grabbed last, on the grid of ``fps``.

    Numbers follow presentation times (``CAP_PROP_POS_MSEC``), so they are those of the frames where these
    come evenly, and true to the time where they do not. Where the clock stands still, frames are
    counted, and `clock_runs` is False: positions after `jump` would mean nothing.

    Raises:
        MediaError: OpenCV cannot open the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._capture = _open(path)
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = fps if 0 < fps < _MAX_FPS else _FALLBACK_FPS
        n_claimed = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.n_claimed = int(n_claimed) if 0 < n_claimed < 1 << 40 else 0
        """Frames that the container claims to hold; 0 where it does not know (recorded live)."""
        self.number = -1
        self.clock_runs = True
        self._clock_ms = -math.inf
        self._origin_ms: float | None = None

    def grab(self) -> bool:
        """Go to the next frame; False at the end, or where nothing more can be decoded."""
        if any(self._capture.grab() for _ in range(_ATTEMPTS)):
            self._follow_clock()
            return True
        return False

    def retrieve(self) -> Image.Image | None:
        """Give the frame grabbed last, upright, RGB; None if it is damaged."""
        whole, bgr = self._capture.retrieve()
        return Image.fromarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)) if whole else None

    def jump(self, number: int) -> bool:
        """Go to a frame, or one before it; False if the container does not lead there."""
        if self._origin_ms is None and not self.grab():
            return False
        self._capture.set(cv2.CAP_PROP_POS_FRAMES, number)
        self._clock_ms = -math.inf
        return self.grab() and self.number <= number

    def rewind(self) -> None:
        """Stand before the first frame again."""
        self._capture.release()
        self._capture = _open(self._path)
        self.number, self._clock_ms = -1, -math.inf

    def close(self) -> None:
        """Free the decoder."""
        self._capture.release()

    def _follow_clock(self) -> None:
        told_ms, last_ms = self._capture.get(cv2.CAP_PROP_POS_MSEC), self._clock_ms
        if last_ms == -math.inf or last_ms < told_ms < last_ms + _LONGEST_HOLD_MS:
            self._clock_ms = told_ms
        else:
            self.clock_runs = False
            self._clock_ms = last_ms + 1000 / self.fps
        if self._origin_ms is None:
            self._origin_ms = self._clock_ms
        self.number = round((self._clock_ms - self._origin_ms) * self.fps / 1000)


@contextmanager
def opened(path: Path) -> Iterator[cv2.VideoCapture]:
    """Open a container for what its header says.

    Raises:
        MediaError: OpenCV cannot open it.
    """
    capture = _open(path)
    try:
        yield capture
    finally:
        capture.release()


def _open(path: Path) -> cv2.VideoCapture:
    # Native complaints about a damaged file would stand beside our one line. FFmpeg's level is read
    # when the first file is opened: -8 is AV_LOG_QUIET.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        with path.open("rb") as file:
            if is_playlist(file.read(_HEAD_BYTES)):
                raise MediaError("a playlist, not a clip; give the clips themselves")
        with _as_text(path) as name:
            capture = cv2.VideoCapture(name, _backend())
        if not capture.isOpened():
            raise MediaError(why_unreadable(path))
    except OSError as error:
        raise MediaError(f"cannot be read ({error.strerror})") from error
    return capture


def _backend() -> int:
    """FFmpeg where OpenCV has it: others take a % in a name for a numbered series of pictures."""
    has_ffmpeg = cv2.CAP_FFMPEG in cv2.videoio_registry.getBackends()
    return cv2.CAP_FFMPEG if has_ffmpeg else cv2.CAP_ANY


@contextmanager
def _as_text(path: Path) -> Iterator[str]:
    """Give a name for `path` that OpenCV can take: version 5.0.0 dies of one that is not valid UTF-8.

    It begins at the root, so that FFmpeg takes nothing in it for a protocol.
    """
    whole = path.absolute()
    try:
        str(whole).encode("utf-8")
    except UnicodeEncodeError:
        with tempfile.TemporaryDirectory() as folder:
            link = Path(folder) / "clip"
            link.symlink_to(whole)
            yield str(link)
    else:
        yield str(whole)
