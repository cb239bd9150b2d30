"""A clip decoded from its first frame to its last, to see whether it is whole."""

from dataclasses import asdict, dataclass
from pathlib import Path

from qwen3vl_edge.errors import MediaError
from qwen3vl_edge.limits import VideoLimits
from qwen3vl_edge.progress import SILENT, Progress, Task
from qwen3vl_edge.video import open_source
from qwen3vl_edge.video.animation import Animation
from qwen3vl_edge.video.capture import Capture
from qwen3vl_edge.video.source import FrameSource
from qwen3vl_edge.video.stills import Stills

__all__ = ["Decoded", "decode_all"]


@dataclass(frozen=True, slots=True)
class Decoded:
    """How many frames were decoded, how many of a file's cannot be, and what else is missing of it."""

    n_decoded: int
    n_damaged: int
    missing: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether the clip is whole, as far as decoders tell: some hide damage behind the frame before."""
        return not self.n_damaged and not self.missing

    def to_dict(self) -> dict[str, object]:
        """Give all of it for JSON."""
        return asdict(self) | {"ok": self.ok}


def decode_all(path: Path, progress: Progress = SILENT) -> Decoded:
    """Decode every frame of the clip in `path`, one at a time.

    Raises:
        MediaError: It is no clip, or nothing of it can be read.
    """
    source = open_source(path, VideoLimits())
    try:
        with progress.task("decoding", source.footage.n_frames, "frames") as task:
            n_decoded, n_damaged = _counted(source, path, task)
        missing = () if isinstance(source, Stills) else source.notes  # of stills each is counted
        return Decoded(n_decoded, n_damaged, missing)
    finally:
        source.close()


def _counted(source: FrameSource, path: Path, task: Task) -> tuple[int, int]:
    """Give how many frames can be decoded and how many cannot."""
    if isinstance(source, Animation):
        return source.n_decoded, 0  # to be opened, it was decoded
    if isinstance(source, Stills):
        damaged = source.damaged(task.advance)
        return len(source) - len(damaged), len(damaged)
    n_decoded = n_damaged = 0
    capture = Capture(path)
    try:
        while capture.grab():
            whole = capture.retrieve() is not None
            n_decoded, n_damaged = n_decoded + whole, n_damaged + (not whole)
            task.advance()
    finally:
        capture.close()
    if not n_decoded:
        raise MediaError(f"{path}: none of its pictures can be decoded; re-encode the clip")
    return n_decoded, n_damaged
