"""A folder or a list of pictures as the frames of a clip."""

import re
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from qwen3vl_edge.clips import Footage
from qwen3vl_edge.content_hash import content_sha256
from qwen3vl_edge.errors import MediaError
from qwen3vl_edge.images import IMAGE_SUFFIXES, PICTURE_FAULTS, flatten
from qwen3vl_edge.video.timeline import Timeline

__all__ = ["Stills", "pictures_of"]

_CLOCK = re.compile(r"(?<!\d)(\d{1,3})[-_.h](\d{2})[-_.m](\d{2})(?:[._,](\d{1,3}))?s?$")
_SECONDS = re.compile(r"(?<![\d.])(\d{1,7}(?:\.\d{1,3})?)(m?)s$")


def pictures_of(folder: Path) -> list[Path]:
    """Give the pictures in `folder`, in the order of the numbers in their names.

    Raises:
        MediaError: There are none, or the folder cannot be read.
    """
    try:
        paths = [path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES]
    except OSError as error:
        raise MediaError(f"cannot be read ({error.strerror})") from error
    if not paths:
        raise MediaError("a folder without pictures; name a clip, or a folder with the frames of one")
    return sorted(paths, key=lambda path: _natural(path.name))


class Stills:
    """Pictures as frames: evenly at `fps`, or at the times that all their names end in.

    Such names end in seconds (``12.5s``), milliseconds (``12500ms``) or a clock (``00-00-12.500``).
    The first picture gives the size; others are stretched to it.

    Raises:
        MediaError: The first picture cannot be read, or two have the same time.
    """

    def __init__(self, paths: Sequence[Path], fps: float) -> None:
        self.notes: tuple[str, ...] = ()
        times = [_time_ms(path.stem) for path in paths]
        stamped = sorted((time, path) for time, path in zip(times, paths, strict=True) if time is not None)
        width, height = _read(paths[0]).size
        if len(paths) == 1 or len(stamped) < len(paths):
            self._paths, self._timeline = tuple(paths), None
            self.footage = Footage(len(paths), fps, width, height)
            return
        self._paths = tuple(path for _, path in stamped)
        self._timeline = _timeline([time for time, _ in stamped])
        line = self._timeline
        self.footage = Footage(line.n_steps, line.fps, width, height, line.starts_ms[0] / 1000)

    def identity(self, index: int) -> str:
        """Tell a frame by the content of its file."""
        path = self._path(index)
        try:
            return f"{content_sha256(path)} still"
        except OSError as error:
            raise MediaError(f"{path}: cannot be read ({error.strerror})") from error

    def image(self, index: int) -> Image.Image:
        """Give the picture that is seen at ``index / fps``, upright, RGB."""
        return _read(self._path(index))

    def close(self) -> None:
        """Nothing is kept open."""

    def _path(self, index: int) -> Path:
        return self._paths[index if self._timeline is None else self._timeline.frame_at(index)]


def _read(path: Path) -> Image.Image:
    try:
        with Image.open(path) as picture:
            return flatten(picture)
    except PICTURE_FAULTS as error:
        raise MediaError(f"{path}: {error}; leave it out or save it again") from error


def _timeline(times_ms: Sequence[int]) -> Timeline:
    """Give the timeline of pictures taken at these times; the last one is seen for an instant."""
    if len(set(times_ms)) < len(times_ms):
        raise MediaError("two of its pictures have the same time in their names; leave one out")
    grid = Timeline(tuple(times_ms[:-1]), times_ms[-1]).step_ms
    return Timeline(tuple(times_ms), times_ms[-1] + grid)


def _time_ms(stem: str) -> int | None:
    if found := _CLOCK.search(stem):
        hours, minutes, seconds = (int(found[number]) for number in (1, 2, 3))
        return ((hours * 60 + minutes) * 60 + seconds) * 1000 + int((found[4] or "").ljust(3, "0"))
    if found := _SECONDS.search(stem):
        return round(float(found[1]) * (1 if found[2] else 1000))
    return None


def _natural(name: str) -> list[tuple[int, str]]:
    """Key under which frame 10 comes after frame 9."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name.lower())]
