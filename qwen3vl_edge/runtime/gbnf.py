"""Checks the text of a grammar before llama.cpp reads it.

llama.cpp prints what is wrong in a grammar on standard error and tells its caller nothing; some grammars
take its process down. The language: grammars/README.md and the parser in src/llama-grammar.cpp of
llama.cpp 0c1e57098.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from qwen3vl_edge.errors import UsageError

__all__ = ["check_grammar"]

_ROOT = "root"
_MOST_CHARACTERS = 1 << 20
# llama.cpp reads groups and looks for left recursion recursively: 10000 groups in each other and 30000
# rules in a row fit 8 MiB of stack, 30000 groups do not
_MOST_NESTED = 500
_MOST_RULES = 20_000
_MOST_REPEATED = 2000  # MAX_REPETITION_THRESHOLD, src/llama-grammar.cpp

_ESCAPE = r"""\\(?:[trn\\"\[\]-]|x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8})"""
_TOKEN = re.compile(
    r"(?P<space>[ \t]+|#[^\r\n]*)"
    r"|(?P<line>\r\n|\r|\n)"
    r"|(?P<name>[A-Za-z0-9-]+)"
    r"|(?P<defines>::=)"
    rf'|"(?P<literal>(?:[^"\\]|{_ESCAPE})*)"'
    rf"|\[(?P<class>\^?+(?:[^\]\\]|{_ESCAPE})+)\]"
    r"|(?P<any>\.)"
    r"|(?P<simple>[*+?])"
    r"|\{\s*(?P<least>[0-9]{1,9})\s*(?P<range>,\s*(?P<most>[0-9]{0,9})\s*)?\}"
    r"|(?P<or>\|)"
    r"|(?P<open>\()"
    r"|(?P<close>\))"
)
_SIMPLE = {"*": (0, None), "+": (1, None), "?": (0, 1)}


def check_grammar(text: str) -> None:
    """Check that `text` is a grammar in GBNF that llama.cpp can follow.

    Left recursion is left to llama.cpp, which says so itself. Rules on tokens (``<think>``, ``!<[7]>``)
    are refused: where one meets characters, llama.cpp admits tokens that it then aborts on.

    Raises:
        UsageError: What is wrong, and in which line.
    """
    if len(text) > _MOST_CHARACTERS:
        raise UsageError(f"the grammar has {len(text)} characters, {_MOST_CHARACTERS} can be; shorten it")
    if "\0" in text or not _is_unicode(text):
        raise UsageError("the grammar holds NUL or half a surrogate pair; write such characters as \\x00")
    rules = _Rules()
    line = 1
    for match in _tokens(text):
        try:
            rules.take(match, line)
        except _FaultError as fault:
            raise UsageError(f"grammar, line {line}: {fault}") from None
        line += len(re.findall(r"\r\n|\r|\n", match.group()))
    rules.finish()


class _FaultError(Exception):
    """What is wrong in the line that is being read."""


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _tokens(text: str) -> Iterator[re.Match[str]]:
    start = 0
    while start < len(text):
        match = _TOKEN.match(text, start)
        if match is None:
            line = len(re.findall(r"\r\n|\r|\n", text[:start])) + 1
            raise UsageError(f"grammar, line {line}: {_unreadable(text[start:])}")
        yield match
        start = match.end()


def _unreadable(rest: str) -> str:
    if rest[0] in "<!":
        return f"{rest[:20]!r} is a rule on tokens, which is not supported; write the text itself"
    named = {
        '"': "a text without its end or with an unknown escape",
        "[": "a class that is empty or not closed",
    }
    return f"{rest[:20]!r} is {named.get(rest[0], 'no part of a grammar')}; mend it"


@dataclass(slots=True)
class _Sequence:
    """A row of items in a rule or group; `weight` is how many rules the last one stands for."""

    n_rules_before: int
    weight: int | None = None  # None: there is nothing that could be repeated


class _Rules:
    """Follows the tokens of a grammar; counts rules as llama.cpp's parser makes them."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._defined: set[str] = set()
        self._used: dict[str, int] = {}  # name -> line
        self._n_made = 0  # rules that groups and repetitions become
        self._name: str | None = None  # of the rule whose ::= is awaited
        self._open: list[_Sequence] = []  # the rule's body and the groups in it that are open
        self._goes_on = False  # a line end now does not end the rule

    @property
    def _n_rules(self) -> int:
        return self._n_made + len(self._names)

    def take(self, match: re.Match[str], line: int) -> None:
        kind = match.lastgroup if match.lastgroup not in {"least", "most", "range"} else "least"
        if kind == "space":
            return
        if kind == "line":
            self._end_line()
        elif not self._open:
            self._head(kind, match.group())
        else:
            self._body(kind, match, line)

    def finish(self) -> None:
        """Look at the whole."""
        if self._name is not None or len(self._open) > 1:
            raise UsageError("the grammar ends in the middle of a rule; complete it")
        if _ROOT not in self._defined:
            raise UsageError("the grammar has no rule `root`, where every answer begins; add it")
        for name, line in self._used.items():
            if name not in self._defined:
                raise UsageError(f"grammar, line {line}: {name!r:.60} is not defined; add a rule for it")

    def _end_line(self) -> None:
        if self._name is not None:
            raise _FaultError(f"{self._name!r:.60} is not followed by ::= and what it stands for; mend it")
        if len(self._open) == 1 and not self._goes_on:
            self._open.pop()

    def _head(self, kind: str | None, text: str) -> None:
        if self._name is None and kind == "name":
            self._name = text
        elif self._name is not None and kind == "defines":
            self._defined.add(self._name)
            self._names.add(self._name)
            self._name = None
            self._open.append(_Sequence(self._n_rules))
            self._goes_on = True
        else:
            raise _FaultError(f"a rule begins with NAME ::= and not with {text!r:.60}; mend it")

    def _body(self, kind: str | None, match: re.Match[str], line: int) -> None:
        self._goes_on = kind == "or"
        last = self._open[-1]
        if kind == "or":
            last.weight = None
        elif kind == "open":
            self._nest()
        elif kind == "close":
            self._close()
        elif kind == "simple":
            self._repeat(last, *_SIMPLE[match.group()])
        elif kind == "least":
            self._repeat(last, *_bounds(match))
        elif kind == "defines":
            raise _FaultError("::= stands in the middle of a rule; begin a line with its name")
        else:
            if kind == "name":
                self._used.setdefault(match.group(), line)
                self._names.add(match.group())
            last.weight = 1 if match.group() != '""' else None

    def _nest(self) -> None:
        if len(self._open) > _MOST_NESTED:
            raise _FaultError(f"more than {_MOST_NESTED} groups stand in each other; give them names")
        self._open.append(_Sequence(self._n_rules))
        self._make(1)

    def _close(self) -> None:
        if len(self._open) == 1:
            raise _FaultError("a ) has no (; mend it")
        group = self._open.pop()
        self._open[-1].weight = max(1, self._n_rules - group.n_rules_before)

    def _repeat(self, last: _Sequence, least: int, most: int | None) -> None:
        if last.weight is None:
            raise _FaultError("there is nothing to repeat before a * + ? or {}; mend it")
        if least > _MOST_REPEATED or (most is not None and most < least):
            raise _FaultError(
                f"{{{least},{'' if most is None else most}}} cannot be; use up to {_MOST_REPEATED} in order"
            )
        if most is not None and most > _MOST_REPEATED:
            most = None  # llama.cpp takes it for no limit
        last.weight *= most or least or 1
        if last.weight > _MOST_REPEATED:
            raise _FaultError(f"a repetition makes more than {_MOST_REPEATED} rules; repeat less or simpler")
        self._make(1 if most is None else most - least)

    def _make(self, n_rules: int) -> None:
        self._n_made += n_rules
        if self._n_rules > _MOST_RULES:
            raise _FaultError(f"the grammar makes more than {_MOST_RULES} rules; simplify it")


def _bounds(match: re.Match[str]) -> tuple[int, int | None]:
    least = int(match["least"])
    if match["range"] is None:
        return least, least
    return least, int(match["most"]) if match["most"] else None
