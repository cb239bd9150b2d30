"""The moments of a clip: what each looks like is known before it is decoded."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

from qwen3vl_edge.clips import Clip, ClipOptions, ClipPlan, plan_clip
from qwen3vl_edge.errors import MediaError, UsageError
from qwen3vl_edge.images import Pixels, VisionPart, resize
from qwen3vl_edge.limits import VideoLimits
from qwen3vl_edge.video.source import FrameSource

__all__ = ["sampled"]

_DECODING = b"qwen3vl-edge frames 1"
"""Changes when the same file would be shown in other pixels: kept encoder outputs are then not used."""
_DIGEST_BYTES = 16


def sampled(source: FrameSource, name: str, limits: VideoLimits, options: ClipOptions) -> Clip:
    """Plan the clip in `source` and give its moments, none of them decoded yet.

    Raises:
        MediaError: It has no frames, or an impossible shape.
        UsageError: The options leave nothing to show.
    """
    footage = source.footage
    try:
        plan = plan_clip(footage, limits, options)
    except (MediaError, UsageError) as error:
        raise type(error)(f"{name}: {error}") from None
    frames = _Frames(source, plan)
    told = (*_capped(plan, name, limits, options), *_exceeding(plan, name, limits.factor, options))
    pairs = zip(plan.indices[::2], plan.indices[1::2], strict=True)
    moments = tuple(frames.moment(first, second) for first, second in pairs)
    return Clip(
        plan,
        moments,
        name,
        footage,
        options,
        lambda: (*told, *source.notes),
        lambda other: sampled(source, name, limits, other),
    )


def _exceeding(plan: ClipPlan, name: str, factor: int, options: ClipOptions) -> Iterator[str]:
    """Say where frames take more tokens than was asked for.

    The reference keeps a frame above ``min_pixels`` and one token, and bounds the volume of an odd number of
    frames, of which the last stands twice.
    """
    n_tokens, n_pairs = plan.n_tokens(factor), len(plan.stamps_s)
    if options.max_tokens is not None and n_tokens > options.max_tokens:
        yield (
            f"{Path(name).name}: its frames take {n_tokens} tokens and not {options.max_tokens} at most: "
            f"{n_pairs} pairs cannot be smaller; --frames asks for fewer"
        )
    if options.max_frame_tokens is not None and n_tokens > options.max_frame_tokens * n_pairs:
        yield (
            f"{Path(name).name}: a pair of its frames takes {n_tokens // n_pairs} tokens and not "
            f"{options.max_frame_tokens} at most, as in the reference"
        )


def _capped(plan: ClipPlan, name: str, limits: VideoLimits, options: ClipOptions) -> tuple[str, ...]:
    """Say where the model's limit keeps ``options.fps`` from being what was asked for."""
    n_there = plan.indices[-1] - plan.indices[0] + 1
    wanted = 0 if options.fps is None else min(int(n_there / plan.fps * options.fps), n_there)
    if wanted <= limits.max_frames:
        return ()
    return (
        f"{Path(name).name}: {options.fps:g} frames a second would be {wanted}; the model takes "
        f"{limits.max_frames}, which are spread evenly; --frames {wanted} insists",
    )


class _Frames:
    """Fitted frames, the one read last kept: a pair or two neighbours can show the same."""

    def __init__(self, source: FrameSource, plan: ClipPlan) -> None:
        self._source, self._plan = source, plan
        self._last: tuple[int, Pixels] | None = None

    def moment(self, first: int, second: int) -> VisionPart:
        """Give the moment of two frames."""
        width, height = self._plan.width, self._plan.height
        return VisionPart(height, width, self._digest(first, second), self._loader(first, second))

    def _loader(self, first: int, second: int) -> Callable[[], tuple[Pixels, Pixels]]:
        return lambda: (self._frame(first), self._frame(second))

    def _digest(self, first: int, second: int) -> bytes:
        """BLAKE2b of all that makes the pixels: the frames' content, their size, how they are decoded."""
        digest = hashlib.blake2b(_DECODING, digest_size=_DIGEST_BYTES)
        for index in (first, second):
            digest.update(f"\0{self._source.identity(index)}".encode())
        digest.update(f"\0{self._plan.width}x{self._plan.height}".encode())
        return digest.digest()

    def _frame(self, index: int) -> Pixels:
        if self._last is None or self._last[0] != index:
            image = self._source.image(index)
            self._last = index, resize(image, self._plan.width, self._plan.height)
        frame = self._last[1]
        if index == self._plan.indices[-1]:  # seldom is anything of it asked again soon
            self._source.close()
        return frame
