"""Clips in containers (mp4, mkv, webm, avi, mov …): the planned frames, without decoding the others."""

import time
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from qwen3vl_edge.clips import Footage
from qwen3vl_edge.content_hash import content_sha256, file_state
from qwen3vl_edge.errors import MediaError
from qwen3vl_edge.video.capture import Capture
from qwen3vl_edge.video.extent import last_number

__all__ = ["Film"]

_SEEK_FROM = 48  # frames; nearer ones are reached sooner by decoding what lies between
_STEPS_BACK = (0, 64, 1024)  # frames, where a jump lands behind its aim
_LOST_S = 0.5  # a last frame may be held for some time: that is no damage


@dataclass(frozen=True, slots=True)
class _Held:
    """A frame that was decoded on the way."""

    number: int
    image: Image.Image


class Film:
    """The frames of a container, by the time at which they are seen.

    Raises:
        MediaError: It cannot be read, or holds no picture that can be decoded.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._state, self._sha256 = file_state(path), content_sha256(path)
        except OSError as error:
            raise MediaError(f"cannot be read ({error.strerror})") from error
        self._capture: Capture | None = Capture(path)
        self._held: _Held | None = None
        self._has_holes = False
        self._uneven = False  # frames may be held for long: keep each one until the next is there
        self._seekable, self._seek_s, self._grab_s = self._capture.n_claimed > 0, 0.0, 0.0
        self._notes: list[str] = []
        self.footage = self._measured(self._capture)

    @property
    def notes(self) -> tuple[str, ...]:
        """What could not be used."""
        return tuple(self._notes)

    def identity(self, index: int) -> str:
        """Tell a frame by the file's content and its number there."""
        return f"{self._sha256} {index}"

    def image(self, index: int) -> Image.Image:
        """Give the frame that is seen at ``index / fps``, upright, RGB."""
        capture = self._opened()
        if self._held and self._held.number <= index < capture.number:
            return self._held.image
        if index < capture.number:
            self._go_back(capture, index)
        elif self._seek_pays(index - capture.number):
            self._seek(capture, index)
        return self._forward(capture, index)

    def close(self) -> None:
        """Free the decoder."""
        if self._capture is not None:
            self._capture.close()
        self._capture = self._held = None

    def _opened(self) -> Capture:
        if self._capture is None:
            self._capture = Capture(self._path)
        try:
            unchanged = file_state(self._path) == self._state
        except OSError as error:
            raise MediaError(f"{self._path}: cannot be read any more ({error.strerror})") from error
        if not unchanged:
            raise MediaError(f"{self._path} has changed since it was opened; ask again")
        return self._capture

    def _measured(self, capture: Capture) -> Footage:
        """Find out how much there is; containers claim too much, too little or nothing."""
        first = capture.retrieve() if capture.grab() else None
        if first is None:
            raise MediaError("none of its pictures can be decoded; re-encode the clip")
        n_frames = last_number(capture) + 1
        lost_s = (capture.n_claimed - n_frames) / capture.fps
        if lost_s > _LOST_S:
            there, claimed = n_frames / capture.fps, capture.n_claimed / capture.fps
            self._notes.append(
                f"{self._path.name}: only {there:.1f} s of the {claimed:.1f} s that the container claims "
                "can be read; the clip is shown up to there"
            )
        capture.rewind()
        return Footage(n_frames, capture.fps, first.width, first.height)

    def _forward(self, capture: Capture, index: int) -> Image.Image:
        """Decode up to `index`."""
        while capture.number < index:
            before = capture.number
            if self._uneven:
                self._hold(capture)
            if not self._grab(capture):
                return self._over_damage(capture, index)
            if before >= 0 and capture.number > index and not self._uneven:
                self._uneven = True  # the frame before is seen until then
                self._go_back(capture, index)
        if capture.number > index and self._held is not None:
            return self._held.image
        return self._held.image if self._hold(capture) and self._held else self._substitute(index)

    def _grab(self, capture: Capture) -> bool:
        started = time.perf_counter()
        grabbed = capture.grab()
        self._grab_s = self._grab_s * 0.9 + (time.perf_counter() - started) * 0.1
        return grabbed

    def _over_damage(self, capture: Capture, index: int) -> Image.Image:
        """Give the frame from beyond a hole, if the container leads there, or the last before it."""
        if self._seekable and capture.jump(index):
            while capture.number < index and capture.grab():
                pass
            if capture.number == index and self._hold(capture) and self._held:
                return self._held.image
        if self._held is None:
            self._seekable = False
            capture.rewind()
            while capture.grab() and capture.number <= index:
                self._hold(capture)
        return self._substitute(index)

    def _hold(self, capture: Capture) -> bool:
        image = capture.retrieve() if capture.number >= 0 else None
        if image is not None:
            self._held = _Held(capture.number, image)
        return image is not None

    def _substitute(self, index: int) -> Image.Image:
        """Give the frame decoded last, where the one wanted is damaged."""
        if self._held is None:
            raise MediaError(f"{self._path}: frame {index} cannot be decoded; re-encode the clip")
        if not self._has_holes:
            self._has_holes = True
            at_s = index / self.footage.fps
            self._notes.append(
                f"{self._path.name}: damaged at {at_s:.1f} s; there the picture before is shown again"
            )
        return self._held.image

    def _seek_pays(self, distance: int) -> bool:
        """Whether jumping is quicker, as far as is known, than decoding what lies between."""
        pays = self._seekable and distance > _SEEK_FROM and distance * self._grab_s >= self._seek_s
        self._seek_s *= 0.9  # a slow one may have been an exception: try again some day
        return pays

    def _seek(self, capture: Capture, index: int) -> None:
        """Stand at `index` or before it."""
        started = time.perf_counter()
        self._held = None
        for back in _STEPS_BACK:
            if capture.jump(max(index - back, 0)) or 0 <= capture.number <= index:
                self._seekable = capture.clock_runs
                self._seek_s = time.perf_counter() - started
                return
        self._seekable = False
        capture.rewind()

    def _go_back(self, capture: Capture, index: int) -> None:
        self._held = None
        if self._seekable:
            self._seek(capture, index)
        else:
            capture.rewind()
