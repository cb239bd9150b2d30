"""Pictures and clips on their way into a message: loaded, counted, described."""

from pathlib import Path

from qwen3vl_edge.ask import load_media
from qwen3vl_edge.cli.plain_text import escaped
from qwen3vl_edge.clips import DEFAULT_OPTIONS, Clip, ClipOptions
from qwen3vl_edge.images import Picture, Pixels
from qwen3vl_edge.messages import Content
from qwen3vl_edge.runtime.engine import EngineInfo

__all__ = ["Media", "described", "first_pixels", "load", "media_of", "n_tokens"]

Media = Picture | Clip


def load(info: EngineInfo, path: Path, *, clip: bool, options: ClipOptions = DEFAULT_OPTIONS) -> Media:
    """Load the picture or clip in `path` as the model of `info` is to see it, a clip by `options`.

    Raises:
        MediaError: It cannot be read.
        UsageError: The options leave nothing to show of the clip.
    """
    absolute = path.absolute()  # a conversation is gone on with from other folders
    pictures, clips = ([], [absolute]) if clip else ([absolute], [])
    return media_of(load_media(info, pictures, clips, options))[0]


def media_of(content: list[Content] | tuple[Content, ...]) -> list[Media]:
    """Give the pictures and clips of `content`."""
    return [item for item in content if not isinstance(item, str)]


def n_tokens(media: Media, factor_px: int) -> int:
    """Count the tokens of the language model that `media` becomes; `factor_px` is the side of one."""
    parts = media.moments if isinstance(media, Clip) else (media.vision,)
    return sum((part.height // factor_px) * (part.width // factor_px) for part in parts)


def described(media: Media, factor_px: int) -> str:
    """Describe `media` in one line: name, size as the model sees it, tokens."""
    first = media.moments[0] if isinstance(media, Clip) else media.vision
    n_frames = media.plan.n_frames if isinstance(media, Clip) else 0
    frames = f"{n_frames} frame{'s' * (n_frames > 1)} of " if n_frames else ""
    name = escaped(Path(media.source).name)
    return f"{name}: {frames}{first.width}×{first.height} px, {n_tokens(media, factor_px)} tokens"


def first_pixels(media: Media) -> Pixels:
    """Give the picture, or the first frame of the clip, shape (height, width, 3)."""
    return media.pixels if isinstance(media, Picture) else media.moments[0].frames[0]
