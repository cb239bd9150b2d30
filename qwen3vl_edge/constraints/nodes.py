"""A grammar as values: what may follow what, before it is written down as GBNF.

Nodes are made by the functions below, which keep them in order: nothing stands in a sequence that
cannot be reached, and `NEVER`, which no text fits, spreads until an alternative drops it. So a
grammar that is not `NEVER` as a whole has no dead end.
"""

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = [
    "EMPTY",
    "NEVER",
    "Alt",
    "Chars",
    "Node",
    "Repeat",
    "Rule",
    "Seq",
    "Text",
    "alt",
    "chars",
    "optional",
    "repeat",
    "rule",
    "seq",
    "width",
]


@dataclass(frozen=True, slots=True)
class Text:
    """Exactly these characters."""

    value: str


@dataclass(frozen=True, slots=True)
class Chars:
    """One character of these inclusive ranges of code points, in ascending order and apart."""

    ranges: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Seq:
    """One after the other."""

    parts: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Alt:
    """One of these; of none at all: nothing fits."""

    options: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """`body` from `least` to `most` times (None: without end). `body` fits no empty text."""

    body: "Node"
    least: int
    most: int | None


@dataclass(frozen=True, eq=False, slots=True)
class Rule:
    """A node that gets a line of its own in the grammar. Two are equal when they are the same object.

    That makes comparing nodes cheap: shared parts are not looked into, however often they are shared.
    """

    hint: str
    body: "Node"
    width: tuple[int, int | None]


Node = Text | Chars | Seq | Alt | Repeat | Rule

EMPTY = Text("")
"""Fits the empty text and nothing else."""

NEVER = Alt(())
"""Fits nothing."""


def chars(ranges: Iterable[tuple[int, int]]) -> Node:
    """Return one character of `ranges`, which are in ascending order and apart."""
    kept = tuple(ranges)
    if len(kept) == 1 and kept[0][0] == kept[0][1]:
        return Text(chr(kept[0][0]))
    return Chars(kept) if kept else NEVER


def rule(hint: str, body: Node) -> Node:
    """Return `body` on a line of its own, named after `hint`."""
    return body if body == NEVER or isinstance(body, Text | Chars | Rule) else Rule(hint, body, width(body))


def seq(*parts: Node) -> Node:
    """Return `parts` one after the other: `NEVER` if one of them is."""
    flat: list[Node] = []
    for part in parts:
        for one in part.parts if isinstance(part, Seq) else (part,):
            if one == NEVER:
                return NEVER
            if isinstance(one, Text) and flat and isinstance(flat[-1], Text):
                flat[-1] = Text(flat[-1].value + one.value)
            elif one != EMPTY:
                flat.append(one)
    if not flat:
        return EMPTY
    return flat[0] if len(flat) == 1 else Seq(tuple(flat))


def alt(*options: Node) -> Node:
    """Return one of `options`, without those that nothing fits and without doubles."""
    flat: dict[Node, None] = {}
    for option in options:
        flat.update(dict.fromkeys(option.options if isinstance(option, Alt) else (option,)))
    if EMPTY in flat and len(flat) > 1:
        return optional(alt(*(option for option in flat if option != EMPTY)))
    return next(iter(flat)) if len(flat) == 1 else Alt(tuple(flat))


def optional(body: Node) -> Node:
    """Return `body` or nothing."""
    return EMPTY if body == NEVER else repeat(body, 0, 1)


def repeat(body: Node, least: int, most: int | None) -> Node:
    """Return `body` from `least` to `most` times (None: without end).

    A body that fits the empty text is repeated without it: the same texts, and llama.cpp, which takes
    a loop over nothing for left recursion (src/llama-grammar.cpp, 0c1e57098), reads the grammar.
    """
    if most == 0 or body == NEVER:
        return EMPTY if least == 0 else NEVER
    if most is not None and least > most:
        return NEVER
    if width(body)[0] == 0:
        body, least = _filled(body), 0
    if body == NEVER:
        return EMPTY
    return body if least == most == 1 else Repeat(body, least, most)


def width(node: Node) -> tuple[int, int | None]:
    """Return the fewest and the most characters (None: no end) of the texts that `node` fits."""
    match node:
        case Text(value):
            return len(value), len(value)
        case Chars():
            return 1, 1
        case Rule():
            return node.width
        case Seq(parts):
            widths = [width(part) for part in parts]
            return sum(low for low, _ in widths), _total(high for _, high in widths)
        case Alt(options):
            widths = [width(option) for option in options]
            highs = [high for _, high in widths]
            most = None if None in highs else max((high for high in highs if high is not None), default=0)
            return min((low for low, _ in widths), default=0), most
        case Repeat(body, least, most):
            low, high = width(body)
            return low * least, None if most is None or high is None else high * most


def _total(highs: Iterable[int | None]) -> int | None:
    total = 0
    for high in highs:
        if high is None:
            return None
        total += high
    return total


def _filled(node: Node) -> Node:
    """Return what fits the texts of `node` but the empty one."""
    if width(node)[0]:
        return node
    match node:
        case Alt(options):
            return alt(*(_filled(option) for option in options))
        case Repeat(body, _, most):  # the body is never empty: `repeat` sees to it
            return repeat(body, 1, most)
        case Rule():
            return _filled(node.body)
        case Seq(parts):
            return alt(*(seq(_filled(part), *parts[i + 1 :]) for i, part in enumerate(parts)))
        case _:
            return NEVER
