"""What ``--set`` may not give: values for which config.json and its neighbours would be refused."""

from collections.abc import Iterable, Mapping

from qwen3vl_edge.converters.override_values import refused
from qwen3vl_edge.hf_config import CONTEXT_RANGE, EPSILON_RANGE, ROPE_THETA_RANGE
from qwen3vl_edge.hf_defaults import COUNT_RANGES, INT32_MAX, NUMBER_RANGES
from qwen3vl_edge.limits import ImageLimits
from qwen3vl_edge.writing.gguf_header import KeyValue

__all__ = ["refuse_bad_values"]

_RANGES: Mapping[str, tuple[float, float]] = {
    "general.sampling.temp": NUMBER_RANGES["temperature"],
    "general.sampling.top_k": COUNT_RANGES["top_k"],
    "general.sampling.top_p": NUMBER_RANGES["top_p"],
    "general.sampling.min_p": NUMBER_RANGES["min_p"],
    "general.sampling.penalty_repeat": NUMBER_RANGES["repetition_penalty"],
    # no checkpoint sets these; the ranges in which they mean something to llama.cpp's samplers
    "general.sampling.penalty_last_n": (-1, INT32_MAX),
    "general.sampling.xtc_probability": (0.0, 1.0),
    "general.sampling.xtc_threshold": (0.0, 1.0),
    "general.sampling.mirostat": (0, 2),
    "general.sampling.mirostat_tau": (0.0, 100.0),
    "general.sampling.mirostat_eta": (0.0, 1.0),
    **{
        f"{arch}.{key}": allowed
        for arch in ("qwen3vl", "qwen3vlmoe")
        for key, allowed in (
            ("context_length", CONTEXT_RANGE),
            ("rope.freq_base", ROPE_THETA_RANGE),
            ("attention.layer_norm_rms_epsilon", EPSILON_RANGE),
        )
    },
    "clip.vision.attention.layer_norm_epsilon": EPSILON_RANGE,
    "clip.vision.image_mean": NUMBER_RANGES["image_mean"],
    "clip.vision.image_std": NUMBER_RANGES["image_std"],
    "qwen3vl_edge.image.min_pixels": COUNT_RANGES["min_pixels"],
    "qwen3vl_edge.image.max_pixels": COUNT_RANGES["max_pixels"],
    "qwen3vl_edge.video.min_pixels": COUNT_RANGES["min_pixels"],
    "qwen3vl_edge.video.max_pixels": COUNT_RANGES["max_pixels"],
    "qwen3vl_edge.video.min_frames": COUNT_RANGES["min_frames"],
    "qwen3vl_edge.video.max_frames": COUNT_RANGES["max_frames"],
    "qwen3vl_edge.video.fps": NUMBER_RANGES["fps"],
}


def refuse_bad_values(file: Mapping[str, KeyValue], keys: Iterable[str]) -> None:
    """Check the values of `keys`, which the user has set, as far as `file` has them.

    Raises:
        UsageError: one is outside its range, does not fit another, or is no token's id.
    """
    n_tokens = _n_tokens(file)
    for key in keys:
        if key not in file:
            continue
        if key in _RANGES:
            _refuse_outside(file[key], *_RANGES[key])
        if key.startswith(("qwen3vl_edge.image.", "qwen3vl_edge.video.")):
            _refuse_bad_limits(file, key)
        value = file[key].value
        if key.endswith("_token_id") and isinstance(value, int) and value >= n_tokens > 0:
            raise refused(key, f"is {value}; an id below {n_tokens} is expected")


def _refuse_outside(item: KeyValue, least: float, most: float) -> None:
    for value in item.value if isinstance(item.value, tuple) else (item.value,):
        if not isinstance(value, str) and not least <= value <= most:
            raise refused(item.key, f"is {value}; {least} to {most} is expected")


def _refuse_bad_limits(file: Mapping[str, KeyValue], key: str) -> None:
    """Check the limits of pictures and clips against each other and the side of a token."""
    low, high = _number(file, key.replace(".max_", ".min_")), _number(file, key.replace(".min_", ".max_"))
    if low is not None and high is not None and low > high:
        raise refused(key, f"makes the smallest value {low} and the largest {high}; set both")
    side = _token_side_px(file)
    if high is not None and key.endswith("_pixels") and high < side**2:
        raise refused(key, f"leaves {high} pixels at most, a token has {side}×{side}; give a larger number")


def _token_side_px(file: Mapping[str, KeyValue]) -> int:
    sides = [_number(file, f"clip.vision.{key}") for key in ("patch_size", "spatial_merge_size")]
    return int(sides[0] * sides[1]) if sides[0] and sides[1] else ImageLimits().factor


def _number(file: Mapping[str, KeyValue], key: str) -> float | None:
    value = file[key].value if key in file else None
    return value if isinstance(value, int | float) else None


def _n_tokens(file: Mapping[str, KeyValue]) -> int:
    tokens = file.get("tokenizer.ggml.tokens")
    return len(tokens.value) if tokens and isinstance(tokens.value, tuple) else 0
