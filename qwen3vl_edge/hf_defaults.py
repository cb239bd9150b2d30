"""What a checkpoint recommends beside its weights: sampling, and the sizes of pictures and clips."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from qwen3vl_edge.errors import CheckpointError, join_problems
from qwen3vl_edge.json_fields import Fields, read_object, shown
from qwen3vl_edge.limits import ImageLimits, VideoLimits

__all__ = ["COUNT_RANGES", "INT32_MAX", "NUMBER_RANGES", "PreprocessorDefaults", "SamplingDefaults"]

_LIMIT_BYTES = 1 << 20
INT32_MAX = 2**31 - 1
_PIXELS, _FRAMES = (1, 1 << 40), (1, 1 << 20)

NUMBER_RANGES: Mapping[str, tuple[float, float]] = {
    "temperature": (0.0, 100.0),
    "top_p": (1e-6, 1.0),
    "min_p": (0.0, 1.0),
    "repetition_penalty": (0.01, 100.0),
    "presence_penalty": (-2.0, 2.0),
    "image_mean": (0.0, 1.0),
    "image_std": (0.001, 1.0),
    "fps": (0.01, 1000.0),
}
"""Least and most of each number that is believed."""

COUNT_RANGES: Mapping[str, tuple[int, int]] = {
    "top_k": (0, INT32_MAX),
    "min_pixels": _PIXELS,
    "max_pixels": _PIXELS,
    "min_frames": _FRAMES,
    "max_frames": _FRAMES,
}
"""The same for integers; ``max_pixels`` must also hold the square of a token."""


@dataclass(frozen=True, slots=True)
class SamplingDefaults:
    """generation_config.json; None where it says nothing."""

    do_sample: bool | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None

    @classmethod
    def read(cls, folder: Path) -> "SamplingDefaults":
        """Read ``folder/generation_config.json``; all None when there is no such file.

        Raises:
            CheckpointError: every fault of the file in one line.
        """
        fields = _open(folder / "generation_config.json")
        if fields is None:
            return cls()
        result = cls(
            do_sample=fields.flag("do_sample") if fields.has("do_sample") else None,
            temperature=_optional_number(fields, "temperature"),
            top_p=_optional_number(fields, "top_p"),
            top_k=_count(fields, "top_k", 0) if fields.has("top_k") else None,
            min_p=_optional_number(fields, "min_p"),
            repetition_penalty=_optional_number(fields, "repetition_penalty"),
            presence_penalty=_optional_number(fields, "presence_penalty"),
        )
        for key in ("bos_token_id", "eos_token_id", "pad_token_id"):
            _check_token_ids(fields, key)
        _raise_if_faulty(fields)
        # without sampling the reference takes the likeliest token, whatever temperature stands beside it
        return replace(result, temperature=0.0) if result.do_sample is False else result


@dataclass(frozen=True, slots=True)
class PreprocessorDefaults:
    """preprocessor_config.json and video_preprocessor_config.json.

    ``mean`` and ``std`` are per RGB channel, for pixels scaled to 0..1.
    """

    image: ImageLimits
    video: VideoLimits
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def read(cls, folder: Path, token_side_px: int = 32) -> "PreprocessorDefaults":
        """Read both files of `folder`, with the family's values where one is absent or silent.

        Raises:
            CheckpointError: every fault of a file in one line.
        """
        image, video = _image_fields(folder), _open(folder / "video_preprocessor_config.json")
        mean, std = _channels(image, "image_mean"), _channels(image, "image_std")
        result = cls(
            image=_image_limits(image, ImageLimits(factor=token_side_px)),
            video=_video_limits(video, VideoLimits(factor=token_side_px)),
            mean=mean,
            std=std,
        )
        for fields in (image, video):
            _check_patches(fields, token_side_px)
            _raise_if_faulty(fields)
        return result


def _image_fields(folder: Path) -> Fields | None:
    """Open the picture settings: preprocessor_config.json, or transformers 5's processor_config.json."""
    fields = _open(folder / "preprocessor_config.json")
    if fields is not None:
        return fields
    whole = _open(folder / "processor_config.json")
    return whole.section("image_processor") if whole is not None and whole.has("image_processor") else None


