"""Clips from disk: decoding that follows the plan of `qwen3vl_edge.clips`."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
from PIL import Image

from qwen3vl_edge.clips import Clip, ClipPlan, Footage, plan_clip
from qwen3vl_edge.errors import MediaError
from qwen3vl_edge.images import Pixels, resize
from qwen3vl_edge.limits import VideoLimits

__all__ = ["load_clip"]

_FALLBACK_FPS = 24.0
"""Frame rate of a container that states none (transformers 5.23 ``Qwen3VLVideoProcessor.sample_frames``)."""


def load_clip(path: Path, limits: VideoLimits) -> Clip:
    """Sample, turn upright and fit the clip in `path`.

    Raises:
        MediaError: The file is missing, not a clip, damaged, or of an impossible shape.
    """
    if not path.is_file():
        raise MediaError(f"no such clip: {path}")
    try:
        with _as_text(path) as readable:
            return _load(readable, limits, str(path))
    except MediaError as error:
        raise MediaError(f"{path}: {error}") from None


def _load(path: str, limits: VideoLimits, source: str) -> Clip:
    footage = _footage(path)
    if footage.n_frames < 1:  # recorded live: nobody knew the length
        footage = _count_frames(path)
    plan = plan_clip(footage, limits)
    frames = _read_frames(path, plan)
    if len(frames) < len(set(plan.indices)):
        # the container promised more frames than it holds: plan again with what is there
        plan = plan_clip(_count_frames(path), limits)
        frames = _read_frames(path, plan)
    missing = sorted(set(plan.indices) - frames.keys())
    if missing:
        raise MediaError(f"frame {missing[0]} cannot be decoded; re-encode the clip")
    firsts, seconds = plan.indices[::2], plan.indices[1::2]
    pairs = tuple((frames[a], frames[b]) for a, b in zip(firsts, seconds, strict=True))
    return Clip(plan, pairs, source)


@contextmanager
def _as_text(path: Path) -> Iterator[str]:
    """Give a name for `path` that OpenCV can take: version 5.0.0 dies of one that is not valid UTF-8."""
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        with tempfile.TemporaryDirectory() as folder:
            link = Path(folder) / "clip"
            link.symlink_to(path.resolve())
            yield str(link)
    else:
        yield str(path)


def _open(path: str) -> cv2.VideoCapture:
    # Native complaints about a damaged file would stand beside our one line. FFmpeg's level is read
    # when the first file is opened: -8 is AV_LOG_QUIET.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    capture = cv2.VideoCapture(path)
    if not capture.isOpened():
        raise MediaError("not a clip, or of a kind that this OpenCV cannot decode")
    return capture


def _footage(path: str) -> Footage:
    """Read what the container says of itself."""
    capture = _open(path)
    try:
        fps = capture.get(cv2.CAP_PROP_FPS)
        return Footage(
            n_frames=int(capture.get(cv2.CAP_PROP_FRAME_COUNT)),
            fps=fps if 0 < fps < float("inf") else _FALLBACK_FPS,
            width=int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
            height=int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
        )
    finally:
        capture.release()


def _count_frames(path: str) -> Footage:
    """Like `_footage`, with the frames counted by decoding instead of believed."""
    claimed = _footage(path)
    capture = _open(path)
    try:
        n_frames = 0
        while capture.grab():
            n_frames += 1
    finally:
        capture.release()
    return Footage(n_frames, claimed.fps, claimed.width, claimed.height)


def _read_frames(path: str, plan: ClipPlan) -> dict[int, Pixels]:
    """Decode the planned frames that can be decoded, by index, each fitted."""
    wanted = set(plan.indices)
    frames: dict[int, Pixels] = {}
    capture = _open(path)
    try:
        for index in range(max(wanted) + 1):
            if not capture.grab():
                break
            if index in wanted:
                whole, bgr = capture.retrieve()
                if whole:
                    rgb = Image.fromarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB))
                    frames[index] = resize(rgb, plan.width, plan.height)
    finally:
        capture.release()
    return frames
