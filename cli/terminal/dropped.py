"""Pictures, clips and addresses in a typed line, as file managers drop them: quoted, escaped, ``file://``."""

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from qwen3vl_edge.clips import CLIP_SUFFIXES
from qwen3vl_edge.images import IMAGE_SUFFIXES

__all__ = ["Link", "Piece", "is_link", "named_file", "named_files", "split_line"]

_MEDIA_SUFFIXES = IMAGE_SUFFIXES | CLIP_SUFFIXES
_QUOTED = re.compile(r"'([^']+)'|\"([^\"]+)\"")
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
    text, at = "", 0
    while at < len(line):
        found, length = _at(line[at:])
        if isinstance(found, str) or (isinstance(found, Link) and not links):
            text += line[at : at + length]
        else:
            pieces += [text, found]
            text = ""
        at += length
    stripped = [piece.strip() if isinstance(piece, str) else piece for piece in [*pieces, text]]
    return [piece for piece in stripped if piece]


def named_files(text: str) -> list[str]:
    """Take the argument of a command apart: quoted, escaped or separated by spaces; nothing need exist.

    A file whose unquoted name holds spaces is taken as a whole if it is there.
    """
    if _existing(text.strip()) is not None:
        return [text.strip()]
    words, at = [], 0
    while at < len(text):
        found = _QUOTED.match(text, at) or _SPACE.match(text, at) or _WORD.match(text, at)
        if found is None:
            break
        words.append(found[1] or found[2] or "" if found.re is _QUOTED else found[0].strip())
        at = found.end()
    return [word for word in words if word]


def named_file(word: str) -> Path:
    """Give the path that `word` means, whether it is there or not."""
    return _existing(word) or _readings(word)[-1]


def is_link(word: str) -> bool:
    """Whether `word` is a web address."""
    return word.lower().startswith(("http://", "https://"))


def _at(rest: str) -> tuple[Piece, int]:
    """Give what `rest` begins with, and how many characters that takes."""
    if space := _SPACE.match(rest):
        return space[0], space.end()
    if quoted := _QUOTED.match(rest):
        path = _media(quoted[1] or quoted[2])
        if path is not None:
            return path, quoted.end()
    word = _WORD.match(rest)
    length = word.end() if word else 1
    word_text, bare = rest[:length], rest[:length].rstrip(_AFTER_A_NAME)
    for found, shown in ((_link(bare), bare), (_media(word_text), word_text), (_media(bare), bare)):
        if found is not None:
            return found, len(shown)
    return word_text, length


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
    return next((path for path in _readings(word) if _is_file(path)), None)


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


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long for a name, or holds NUL
        return False