def _image_limits(fields: Fields | None, family: ImageLimits) -> ImageLimits:
    if fields is None:
        return family
    low, high = _pixel_range(fields, family)
    return replace(family, min_pixels=low, max_pixels=high)


def _video_limits(fields: Fields | None, family: VideoLimits) -> VideoLimits:
    if fields is None:
        return family
    low, high = _pixel_range(fields, family)
    few = _count(fields, "min_frames", family.min_frames)
    many = _count(fields, "max_frames", family.max_frames)
    if few > many:
        fields.fault("min_frames", f"is {few}, more than max_frames {many}")
    least, most = NUMBER_RANGES["fps"]
    fps = fields.number("fps", family.fps, least=least, most=most)
    return replace(family, min_pixels=low, max_pixels=high, fps=fps, min_frames=few, max_frames=many)


def _pixel_range(fields: Fields, family: ImageLimits | VideoLimits) -> tuple[int, int]:
    """Read two areas: ``size.shortest_edge`` and ``longest_edge``, despite the names, or ``*_pixels``."""
    holder, keys = fields, ("min_pixels", "max_pixels")
    if fields.has("size"):
        holder, keys = fields.section("size"), ("shortest_edge", "longest_edge")
    low = holder.integer(keys[0], family.min_pixels, most=_PIXELS[1])
    high = holder.integer(keys[1], family.max_pixels, least=family.factor**2, most=_PIXELS[1])
    if low > high:
        fields.fault("size", f"has a smallest area of {low} px above its largest of {high} px")
    return low, high


def _check_patches(fields: Fields | None, token_side_px: int) -> None:
    """Note patches of another model: pictures would be cut in other places than it has learned."""
    if fields is None:
        return
    if fields.integer("temporal_patch_size", 2) != 2:
        fields.fault(
            "temporal_patch_size", f"is {shown(fields.values['temporal_patch_size'])}, 2 is expected"
        )
    merge = fields.integer("merge_size", 2, most=1024)
    patch_px = fields.integer("patch_size", token_side_px // merge, most=1024)
    if patch_px * merge != token_side_px:
        what = f"× merge_size is {patch_px} × {merge} px, config.json has tokens of {token_side_px} px"
        fields.fault("patch_size", what)


def _channels(fields: Fields | None, key: str) -> tuple[float, ...]:
    if fields is None or not fields.has(key):
        return (0.5, 0.5, 0.5)
    least, most = NUMBER_RANGES[key]
    values = fields.numbers(key, least=least, most=most)
    if values and len(values) != 3:
        fields.fault(key, f"has {len(values)} channels instead of 3")
    return values


def _check_token_ids(fields: Fields, key: str) -> None:
    """Note what is neither an id nor a list of ids; llama.cpp takes them from the tokenizer."""
    if isinstance(fields.values.get(key), list):
        fields.integers(key, most=INT32_MAX)
    elif fields.has(key):
        fields.integer(key, least=0, most=INT32_MAX)


def _count(fields: Fields, key: str, default: int) -> int:
    least, most = COUNT_RANGES[key]
    return fields.integer(key, default, least=least, most=most)


def _optional_number(fields: Fields, key: str) -> float | None:
    least, most = NUMBER_RANGES[key]
    return fields.number(key, least=least, most=most) if fields.has(key) else None


def _open(path: Path) -> Fields | None:
    return Fields(read_object(path, _LIMIT_BYTES, CheckpointError), str(path)) if path.exists() else None


def _raise_if_faulty(fields: Fields | None) -> None:
    if fields is not None and fields.problems:
        raise CheckpointError(join_problems(fields.problems))
