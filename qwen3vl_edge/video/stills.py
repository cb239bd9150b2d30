"""A folder or a list of pictures as the frames of a clip."""

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

from PIL import Image

from qwen3vl_edge.clips import Footage
from qwen3vl_edge.content_hash import content_sha256
from qwen3vl_edge.errors import MediaError
from qwen3vl_edge.images import IMAGE_SUFFIXES, PICTURE_FAULTS, flatten
from qwen3vl_edge.picture_files import picture_in
from qwen3vl_edge.video.timeline import Timeline

__all__ = ["Stills", "pictures_of"]

_CLOCK = re.compile(r"(?<!\d)(\d{1,3})[-_.h](\d{2})[-_.m](\d{2})(?:[._,](\d{1,3}))?s?$")
_UNREADABLE = (*PICTURE_FAULTS, MediaError)  # the latter: of a kind that needs an extra
_SECONDS = re.compile(r"(?<![\d.])(\d{1,7}(?:\.\d{1,3})?)(m?)s$")


def pictures_of(folder: Path) -> list[Path]:
    """Give the pictures in `folder` that are not hidden, in the order of the numbers in their names.

    Raises:
        MediaError: There are none, or the folder cannot be read.
    """
    try:
        paths = [path for path in folder.iterdir() if _is_frame(path)]
    except OSError as error:
        raise MediaError(f"cannot be read ({error.strerror})") from error
    if not paths:
        raise MediaError("a folder without pictures; name a clip, or a folder with the frames of one")
    return sorted(paths, key=lambda path: _natural(path.name))


class Stills:
    """Pictures as frames: evenly at `fps`, or at the times that all their names end in.

    Such names end in seconds (``12.5s``), milliseconds (``12500ms``) or a clock (``00-00-12.500``).
    The first picture that can be read gives the size; others are stretched to it. In place of one that
    cannot be read the one before it is shown, or, at the beginning, the one after it.

    Raises:
        MediaError: No picture can be read, or two have the same time.
    """

    def __init__(self, paths: Sequence[Path], fps: float) -> None:
        times = [_time_ms(path.stem) for path in paths]
        stamped = sorted((time, path) for time, path in zip(times, paths, strict=True) if time is not None)
        is_stamped = len(paths) > 1 and len(stamped) == len(paths)
        self._paths = tuple(path for _, path in stamped) if is_stamped else tuple(paths)
        self._timeline = _timeline([time for time, _ in stamped]) if is_stamped else None
        self._begins_well: dict[int, bool] = {}
        self._damaged: list[int] = []
        width, height = self._nearest(0).size
        if self._timeline is None:
            self.footage = Footage(len(paths), fps, width, height, is_untimed=True)
        else:
            line = self._timeline
            self.footage = Footage(line.n_steps, line.fps, width, height, line.starts_ms[0] / 1000)

    @property
    def notes(self) -> tuple[str, ...]:
        """Which pictures could not be used."""
        if not self._damaged:
            return ()
        first, *more = (self._paths[number].name for number in self._damaged)
        others = f" and {len(more)} more" if more else ""
        return (
            f"{self._paths[0].parent.name}: {first}{others} cannot be read; "
            "the picture beside is shown in its place",
        )

    def identity(self, index: int) -> str:
        """Tell a frame by the content of its file, and of the one that would stand in for it.

        Damage behind the first bytes shows only when it is decoded; what tells frames apart is known before.
        """
        number = self._number(index)
        near = [*islice(self._candidates(number), 2)] or [number]
        own, other = near[0], near[-1]
        self._note_unless(own, number)
        try:
            return f"{content_sha256(self._paths[own])} still beside {content_sha256(self._paths[other])}"
        except OSError as error:
            raise MediaError(f"{self._paths[own]}: cannot be read ({error.strerror})") from error

    def image(self, index: int) -> Image.Image:
        """Give the picture that is seen at ``index / fps``, upright, RGB."""
        return self._nearest(self._number(index))

    def close(self) -> None:
        """Nothing is kept open."""

    def __len__(self) -> int:
        return len(self._paths)

    @property
    def size_bytes(self) -> int:
        """Size of all pictures' files."""
        return sum(path.stat().st_size for path in self._paths if path.is_file())

    def damaged(self, tried: Callable[[], None]) -> list[Path]:
        """Decode all pictures and give those that cannot be; calls `tried` after each."""
        found = []
        for path in self._paths:
            try:
                _read(path)
            except _UNREADABLE:
                found.append(path)
            tried()
        return found

    def _number(self, index: int) -> int:
        return index if self._timeline is None else self._timeline.frame_at(index)

    def _nearest(self, number: int) -> Image.Image:
        """Give picture `number`, or what stands in for it."""
        for near in self._candidates(number):
            try:
                image = _read(self._paths[near])
            except _UNREADABLE:
                continue
            self._note_unless(near, number)
            return image
        raise MediaError(
            f"none of its {len(self._paths)} pictures can be read, {self._paths[number].name} among them; "
            "save them again"
        )

    def _candidates(self, number: int) -> Iterator[int]:
        """Give `number`, those before it, backwards, and those after it, as far as they begin well."""
        for near in chain(range(number, -1, -1), range(number + 1, len(self._paths))):
            if near not in self._begins_well:
                self._begins_well[near] = _begins_well(self._paths[near])
            if self._begins_well[near]:
                yield near

    def _note_unless(self, shown: int, number: int) -> None:
        if shown != number and number not in self._damaged:
            self._damaged.append(number)


def _is_frame(path: Path) -> bool:
    """Whether a file counts as a frame; ``._1.jpg`` is what macOS keeps beside ``1.jpg`` on foreign disks."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and not path.is_dir()


def _read(path: Path) -> Image.Image:
    with picture_in(path) as picture:
        return flatten(picture)


def _begins_well(path: Path) -> bool:
    """Whether the first bytes of `path` are a picture's."""
    try:
        with picture_in(path):
            return True
    except _UNREADABLE:
        return False


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
