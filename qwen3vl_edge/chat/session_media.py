"""Pictures and clips in a session file: by path, size or options, and digest of what the model was shown."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from qwen3vl_edge.clips import DEFAULT_OPTIONS, Clip, ClipOptions
from qwen3vl_edge.errors import MediaError, UsageError
from qwen3vl_edge.images import Picture, load_picture_as
from qwen3vl_edge.json_fields import Fields
from qwen3vl_edge.limits import MAX_ASPECT_RATIO, ImageLimits
from qwen3vl_edge.messages import Content
from qwen3vl_edge.runtime.engine import EngineInfo

__all__ = ["content_json", "parse_content"]

_MAX_ASPECT_RATIO = 2 * MAX_ASPECT_RATIO  # sides are rounded to tokens, short ones by up to a half
_MOST = 1 << 31  # frames, tokens, or seconds: more bounds nothing, and JSON knows no infinity


def content_json(item: Content) -> dict[str, object]:
    """Give the object that stands for a text, a picture or a clip."""
    if isinstance(item, str):
        return {"text": item}
    source = _path_json(Path(item.source).absolute())
    if isinstance(item, Clip):
        return {"clip": source, "digest": _digest(item), "options": _options_json(item.options)}
    height, width, _ = item.pixels.shape
    return {"picture": source, "digest": _digest(item), "height": height, "width": width}


def _path_json(path: Path) -> str | dict[str, object]:
    """Give a path as text, or, where its name is no valid text, as the bytes that it is."""
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        return {"bytes": os.fsencode(path).hex()}
    return str(path)


def _options_json(options: ClipOptions) -> dict[str, object]:
    """Give what was asked for; what was left to the model is left out."""
    return {name: min(value, _MOST) for name, value in asdict(options).items() if value is not None}


def _digest(item: Picture | Clip) -> str:
    visions = (item.vision,) if isinstance(item, Picture) else item.moments
    return hashlib.sha256(b"".join(vision.digest for vision in visions)).hexdigest()


def parse_content(fields: Fields, info: EngineInfo, lost: list[str] | None) -> Content:
    """Read the object, and load its picture or clip.

    One that is not as it was is a fault, noted in `fields`; where `lost` is given, it takes what there is
    to say instead. Either way a text stands in for it.
    """
    if fields.has("text"):
        return fields.text("text")
    if fields.has("clip"):
        options = _options(fields)
        return _as_it_was(fields, "clip", lambda path: _load_clip(path, info, options), lost)
    size = _size(fields, info.image_limits)
    if size is None:
        return ""
    height, width = size
    return _as_it_was(fields, "picture", lambda path: load_picture_as(path, height, width), lost)


def _size(fields: Fields, limits: ImageLimits) -> tuple[int, int] | None:
    """Give height and width, in pixels, if a picture can have had them: nothing larger is ever made.

    It may have been shown to another model, hence the family's own limit.
    """
    side, most = limits.factor, max(limits.max_pixels, ImageLimits().max_pixels)
    height, width = (fields.integer(name, least=side, most=most) for name in ("height", "width"))
    is_possible = height % side == 0 == width % side and height * width <= most
    if is_possible and max(height, width) <= _MAX_ASPECT_RATIO * min(height, width):
        return height, width
    fields.fault("height and width", f"{height} and {width} px cannot be those of a picture that was shown")
    return None


def _as_it_was(
    fields: Fields, key: str, load: Callable[[Path], Picture | Clip], lost: list[str] | None
) -> Content:
    """Load what `key` names, if the model would see the same as before."""
    path, digest = _path(fields, key), fields.text("digest")
    try:
        item = load(path)
    except (MediaError, UsageError) as error:
        what = f"cannot be shown again: {error}"
    else:
        if _digest(item) == digest:
            return item
        what = f"{path} has changed since the session was saved; put back what it was"
    if lost is None:
        fields.fault(key, what)
    else:
        lost.append(
            f"{fields.where}: {key} {what}; the turn, which the model no longer sees, is kept without"
        )
    return f"({key} {str(path).encode('utf-8', 'replace').decode('utf-8')})"


def _path(fields: Fields, key: str) -> Path:
    if not isinstance(fields.values.get(key), dict):
        return Path(fields.text(key))
    try:
        return Path(os.fsdecode(bytes.fromhex(fields.section(key).text("bytes"))))
    except ValueError:
        fields.fault(key, "is no path")
        return Path()


def _options(fields: Fields) -> ClipOptions:
    if not fields.has("options"):  # clips were kept so before they had any
        return DEFAULT_OPTIONS
    stored = fields.section("options")
    numbers = {name: stored.number(name) for name in ("fps", "start_s", "end_s") if stored.has(name)}
    counts = {
        name: stored.integer(name, most=_MOST)
        for name in ("n_frames", "max_tokens", "max_frame_tokens")
        if stored.has(name)
    }
    try:
        return ClipOptions(**numbers, **counts)  # type: ignore[arg-type]  # numbers and counts have their names
    except UsageError as error:
        fields.fault("options", f"cannot be ({error})")
        return DEFAULT_OPTIONS


def _load_clip(path: Path, info: EngineInfo, options: ClipOptions) -> Clip:
    from qwen3vl_edge.video import load_clip  # noqa: PLC0415 -- loads slowly; only clips need it

    return load_clip(path, info.video_limits, options)
