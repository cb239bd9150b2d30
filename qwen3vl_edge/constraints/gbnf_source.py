"""GBNF text read from left to right: blanks, signs, names, texts, classes and repetitions.

The syntax is that of src/llama-grammar.cpp, 0c1e57098.
"""

import re
from functools import lru_cache

from qwen3vl_edge.constraints.charsets import POSSIBLE, complement, intersection, of_text, union
from qwen3vl_edge.constraints.rules import Letters
from qwen3vl_edge.errors import UsageError
from qwen3vl_edge.json_fields import shown

__all__ = ["Source"]

_NAME = re.compile(r"[a-zA-Z0-9-]+")
_BLANKS = re.compile(r"(?:[ \t]+|#[^\r\n]*)*")
_BLANKS_OR_LINES = re.compile(r"(?:[ \t\r\n]+|#[^\r\n]*)*")
_LINE_END = re.compile(r"\r\n?|\n")
_TIMES = re.compile(r"\{[ \t]*([0-9]{1,9})[ \t]*(?:(,)[ \t]*([0-9]{1,9})?[ \t]*)?\}")
_PLAIN = re.compile(r'[^"\\]+')
_CHAR = re.compile(
    r'\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([trn\\"\[\]-]))|([^\\])', re.DOTALL
)
_LAST_POINT = 0x10FFFF
_LARGEST_CLASS = 10_000  # members; llama.cpp goes through them for each token that it is asked about
_SHORT = {"t": "\t", "r": "\r", "n": "\n"}
_SIGNS: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}


class Source:
    """A text and how far it has been read.

    Args:
        text: The text, without NUL and half surrogate pairs.
        what: What it is, for messages.
    """

    def __init__(self, text: str, what: str) -> None:
        self._text, self._what = text, what
        self.at = 0

    @property
    def sign(self) -> str:
        """The next character; empty at the end."""
        return self._text[self.at : self.at + 1]

    def take(self, sign: str) -> bool:
        """Go past `sign`, if it comes next."""
        taken = self._text.startswith(sign, self.at)
        self.at += len(sign) if taken else 0
        return taken

    def skip(self, *, lines: bool) -> None:
        """Go past blanks and comments, and past line ends as well if `lines`."""
        found = (_BLANKS_OR_LINES if lines else _BLANKS).match(self._text, self.at)
        self.at = self.at if found is None else found.end()

    def name(self) -> str:
        """Read the name of a rule; empty: there is none."""
        found = _NAME.match(self._text, self.at)
        self.at = self.at if found is None else found.end()
        return found[0] if found else ""

    def literal(self) -> list[Letters]:
        """Read a text whose opening quote has been taken."""
        start, found = self.at - 1, list[Letters]()
        while not self.take('"'):
            plain = _PLAIN.match(self._text, self.at)
            if plain is not None:
                self.at = plain.end()
                found += map(_letter, plain[0])
            else:
                found.append(self._writable(_letter(self._char(start)), start))
        return found

    def letters(self) -> Letters:
        """Read a class whose opening bracket has been taken."""
        start, negated, pairs = self.at - 1, self.take("^"), list[tuple[int, int]]()
        while not self.take("]"):
            first = last = self._char(start)
            if self._text.startswith("-", self.at) and not self._text.startswith("-]", self.at):
                self.at += 1
                last = self._char(start)
            if first > last:
                raise self.fault("the range runs backwards")
            pairs.append((ord(first), ord(last)))
            if len(pairs) > _LARGEST_CLASS:
                raise self.fault(f"a class of more than {_LARGEST_CLASS} members", start)
        # llama.cpp takes [^] for an empty text.
        ranges = complement(union(pairs)) if negated and pairs else union(pairs)
        return self._writable(Letters(intersection(ranges, POSSIBLE)), start)

    def times(self) -> tuple[int, int | None]:
        """Read a repetition, whose sign comes next: the fewest times and the most (None: no limit)."""
        start, sign = self.at, self.sign
        if self.take(sign) and sign in _SIGNS:
            return _SIGNS[sign]
        found = _TIMES.match(self._text, start)
        if found is None:
            raise self.fault("a repetition {n}, {n,} or {m,n} is expected", start)
        self.at = found.end()
        least = int(found[1])
        most = None if found[2] and found[3] is None else int(found[3] or least)
        if most is not None and most < least:
            raise self.fault("the repetition runs backwards", start)
        return least, most

    def fault(self, what: str, at: int | None = None) -> UsageError:
        """Return the error that `what` is wrong, where reading is or at `at`."""
        position = self.at if at is None else at
        line = len(_LINE_END.findall(self._text, 0, position)) + 1
        near = self._text[position : position + 20]
        return UsageError(f"{self._what}, line {line} ({shown(near) if near else 'the end'}): {what}")

    def _char(self, start: int) -> str:
        """Read a character of what began at `start`."""
        found = _CHAR.match(self._text, self.at)
        if found is None:
            raise self.fault("an unknown escape") if self.sign else self.fault("is not closed", start)
        self.at = found.end()
        if found[4]:
            return _SHORT.get(found[4], found[4])
        point = int(found[1] or found[2] or found[3] or "0", 16)
        if point > _LAST_POINT:
            raise self.fault("no character has such a number", start)
        return found[5] or chr(point)

    def _writable(self, letters: Letters, start: int) -> Letters:
        if not letters.ranges:
            raise self.fault("no character that can be written", start)
        return letters


@lru_cache(maxsize=1024)
def _letter(char: str) -> Letters:
    return Letters(intersection(of_text(char), POSSIBLE))
