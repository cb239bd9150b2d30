"""Limits and sampling defaults that the converter has stored in the GGUF files."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import TypeVar

from qwen3vl_edge.limits import ImageLimits, VideoLimits
from qwen3vl_edge.sampling import Sampling

__all__ = ["image_limits", "sampling_defaults", "video_limits"]

_Limits = TypeVar("_Limits", ImageLimits, VideoLimits)

_SAMPLING_KEYS = {  # Sampling field: (key as gguf 0.19.0 names it, type)
    "temperature": ("general.sampling.temp", float),
    "top_p": ("general.sampling.top_p", float),
    "top_k": ("general.sampling.top_k", int),
    "repetition_penalty": ("general.sampling.penalty_repeat", float),
}


def image_limits(metadata: Mapping[str, object]) -> ImageLimits:
    """Read the limits of pictures from the projector's metadata; absent ones are the family's."""
    return _limits(ImageLimits, "image", metadata)


def video_limits(metadata: Mapping[str, object]) -> VideoLimits:
    """Read the limits of clips from the projector's metadata; absent ones are the family's."""
    return _limits(VideoLimits, "video", metadata)


def sampling_defaults(metadata: Callable[[str], str | None]) -> Sampling:
    """Read the sampling defaults from the language model's metadata; absent ones are the family's."""
    found = {name: (metadata(key), kind) for name, (key, kind) in _SAMPLING_KEYS.items()}
    return Sampling(**{name: kind(value) for name, (value, kind) in found.items() if value is not None})


def _limits(kind: type[_Limits], group: str, metadata: Mapping[str, object]) -> _Limits:
    stored = {field.name: metadata.get(f"qwen3vl_edge.{group}.{field.name}") for field in fields(kind)}
    patch, merge = (metadata.get(f"clip.vision.{name}") for name in ("patch_size", "spatial_merge_size"))
    if isinstance(patch, int) and isinstance(merge, int):
        stored["factor"] = patch * merge
    return kind(**{name: value for name, value in stored.items() if value is not None})
