"""Captions for many pictures, one bad picture never stopping the rest."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from qwen3vl_edge.ask import ask
from qwen3vl_edge.errors import ContextFullError, MediaError, UsageError
from qwen3vl_edge.images import IMAGE_SUFFIXES
from qwen3vl_edge.runtime.engine import Engine, Finished, Generated, GenerateOptions, StopReason

__all__ = ["DEFAULT_PROMPT", "Caption", "Failure", "caption", "find_pictures"]

DEFAULT_PROMPT = "Describe this image."


@dataclass(frozen=True, slots=True)
class Caption:
    """What the model wrote about the picture at `path`."""

    path: Path
    caption: str
    stop_reason: StopReason


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the picture at `path` has no caption."""

    path: Path
    error: str


def find_pictures(paths: Sequence[Path], *, recursive: bool = False) -> list[Path]:
    """List the pictures that `paths` name: files as they are, folders by the suffixes of their files.

    A folder's pictures come sorted by name; no picture comes twice.

    Raises:
        UsageError: A path does not exist, or there is no picture at all.
    """
    missing = [str(path) for path in paths if not path.exists()]
    if missing:
        raise UsageError(f"no such file or folder: {', '.join(missing)}")
    found: dict[Path, None] = {}  # ordered
    for path in paths:
        found.update(dict.fromkeys(_in_folder(path, recursive=recursive) if path.is_dir() else [path]))
    if not found:
        hint = "" if recursive else "; --recursive looks into sub-folders too"
        raise UsageError(f"no pictures in {', '.join(map(str, paths))}{hint}")
    return list(found)


def _in_folder(folder: Path, *, recursive: bool) -> list[Path]:
    entries = folder.rglob("*") if recursive else folder.iterdir()
    return sorted(path for path in entries if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())


def caption(
    engine: Engine,
    pictures: Iterable[Path],
    options: GenerateOptions,
    *,
    prompt: str = DEFAULT_PROMPT,
    system: str | None = None,
) -> Iterator[Caption | Failure]:
    """Caption each picture in turn, giving a `Failure` for one that cannot be read or does not fit.

    Raises:
        EngineError: The native library failed; pictures after this one would fail too.
    """
    for path in pictures:
        try:
            yield _caption_one(engine, path, options, prompt, system)
        except (MediaError, ContextFullError) as error:
            yield Failure(path, str(error))


def _caption_one(
    engine: Engine, path: Path, options: GenerateOptions, prompt: str, system: str | None
) -> Caption:
    text = ""
    stop_reason: StopReason = "length"
    for event in ask(engine, prompt, options, pictures=[path], system=system):
        match event:
            case Generated(text=piece):
                text += piece
            case Finished(stop_reason=reason):
                stop_reason = reason
    return Caption(path, text.strip(), stop_reason)
