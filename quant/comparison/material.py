"""What models are compared on: questions about pictures and clips, and running text."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from qwen3vl_edge.clips import CLIP_SUFFIXES, ClipOptions
from qwen3vl_edge.content_hash import content_sha256
from qwen3vl_edge.errors import MediaError, UsageError
from qwen3vl_edge.images import IMAGE_SUFFIXES
from qwen3vl_edge.json_fields import read_text
from qwen3vl_edge.messages import Content
from qwen3vl_edge.quant.shown_files import (
    DEFAULT_CLIP_OPTIONS,
    DEFAULT_PICTURE_TOKENS,
    clip_loader,
    files_in,
    picture_loader,
)
from qwen3vl_edge.runtime.engine import EngineInfo

__all__ = [
    "CLIP_QUESTIONS",
    "KINDS",
    "PICTURE_QUESTIONS",
    "Kind",
    "Material",
    "Passage",
    "Question",
    "Sight",
    "clip_questions",
    "picture_questions",
    "read_passage",
    "read_questions",
]

Kind = Literal["text", "picture", "clip"]
KINDS: tuple[Kind, ...] = ("text", "picture", "clip")

PICTURE_QUESTIONS = (
    "Describe this image.",
    "What is the main object in this image? Answer with one word.",
    "What color is the main object? Answer with one word.",
    "Is there any text in this image? Answer yes or no.",
)
CLIP_QUESTIONS = (
    "Describe this video.",
    "What moves in this video? Answer with one word.",
    "Does the camera move in this video? Answer yes or no.",
)

_TEXT_BYTES = 256 << 20
_SIDECAR_BYTES = 1 << 20


@dataclass(frozen=True, eq=False)
class Sight:
    """A picture or clip; ``identity`` tells it from others by content, ``load`` fits it for a model."""

    kind: Kind
    name: str
    identity: str
    load: Callable[[EngineInfo], Content]


@dataclass(frozen=True, eq=False)
class Question:
    """One prompt; ``given`` is what to score after it, None for the reference's own greedy answer."""

    sight: Sight
    text: str
    given: str | None = None


@dataclass(frozen=True, slots=True)
class Passage:
    """Running text; ``identity`` tells it from others by content."""

    name: str
    identity: str
    text: str


@dataclass(frozen=True, eq=False)
class Material:
    """All of it.

    ``chunk_tokens`` and ``most_chunks`` say how the passage is cut; an answer has at most
    ``answer_tokens``. ``drawn`` says that all of it was made here, not given by the user.
    """

    questions: tuple[Question, ...] = ()
    passage: Passage | None = None
    chunk_tokens: int = 512
    most_chunks: int | None = None
    answer_tokens: int = 64
    drawn: bool = False


def picture_questions(
    folder: Path,
    questions: Sequence[str],
    *,
    captions: bool = False,
    most: int | None = None,
    max_tokens: int = DEFAULT_PICTURE_TOKENS,
) -> tuple[Question, ...]:
    """Ask `questions` about each picture in `folder` and its sub-folders, sorted by path.

    Of copies of one picture the first is taken: the second would count as evidence and is none.

    Args:
        folder: Where the pictures lie.
        questions: Of each picture.
        captions: Where NAME.txt lies beside a picture, score that as the answer to the first question.
        most: Pictures that are taken, evenly spread; None takes all.
        max_tokens: What a picture is shown with at most.

    Raises:
        UsageError: There is no picture.
        MediaError: A caption cannot be read.
    """
    asked = []
    paths = _spread(files_in(folder, IMAGE_SUFFIXES, "pictures"), most)
    shown = str(max_tokens)
    for sight, path in _sights("picture", paths, shown, lambda path: picture_loader(path, max_tokens)):
        given = _sidecar(path) if captions else None
        asked += [
            Question(sight, text, given if place == 0 else None) for place, text in enumerate(questions)
        ]
    if captions and all(question.given is None for question in asked):
        raise UsageError(f"{folder}: no picture has a caption (NAME.txt) beside it; leave out --captions")
    return tuple(asked)


def clip_questions(
    folder: Path,
    questions: Sequence[str],
    *,
    most: int | None = None,
    options: ClipOptions = DEFAULT_CLIP_OPTIONS,
) -> tuple[Question, ...]:
    """Ask `questions` about each clip in `folder`, of which `options` are shown; see `picture_questions`."""
    paths = _spread(files_in(folder, CLIP_SUFFIXES, "clips"), most)
    sights = _sights("clip", paths, repr(options), lambda path: clip_loader(path, options))
    return tuple(Question(sight, text) for sight, _ in sights for text in questions)


def read_passage(path: Path) -> Passage:
    """Read running text.

    Raises:
        UsageError: It is no text, or empty.
    """
    text = read_text(path, _TEXT_BYTES, UsageError)
    if not text.strip():
        raise UsageError(f"{path}: the text is empty; give prose of some thousand words")
    return Passage(path.name, hashlib.sha256(text.encode()).hexdigest(), text)


def read_questions(path: Path) -> tuple[str, ...]:
    """Read questions, one a line; empty lines are left out.

    Raises:
        UsageError: There is none.
    """
    lines = tuple(filter(None, map(str.strip, read_text(path, _SIDECAR_BYTES, UsageError).split("\n"))))
    if not lines:
        raise UsageError(f"{path}: no question in this file; write one on each line")
    return lines


def _sidecar(path: Path) -> str | None:
    beside = path.with_suffix(".txt")
    if not beside.is_file():
        return None
    return read_text(beside, _SIDECAR_BYTES, MediaError).strip() or None


def _sights(
    kind: Kind, paths: Sequence[Path], shown: str, loader: Callable[[Path], Callable[[EngineInfo], Content]]
) -> list[tuple[Sight, Path]]:
    """Tell files from one another by content and by how they are `shown`; they are read when asked about."""
    found: dict[str, tuple[Sight, Path]] = {}
    for path in paths:
        try:
            identity = f"{content_sha256(path)} {shown}"
        except OSError:  # then loading it says why
            identity = f"unreadable {path}"
        found.setdefault(identity, (Sight(kind, str(path), identity, loader(path)), path))
    return list(found.values())


def _spread(paths: list[Path], most: int | None) -> list[Path]:
    if most is None or most >= len(paths):
        return paths
    return [paths[place * len(paths) // most] for place in range(most)]
