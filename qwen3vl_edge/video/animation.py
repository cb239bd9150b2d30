"""Animated pictures (GIF, WebP, APNG, AVIF) and single ones as clips, through Pillow."""

from pathlib import Path

from PIL import Image, UnidentifiedImageError

from qwen3vl_edge.clips import Footage
from qwen3vl_edge.content_hash import content_sha256
from qwen3vl_edge.errors import MediaError
from qwen3vl_edge.images import PICTURE_FAULTS, flatten
from qwen3vl_edge.video.timeline import Timeline

__all__ = ["Animation", "is_picture"]

_MAGIC = (b"GIF8", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM")
_HASTE_MS, _UNHURRIED_MS = 10, 100
"""Browsers show frames of at most so little for so long: such GIFs are old and mean that."""


def is_picture(head: bytes) -> bool:
    """Whether a file that begins so is one for Pillow, whatever its name says."""
    is_webp = head[:4] == b"RIFF" and head[8:12] == b"WEBP"
    return is_webp or head[4:12] in {b"ftypavif", b"ftypavis"} or head.startswith(_MAGIC)


class Animation:
    """The frames of an animated picture, each for as long as it says.

    Raises:
        MediaError: It cannot be read, or its first frame cannot be decoded.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.notes: tuple[str, ...] = ()
        self._picture: Image.Image | None = None
        try:
            self._sha256 = content_sha256(path)
            with Image.open(path) as picture:
                self._timeline, (width, height) = self._timed(picture)
        except UnidentifiedImageError as error:
            raise MediaError("damaged, or a picture of an unknown kind; save it again") from error
        except PICTURE_FAULTS as error:
            raise MediaError(f"damaged picture ({_reason(error)}); save it again") from error
        self.footage = Footage(self._timeline.n_steps, self._timeline.fps, width, height)

    @property
    def n_decoded(self) -> int:
        """How many frames there are, each of which was decoded once."""
        return len(self._timeline.starts_ms)

    def identity(self, index: int) -> str:
        """Tell a frame by the file's content and its place there."""
        return f"{self._sha256} {self._timeline.frame_at(index)} of an animation"

    def image(self, index: int) -> Image.Image:
        """Give the frame that is seen at ``index / fps``, upright, RGB."""
        try:
            if self._picture is None:
                self._picture = Image.open(self._path)
            return _frame(self._picture, self._timeline.frame_at(index))
        except PICTURE_FAULTS as error:
            raise MediaError(f"{self._path}: {_reason(error)}; save the picture again") from error

    def close(self) -> None:
        """Close the file."""
        if self._picture is not None:
            self._picture.close()
        self._picture = None

    def _timed(self, picture: Image.Image) -> tuple[Timeline, tuple[int, int]]:
        """Give the timeline, and (width, height) of the frames in px.

        All of them are decoded once, one at a time, for their durations; those behind damage are left out.
        """
        durations: list[int] = []
        size, n_claimed = picture.size, 1
        try:
            n_claimed = getattr(picture, "n_frames", 1)
            for number in range(n_claimed):
                size = _frame(picture, number).size
                told_ms = picture.info.get("duration", 0)
                durations.append(round(told_ms) if told_ms > _HASTE_MS else _UNHURRIED_MS)
        except PICTURE_FAULTS as error:
            if not durations:
                raise MediaError(f"damaged picture ({_reason(error)}); save it again") from error
            self.notes = (
                f"{self._path.name}: only {len(durations)} of its {n_claimed} frames can be read and shown",
            )
        return Timeline.of_durations(durations), size


def _frame(picture: Image.Image, number: int) -> Image.Image:
    picture.seek(number)
    return flatten(picture)


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__
