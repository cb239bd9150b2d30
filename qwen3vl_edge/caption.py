"""Captions for many pictures and clips, a bad one never stopping the rest."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from qwen3vl_edge.ask import load_media, one_question
from qwen3vl_edge.clips import CLIP_SUFFIXES, DEFAULT_OPTIONS, Clip, ClipOptions, is_clip
from qwen3vl_edge.errors import ContextFullError, MediaError, UsageError
from qwen3vl_edge.images import IMAGE_SUFFIXES
from qwen3vl_edge.messages import Content
from qwen3vl_edge.runtime.engine import Engine, Event, Finished, Generated, GenerateOptions, StopReason

__all__ = [
    "DEFAULT_CLIP_PROMPT",
    "DEFAULT_PROMPT",
    "Caption",
    "Failure",
    "caption",
    "find_media",
]

DEFAULT_PROMPT = "Describe this image."
DEFAULT_CLIP_PROMPT = "Describe this video."

_SUFFIXES = IMAGE_SUFFIXES | CLIP_SUFFIXES


@dataclass(frozen=True, slots=True)
class Caption:
    """What the model wrote about the picture or clip at `path`.

    ``notes`` say what of a clip could not be used.
    """

    path: Path
    caption: str
    stop_reason: StopReason
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the picture or clip at `path` has no caption."""

    path: Path
    error: str


def find_media(paths: Sequence[Path], *, recursive: bool = False) -> list[Path]:
    """List the pictures and clips that `paths` name: files as they are, folders by suffixes.

    What is in a folder comes sorted by name; nothing comes twice.

    Raises:
        UsageError: A path does not exist, or there is neither a picture nor a clip.
    """
    missing = [str(path) for path in paths if not path.exists()]
    if missing:
        raise UsageError(f"no such file or folder: {', '.join(missing)}")
    found: dict[Path, None] = {}  # ordered
    for path in paths:
        named = _in_folder(path, recursive=recursive) if path.is_dir() else [path]
        found.update(dict.fromkeys(named))
    if not found:
        hint = "" if recursive else "; --recursive looks into sub-folders too"
        raise UsageError(f"no pictures and no clips in {', '.join(map(str, paths))}{hint}")
    return list(found)


def caption(  # noqa: PLR0913 -- all but the first three have defaults
    engine: Engine,
    paths: Iterable[Path],
    options: GenerateOptions,
    *,
    prompt: str | None = None,
    system: str | None = None,
    clip_options: ClipOptions = DEFAULT_OPTIONS,
) -> Iterator[Caption | Failure]:
    """Caption each picture and clip in turn; a `Failure` is one that cannot be read or does not fit.

    Args:
        engine: Who writes.
        paths: The files; their names tell clips from pictures.
        options: How to write.
        prompt: What to ask of each; None: `DEFAULT_PROMPT`, of a clip `DEFAULT_CLIP_PROMPT`.
        system: System prompt.
        clip_options: What to show of clips.

    Raises:
        EngineError: The native library failed; files after this one would fail too.
    """
    for path in paths:
        clip = is_clip(path)
        default = DEFAULT_CLIP_PROMPT if clip else DEFAULT_PROMPT
        try:
            content = _load(engine, path, clip_options) if clip else load_media(engine.info, [path])
            messages = one_question(content, default if prompt is None else prompt, system)
            yield _written(path, content, engine.generate(engine.info.template.parts(messages), options))
        except (MediaError, ContextFullError) as error:
            yield Failure(path, str(error))


def _load(engine: Engine, path: Path, options: ClipOptions) -> list[Content]:
    """Load the clip at `path`; one that does not reach into the wanted range is only its own failure."""
    try:
        return load_media(engine.info, [], [path], options)
    except UsageError as error:
        raise MediaError(str(error)) from error


def _written(path: Path, content: Sequence[Content], events: Iterable[Event]) -> Caption:
    text = ""
    stop_reason: StopReason = "length"
    for event in events:
        match event:
            case Generated(text=piece):
                text += piece
            case Finished(stop_reason=reason):
                stop_reason = reason
    # only now: damage may show where the frames are decoded
    notes = tuple(note for item in content if isinstance(item, Clip) for note in item.notes)
    return Caption(path, text.strip(), stop_reason, notes)


def _in_folder(folder: Path, *, recursive: bool) -> list[Path]:
    entries = folder.rglob("*") if recursive else folder.iterdir()
    return sorted(path for path in entries if path.suffix.lower() in _SUFFIXES and path.is_file())
