"""What a clip's container says of itself, and what was found in it."""

from dataclasses import asdict, dataclass
from pathlib import Path

import cv2

from qwen3vl_edge.clips import Footage, plan_clip
from qwen3vl_edge.limits import VideoLimits
from qwen3vl_edge.video import open_source
from qwen3vl_edge.video.animation import Animation
from qwen3vl_edge.video.capture import opened
from qwen3vl_edge.video.film import Film
from qwen3vl_edge.video.source import FrameSource
from qwen3vl_edge.video.stills import Stills

__all__ = ["ClipFacts", "ContainerFacts", "clip_facts"]


@dataclass(frozen=True, slots=True)
class ContainerFacts:
    """What the header claims; ``codec`` is its four letters, sizes are in px as stored, before turning."""

    codec: str
    n_frames: int | None
    fps: float
    width: int
    height: int
    rotation_deg: int


@dataclass(frozen=True, slots=True)
class ClipFacts:
    """A clip as a file.

    ``kind`` is clip, animation, picture or frames (a folder of pictures); ``container`` is None for all but
    the first. ``n_tokens``, ``n_shown`` and the size ``shown`` (width, height in px) are what a model of the
    family takes it for by default.
    """

    path: str
    kind: str
    size_bytes: int
    container: ContainerFacts | None
    found: Footage
    notes: tuple[str, ...]
    n_shown: int
    shown: tuple[int, int]
    n_tokens: int

    def to_dict(self) -> dict[str, object]:
        """Give all of it for JSON, with the duration in seconds."""
        return asdict(self) | {"duration_s": self.found.duration_s}


def clip_facts(path: Path) -> ClipFacts:
    """Look at the clip in `path`; its first frame and its end are decoded.

    Raises:
        MediaError: It is no clip, or nothing of it can be read.
    """
    limits = VideoLimits()
    source = open_source(path, limits)
    try:
        plan = plan_clip(source.footage, limits)
        return ClipFacts(
            path=str(path),
            kind=_kind(source),
            size_bytes=source.size_bytes if isinstance(source, Stills) else path.stat().st_size,
            container=_container(path) if isinstance(source, Film) else None,
            found=source.footage,
            notes=source.notes,
            n_shown=plan.n_frames,
            shown=(plan.width, plan.height),
            n_tokens=plan.n_tokens(limits.factor),
        )
    finally:
        source.close()


def _kind(source: FrameSource) -> str:
    if isinstance(source, Animation):
        return "animation" if source.n_decoded > 1 else "picture"
    return "clip" if isinstance(source, Film) else "frames"


def _container(path: Path) -> ContainerFacts:
    with opened(path) as capture:
        told = capture.get
        turned = round(told(cv2.CAP_PROP_ORIENTATION_META)) % 360
        capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)
        n_frames = told(cv2.CAP_PROP_FRAME_COUNT)
        return ContainerFacts(
            codec=_letters(int(told(cv2.CAP_PROP_FOURCC))),
            n_frames=int(n_frames) if n_frames > 0 else None,
            fps=told(cv2.CAP_PROP_FPS),
            width=int(told(cv2.CAP_PROP_FRAME_WIDTH)),
            height=int(told(cv2.CAP_PROP_FRAME_HEIGHT)),
            rotation_deg=turned,
        )


def _letters(code: int) -> str:
    return (code & 0xFFFFFFFF).to_bytes(4, "little").decode("latin-1").strip("\0 ")
