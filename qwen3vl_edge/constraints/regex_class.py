r"""Single characters of a regular expression: literals, escapes and classes such as ``[^a-z\d]``."""

from dataclasses import dataclass

from qwen3vl_edge.constraints import charsets
from qwen3vl_edge.constraints.charsets import Ranges, complement, intersection, union
from qwen3vl_edge.constraints.nodes import Node, chars
from qwen3vl_edge.errors import UsageError

__all__ = ["Choice", "class_escape", "read_class", "unlike"]

# What a class that names what it leaves out may still choose.
_OPEN = union(charsets.PRINTABLE, charsets.of_text("\t\n\r"))
_CONTROLS = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "v": "\v", "a": "\a", "b": "\b"}
_HEX_DIGITS = {"x": 2, "u": 4, "U": 8}


@dataclass(frozen=True, slots=True)
class Choice:
    """Characters that surely match, and all that might: a complement must leave out the latter."""

    surely: Ranges
    maybe: Ranges

    @classmethod
    def of(cls, text: str) -> "Choice":
        """Return exactly the characters of `text`."""
        return cls(charsets.of_text(text), charsets.of_text(text))

    @classmethod
    def without(cls, other: "Choice") -> "Choice":
        """Return what does not match `other`."""
        return cls(intersection(_OPEN, complement(other.maybe)), complement(other.surely))

    def node(self) -> Node:
        """Return one of the characters that surely match."""
        return chars(intersection(self.surely, charsets.POSSIBLE))


def unlike(ranges: Ranges) -> Node:
    """Return one character outside `ranges`, and no control character but tab and line ends."""
    return Choice.without(Choice(ranges, ranges)).node()


def class_escape(text: str, at: int, what: str) -> tuple[int, Choice]:
    r"""Read the escape whose backslash is at `at`; return where it ends, and what it means in a class."""
    sign = text[at + 1]
    if sign in "dDwWsS":
        choice = _category(sign.lower())
        return at + 2, Choice.without(choice) if sign.isupper() else choice
    if sign in _HEX_DIGITS:
        end = at + 2 + _HEX_DIGITS[sign]
        return end, Choice.of(chr(int(text[at + 2 : end], 16)))
    if sign.isdigit() or sign == "N":
        raise UsageError(f"{what}: escape \\{sign} at character {at + 1} cannot be held; write \\x or \\u")
    return at + 2, Choice.of(_CONTROLS.get(sign, sign))


def read_class(text: str, at: int, what: str) -> tuple[int, Choice]:
    """Read the class whose opening bracket is before `at`; return where it ends, and its characters."""
    negated = text[at] == "^"
    at = first = at + negated
    found = []
    while text[at] != "]" or at == first:
        at, one = _class_item(text, at, what)
        if text[at] == "-" and text[at + 1] != "]":
            at, last = _class_item(text, at + 1, what)
            span = ((one.surely[0][0], last.surely[0][0]),)
            one = Choice(span, span)
        found.append(one)
    whole = Choice(union(*(one.surely for one in found)), union(*(one.maybe for one in found)))
    return at + 1, Choice.without(whole) if negated else whole


def _class_item(text: str, at: int, what: str) -> tuple[int, Choice]:
    return class_escape(text, at, what) if text[at] == "\\" else (at + 1, Choice.of(text[at]))


def _category(sign: str) -> Choice:
    match sign:
        case "d":
            return Choice(charsets.DIGITS, charsets.all_digits())
        case "w":
            return Choice(charsets.WORD, charsets.all_word())
        case _:
            return Choice(charsets.SPACES, charsets.all_spaces())
