"""How a conversation is made to fit by showing its pictures and clips smaller."""

from collections.abc import Sequence
from dataclasses import replace

from qwen3vl_edge.clip_fitting import LEAST_FRAME_TOKENS, n_prompt_tokens
from qwen3vl_edge.clips import Clip, ClipOptions, plan_clip
from qwen3vl_edge.images import Picture, refit
from qwen3vl_edge.limits import ImageLimits, VideoLimits, smart_resize
from qwen3vl_edge.messages import Content, Message

__all__ = ["shrink"]


def shrink(
    messages: Sequence[Message], n_over: int, images: ImageLimits, videos: VideoLimits
) -> list[Message]:
    """Give `messages` with their largest pictures and frames smaller, so that they take `n_over` tokens less.

    All are held under one cap, the highest that is low enough. Where even the lowest is not, clips have
    fewer frames, too: as many, the same for all that have more, as fit.
    """
    items = [item for message in messages for item in message.content if not isinstance(item, str)]
    media = _Media(items, images, videos)
    low, high = media.least, max([media.least, *map(media.of_one, items)])
    budget = media.taken(high, None) - n_over
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if media.taken(middle, None) <= budget else (low, middle - 1)
    n_frames = None
    if media.taken(low, None) > budget and (most := media.most_frames):
        counts = (count for count in range(most - 1, 0, -1) if media.taken(low, count) <= budget)
        n_frames = next(counts, 1)
    return [
        replace(message, content=tuple(media.under(item, low, n_frames) for item in message.content))
        for message in messages
    ]


class _Media:
    """Pictures and clips, and what they would take under a cap on pictures and frames."""

    def __init__(self, items: Sequence[Picture | Clip], images: ImageLimits, videos: VideoLimits) -> None:
        self._items, self._images, self._videos = items, images, videos

    @property
    def least(self) -> int:
        """The lowest cap: below it models make out little."""
        return max(self._images.min_pixels // self._images.factor**2, LEAST_FRAME_TOKENS)

    @property
    def most_frames(self) -> int:
        """The frames of the clip that has the most, of those that can be shown with fewer."""
        return max((_n_frames(item) for item in self._items if _may_have_fewer(item)), default=0)

    def taken(self, cap: int, n_frames: int | None) -> int:
        """Count what all take of the context."""
        return sum(self._taken(item, cap, n_frames) for item in self._items)

    def of_one(self, item: Picture | Clip) -> int:
        """Count the tokens of a picture or of a frame as it is."""
        factor = self._videos.factor if isinstance(item, Clip) else self._images.factor
        shape = (item.plan.height, item.plan.width) if isinstance(item, Clip) else item.pixels.shape[:2]
        return int(shape[0] // factor) * int(shape[1] // factor)

    def under(self, item: Content, cap: int, n_frames: int | None) -> Content:
        """Give `item` under a cap, a clip with no more than so many frames; itself, if it is so already."""
        if isinstance(item, Clip):
            options = self._options(item, cap, n_frames)
            return item if options == item.options or item.resample is None else item.resample(options)
        if isinstance(item, Picture) and self._size(item, cap) != item.pixels.shape[:2]:
            return refit(item, *self._size(item, cap))
        return item

    def _taken(self, item: Picture | Clip, cap: int, n_frames: int | None) -> int:
        if isinstance(item, Picture):
            height, width = self._size(item, cap)
            return (height // self._images.factor) * (width // self._images.factor)
        options = self._options(item, cap, n_frames)
        plan = item.plan if options == item.options else plan_clip(item.footage, self._videos, options)
        return n_prompt_tokens(plan, self._videos)

    def _size(self, picture: Picture, cap: int) -> tuple[int, int]:
        """Give the height and width, in pixels, of a picture under a cap."""
        height, width = map(int, picture.pixels.shape[:2])
        limits = replace(self._images, max_pixels=cap * self._images.factor**2)
        return smart_resize(height, width, limits) if height * width > limits.max_pixels else (height, width)

    def _options(self, clip: Clip, cap: int, n_frames: int | None) -> ClipOptions:
        """Give the options with which a clip is under a cap; its own, if it is already or cannot be."""
        options = clip.options
        if clip.resample is None:
            return options
        fewer = n_frames is not None and _may_have_fewer(clip) and _n_frames(clip) > n_frames
        if fewer:
            options = replace(options, fps=None, n_frames=n_frames)
        if fewer or self.of_one(clip) > cap:  # fewer frames would be shown larger
            options = replace(options, max_frame_tokens=min(cap, options.max_frame_tokens or cap))
        return options


def _n_frames(item: Picture | Clip) -> int:
    return item.plan.n_frames if isinstance(item, Clip) else 1


def _may_have_fewer(item: Picture | Clip) -> bool:
    """Whether it is a clip that stays what it is with fewer frames.

    Pictures without times, of which `ClipOptions.fps` says how many make a second, would have other times.
    """
    if not isinstance(item, Clip) or item.resample is None:
        return False
    return not item.footage.is_untimed or item.options.fps is None
