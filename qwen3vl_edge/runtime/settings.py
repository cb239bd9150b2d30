"""Limits and sampling defaults that the converter has stored in the GGUF files."""

from collections.abc import Callable
from math import isfinite

from qwen3vl_edge.errors import GGUFError, UsageError
from qwen3vl_edge.gguf_info import GGUFInfo
from qwen3vl_edge.limits import ImageLimits, VideoLimits
from qwen3vl_edge.sampling import Sampling

__all__ = ["image_limits", "sampling_defaults", "video_limits"]

_REMEDY = "convert the checkpoint again"


def image_limits(projector: GGUFInfo) -> ImageLimits:
    """Read the limits of pictures from the projector's metadata; absent ones are the family's."""
    stored = _Stored(projector, "image")
    family = ImageLimits()
    return ImageLimits(
        min_pixels=stored.integer("min_pixels", family.min_pixels),
        max_pixels=stored.integer("max_pixels", family.max_pixels),
        factor=stored.factor(family.factor),
    )


def video_limits(projector: GGUFInfo) -> VideoLimits:
    """Read the limits of clips from the projector's metadata; absent ones are the family's."""
    stored = _Stored(projector, "video")
    family = VideoLimits()
    return VideoLimits(
        min_pixels=stored.integer("min_pixels", family.min_pixels),
        max_pixels=stored.integer("max_pixels", family.max_pixels),
        fps=stored.number("fps", family.fps),
        min_frames=stored.integer("min_frames", family.min_frames),
        max_frames=stored.integer("max_frames", family.max_frames),
        factor=stored.factor(family.factor),
    )


def sampling_defaults(metadata: Callable[[str], str | None]) -> Sampling:
    """Read the sampling defaults from the language model's metadata; absent ones are the family's.

    Read are those keys of gguf 0.19.0 (constants.py, ``general.sampling.*``) that `Sampling` has a place
    for. Presence and frequency penalties have no key; XTC, Mirostat, the order of the samplers and the
    length of the look back are llama.cpp's own and not the reference's.

    Raises:
        GGUFError: A default is no number, or out of its range.
    """

    def stored(key: str, default: float) -> float:
        value = metadata(f"general.sampling.{key}")
        try:
            return default if value is None else float(value)
        except ValueError:
            raise GGUFError(f"general.sampling.{key} is {value!r:.40}, not a number; {_REMEDY}") from None

    family = Sampling()
    top_k = stored("top_k", family.top_k)
    try:
        return Sampling(
            temperature=stored("temp", family.temperature),
            top_p=stored("top_p", family.top_p),
            top_k=int(top_k) if isfinite(top_k) else -1,
            min_p=stored("min_p", family.min_p),
            repetition_penalty=stored("penalty_repeat", family.repetition_penalty),
        )
    except UsageError as error:
        raise GGUFError(
            f"the model's sampling defaults (general.sampling.*) are {error}; {_REMEDY}"
        ) from None


class _Stored:
    """The numbers that the converter has stored under ``qwen3vl_edge.<group>``."""

    def __init__(self, projector: GGUFInfo, group: str) -> None:
        self._metadata = projector.metadata
        self._group = group

    def number(self, name: str, default: float) -> float:
        value = self._metadata.get(f"qwen3vl_edge.{self._group}.{name}")
        return value if isinstance(value, int | float) else default

    def integer(self, name: str, default: int) -> int:
        return int(self.number(name, default))

    def factor(self, default: int) -> int:
        keys = ("clip.vision.patch_size", "clip.vision.spatial_merge_size")
        patch, merge = map(self._metadata.get, keys)
        return patch * merge if isinstance(patch, int) and isinstance(merge, int) else default
