r"""Regular expressions in the syntax of Python's ``re``, as nodes.

What the nodes fit, ``re.fullmatch`` fits: ``\d``, ``\w`` and ``\s`` mean their ASCII characters, which
are some of Python's; a class that leaves characters out (``.``, ``[^,]``, ``\W``) leaves out control
characters other than tab and line ends as well. Greedy and lazy repetitions fit the same texts.
"""

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from qwen3vl_edge.constraints import charsets
from qwen3vl_edge.constraints.nodes import EMPTY, Node, alt, repeat, seq
from qwen3vl_edge.constraints.regex_class import Choice, class_escape, read_class, unlike
from qwen3vl_edge.errors import UsageError

__all__ = ["ANY", "Branch", "join", "parse"]

ANY = unlike(())
"""Any character but control characters other than tab and line ends."""


_MOST_CHARACTERS = 10_000
_DEEPEST = 50  # groups within groups
_MOST_TIMES = 10_000
_QUANTIFIER = re.compile(r"([*+?]|\{(?:(\d+)|(\d*),(\d*))\})([?+]?)")
_NAMED_GROUP = re.compile(r"\?P<\w+>")
_REFUSED_GROUPS = {
    "?=": "look-ahead (?=…)",
    "?!": "negative look-ahead (?!…)",
    "?<": "look-behind (?<…)",
    "?P=": "back-reference (?P=…)",
    "?>": "atomic group (?>…)",
    "?(": "conditional (?(…)…)",
}


@dataclass(frozen=True, slots=True)
class Branch:
    """One alternative of the whole expression, and whether ``^`` and ``$`` tie its ends."""

    body: Node
    starts: bool
    ends: bool


def parse(pattern: str, what: str) -> tuple[Branch, ...]:
    """Return the alternatives of `pattern`.

    Args:
        pattern: Syntax of Python's ``re``, without what looks around or back.
        what: Where it stands, for the message.

    Raises:
        UsageError: no regular expression, or one that a grammar cannot hold.
    """
    if len(pattern) > _MOST_CHARACTERS:
        raise UsageError(f"{what}: {len(pattern)} characters are more than the {_MOST_CHARACTERS} allowed")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about what later Pythons may read otherwise
            re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as failure:
        raise UsageError(f"{what}: not a regular expression ({failure})") from failure
    return _Parser(pattern, what).branches()


def join(branches: Sequence[Branch], around: Node = EMPTY) -> Node:
    """Return `branches` as one node, with `around` at every end that is not tied."""
    return alt(
        *(seq(EMPTY if one.starts else around, one.body, EMPTY if one.ends else around) for one in branches)
    )


class _Parser:
    """Reads a pattern that ``re.compile`` accepts, from left to right."""

    def __init__(self, pattern: str, what: str) -> None:
        self._text, self._what = pattern, what
        self._at = self._depth = 0

    def branches(self) -> tuple[Branch, ...]:
        found = [self._branch()]
        while self._take("|"):
            found.append(self._branch())
        return tuple(found)

    def _branch(self) -> Branch:
        starts = self._take("^") or self._take(r"\A")
        body = self._sequence()
        ends = self._take("$") or self._take(r"\Z")
        if self._at < len(self._text) and self._text[self._at] != "|":
            raise self._fault("an anchor inside the expression")
        return Branch(body, starts, ends)

    def _sequence(self) -> Node:
        parts = []
        while self._at < len(self._text) and not self._text.startswith(("|", ")", "$", r"\Z"), self._at):
            parts.append(self._times(self._atom()))
        return seq(*parts)

    def _times(self, body: Node) -> Node:
        found = _QUANTIFIER.match(self._text, self._at)
        if found is None:
            return body
        if found[5] == "+":
            raise self._fault(f"possessive repetition {found[0]}")
        self._at = found.end()
        least, most = _bounds(found)
        if max(least, most or 0) > _MOST_TIMES:
            raise self._fault(f"a repetition of more than {_MOST_TIMES} times")
        return repeat(body, least, most)

    def _atom(self) -> Node:
        if self._take("("):
            return self._group()
        if self._take("["):
            self._at, chosen = read_class(self._text, self._at, self._what)
            return chosen.node()
        if self._take("."):
            return unlike(charsets.of_text("\n"))
        if self._text[self._at] == "^":
            raise self._fault("an anchor inside the expression")
        if self._text[self._at] == "\\":
            return self._escape()
        self._at += 1
        return Choice.of(self._text[self._at - 1]).node()

    def _escape(self) -> Node:
        sign = self._text[self._at + 1]
        refused = {"b": r"word boundary \b", "B": r"\B", "A": "an anchor inside the expression"}
        if sign.isdigit() or sign in refused:
            raise self._fault(refused.get(sign, f"back-reference or octal escape \\{sign}"))
        self._at, chosen = class_escape(self._text, self._at, self._what)
        return chosen.node()

    def _group(self) -> Node:
        if self._take("?#"):
            self._at = self._text.index(")", self._at) + 1
            return EMPTY
        self._open()
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._fault(f"more than {_DEEPEST} groups within each other")
        options = [self._sequence()]
        while self._take("|"):
            options.append(self._sequence())
        if not self._take(")"):
            raise self._fault("an anchor inside the expression")
        self._depth -= 1
        return alt(*options)

    def _open(self) -> None:
        """Go past what follows the parenthesis of a group."""
        named = _NAMED_GROUP.match(self._text, self._at)
        if named is not None:
            self._at = named.end()
        elif not self._take("?:") and self._text.startswith("?", self._at):
            names = [name for sign, name in _REFUSED_GROUPS.items() if self._text.startswith(sign, self._at)]
            raise self._fault(names[0] if names else "a flag such as (?i)")

    def _take(self, sign: str) -> bool:
        taken = self._text.startswith(sign, self._at)
        self._at += len(sign) if taken else 0
        return taken

    def _fault(self, construct: str) -> UsageError:
        return UsageError(
            f"{self._what}: {construct} at character {self._at + 1} cannot be held; write it without"
        )


def _bounds(found: re.Match[str]) -> tuple[int, int | None]:
    if not found[1].startswith("{"):
        return {"*": (0, None), "+": (1, None), "?": (0, 1)}[found[1]]
    if found[2] is not None:
        return int(found[2]), int(found[2])
    return int(found[3] or 0), int(found[4]) if found[4] else None
