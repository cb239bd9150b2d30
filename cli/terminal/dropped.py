"""Pictures, clips and addresses in a typed line, as file managers drop them: quoted, escaped, ``file://``."""

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from qwen3vl_edge.clips import CLIP_SUFFIXES
from qwen3vl_edge.images import IMAGE_SUFFIXES

__all__ = ["Link", "Piece", "is_link", "named_file", "named_files", "split_line"]

_MEDIA_SUFFIXES = IMAGE_SUFFIXES | CLIP_SUFFIXES
_QUOTED = re.compile(r"'([^']+)'|\"([^\"]+)\"")
_NAMED = re.compile(r"'([^']*)'|\"([^\"]*)\"")  # nothing between quotes names nothing
_WORD = re.compile(r"(?:\\.|[^\s\\])+|\\")
_SPACE = re.compile(r"\s+")
_AFTER_A_NAME = ".,;:!?)"


@dataclass(frozen=True, slots=True)
class Link:
    """The address of a picture."""

    url: str


Piece = str | Path | Link


def split_line(line: str, *, links: bool = True) -> list[Piece]:
    """Take `line` apart into texts, and the media files and, if `links`, addresses between them.

    A word counts as a file only if there is such a picture or clip, as an address only if its path ends
    like a picture's name. Texts are stripped, and left out if nothing remains.
    """
    pieces: list[Piece] = []
    at = begun = 0
    while at < len(line):
        found, end = _at(line, at)
        if isinstance(found, Path) or (isinstance(found, Link) and links):
            pieces += [line[begun:at], found]
            begun = end
        at = end
    stripped = [piece.strip() if isinstance(piece, str) else piece for piece in [*pieces, line[begun:]]]
    return [piece for piece in stripped if piece]


def named_files(text: str) -> list[str]:
    """Take the argument of a command apart: quoted, escaped or separated by spaces; nothing need exist.

    A file or folder whose unquoted name holds spaces is taken as a whole if it is there.
    """
    if text.strip() and _there(text.strip()) is not None:
        return [text.strip()]
    words, at = [], 0
    while at < len(text):
        found = _NAMED.match(text, at) or _SPACE.match(text, at) or _WORD.match(text, at)
        if found is None:
            break
        words.append(found[1] or found[2] or "" if found.re is _NAMED else found[0].strip())
        at = found.end()
    return [word for word in words if word]


def named_file(word: str) -> Path:
    """Give the path that `word` means, whether it is there or not."""
    return _there(word) or _readings(word)[-1]


def is_link(word: str) -> bool:
    """Whether `word` is a web address."""
    return word.lower().startswith(("http://", "https://"))


def _at(line: str, at: int) -> tuple[Path | Link | None, int]:
    """Give the file or address that stands in `line` at `at`, and where it, or the word there, ends."""
    if space := _SPACE.match(line, at):
        return None, space.end()
    if quoted := _QUOTED.match(line, at):
        path = _media(quoted[1] or quoted[2])
        if path is not None:
            return path, quoted.end()
    word = _WORD.match(line, at)
    end = word.end() if word else at + 1
    word_text = line[at:end]
    bare = word_text.rstrip(_AFTER_A_NAME)
    for found, shown in ((_link(bare), bare), (_media(word_text), word_text), (_media(bare), bare)):
        if found is not None:
            return found, at + len(shown)
    return None, end


def _link(word: str) -> Link | None:
    if not is_link(word):
        return None
    try:
        path = urlsplit(word).path
    except ValueError:  # half an IPv6 address
        return None
    return Link(word) if Path(path).suffix.lower() in IMAGE_SUFFIXES else None


def _media(word: str) -> Path | None:
    if Path(unquote(word)).suffix.lower() not in _MEDIA_SUFFIXES:
        return None
    return _existing(word)


def _existing(word: str) -> Path | None:
    return next((path for path in _readings(word) if _is(path, Path.is_file)), None)


def _there(word: str) -> Path | None:
    """Give the file or folder that `word` means, if it is there."""
    return next((path for path in _readings(word) if _is(path, Path.exists)), None)


def _readings(word: str) -> list[Path]:
    if word.lower().startswith("file://"):
        return [Path(url2pathname(urlsplit(word).path))]
    unescaped = word if sys.platform == "win32" else re.sub(r"\\(.)", r"\1", word)
    return [_expanded(word), _expanded(unescaped)]


def _expanded(word: str) -> Path:
    try:
        return Path(word).expanduser()
    except RuntimeError:  # ~ of somebody who is not known here
        return Path(word)


def _is(path: Path, kind: Callable[[Path], bool]) -> bool:
    try:
        return kind(path)
    except (OSError, ValueError):  # too long for a name, or holds NUL
        return False
