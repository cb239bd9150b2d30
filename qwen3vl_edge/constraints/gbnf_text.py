"""GBNF text taken apart into plain rules, as llama.cpp does it: groups and repetitions become rules.

The syntax is that of src/llama-grammar.cpp, 0c1e57098, without its token elements (``<…>``): text is
never parsed for special tokens, and where such an element meets characters, llama.cpp admits tokens that
it then aborts on. It prints its complaints to standard error and returns nothing, and some grammars take
its process down or its memory: whatever is let through here, it reads and follows.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from qwen3vl_edge.constraints.charsets import POSSIBLE
from qwen3vl_edge.constraints.gbnf_source import Source
from qwen3vl_edge.constraints.machine import check_crowds
from qwen3vl_edge.constraints.rules import Item, Letters, Ref, Rules, check_rules
from qwen3vl_edge.errors import UsageError
from qwen3vl_edge.json_fields import shown

__all__ = ["read_gbnf"]

_MOST_CHARACTERS = 1_000_000
_MOST_REPETITIONS = 2000  # MAX_REPETITION_THRESHOLD
# llama.cpp looks for left recursion recursively: 30000 rules in a row fit 8 MiB of stack.
_MOST_RULES = 20_000
_MOST_ITEMS = 1_000_000  # with those that repetitions write again; 8 bytes each in llama.cpp
_DEEPEST = 100  # groups within groups
_UNWRITABLE = re.compile("[\0\ud800-\udfff]")


@lru_cache(maxsize=8)
def read_gbnf(text: str, what: str = "the grammar") -> Rules:
    """Return the rules of a grammar, the user's and those of its groups and repetitions.

    A grammar is read again for every answer, mostly the same: the last ones are kept.

    Args:
        text: The grammar.
        what: What it is, for the message.

    Raises:
        UsageError: the text is no GBNF (the message says in which line), or cannot be followed.
    """
    if len(text) > _MOST_CHARACTERS or _UNWRITABLE.search(text):
        raise UsageError(
            f"{what}: longer than {_MOST_CHARACTERS} characters, or with a NUL or half a surrogate pair"
        )
    rules = _Parser(text, what).read()
    check_rules(rules, what)
    check_crowds(rules, what)
    return rules


@dataclass(slots=True)
class _Last:
    """The last item of a sequence, which a repetition behind it repeats."""

    start: int = 0  # its place in the sequence
    n_rules: int = 1  # that llama.cpp counts for it
    n_items: int = 1  # that llama.cpp keeps for it


class _Parser:
    """Reads the text from left to right."""

    def __init__(self, text: str, what: str) -> None:
        self._source, self._what = Source(text, what), what
        self._depth = self._n_items = 0
        self._rules: dict[str, tuple[tuple[Item, ...], ...]] = {}
        self._symbols: set[str] = set()
        self._used: dict[str, int] = {}  # rule -> where it is first referred to

    def read(self) -> Rules:
        self._source.skip(lines=True)
        while self._source.sign:
            self._rule()
            self._source.skip(lines=True)
        for name, at in self._used.items():
            if name not in self._rules:
                raise self._source.fault(f"rule {shown(name)} is used and not defined", at)
        if "root" not in self._rules:
            raise UsageError(f"{self._what}: has no rule root; name the rule of the whole answer root")
        return self._rules

    def _rule(self) -> None:
        start, name = self._source.at, self._source.name()
        if not name:
            raise self._source.fault("the name of a rule is expected")
        self._source.skip(lines=False)
        if not self._source.take("::="):
            raise self._source.fault("::= is expected")
        if name in self._rules:
            raise self._source.fault(f"a second rule {shown(name)}", start)
        self._source.skip(lines=True)
        self._rules[self._symbol(name)] = self._alternatives(lines=False)
        if self._source.sign not in ("", "\r", "\n"):
            raise self._source.fault("cannot be read")

    def _alternatives(self, *, lines: bool) -> tuple[tuple[Item, ...], ...]:
        """Read alternatives, which go on behind line ends if `lines`."""
        found = [self._sequence(lines)]
        while self._source.take("|"):
            self._source.skip(lines=True)
            found.append(self._sequence(lines))
        return tuple(found)

    def _sequence(self, lines: bool) -> tuple[Item, ...]:
        """Read items up to what is none, each with its repetitions."""
        items: list[Item] = []
        last = _Last()
        while sign := self._source.sign:
            start, n_symbols = self._source.at, len(self._symbols)
            if sign in "*+?{":
                self._repeat(items, last)
            elif (found := self._item(sign)) is not None:
                n_items = self._source.at - start if sign == "[" else len(found)
                last = _Last(len(items), len(self._symbols) - n_symbols if sign == "(" else 1, n_items)
                items += found
                self._count(n_items)
            else:
                break
            self._source.skip(lines=lines)
        return tuple(items)

    def _item(self, sign: str) -> Sequence[Item] | None:
        """Read one item without its repetitions; None: there is none."""
        start = self._source.at
        if name := self._source.name():
            self._used.setdefault(self._symbol(name), start)
            return [Ref(name)]
        if sign not in '"[.(<!' or not self._source.take(sign):
            return None
        match sign:
            case '"':
                return self._source.literal()
            case "[":
                return [self._source.letters()]
            case ".":
                return [Letters(POSSIBLE)]
            case "(":
                return [self._group()]
            case _:
                raise self._source.fault("token elements cannot be held; write the text itself", start)

    def _group(self) -> Ref:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._source.fault(f"more than {_DEEPEST} groups within each other")
        self._source.skip(lines=True)
        name = self._new_symbol()
        self._rules[name] = self._alternatives(lines=True)
        if not self._source.take(")"):
            raise self._source.fault("a closing parenthesis is expected")
        self._depth -= 1
        return Ref(name)

    def _repeat(self, items: list[Item], last: _Last) -> None:
        """Repeat the last of `items`: as often as it must be, then by a rule for as often as it may be."""
        start, body = self._source.at, items[last.start :]
        least, most = self._source.times()
        if not body:
            raise self._source.fault("nothing stands before it to be repeated", start)
        last.n_rules *= most or least or 1
        if max(last.n_rules, least, most or 0) > _MOST_REPETITIONS:
            raise self._source.fault(f"more than {_MOST_REPETITIONS} repetitions, or rules repeated", start)
        n_more = 1 if most is None else most - least
        self._count((last.n_items + 2) * (least + n_more))
        rest: list[Item] = []
        for _ in range(n_more):
            name = self._new_symbol()
            self._rules[name] = ((*body, *([Ref(name)] if most is None else rest)), ())
            rest = [Ref(name)]
        items[last.start :] = body * least + rest
        last.n_items = last.n_items * least + len(rest)

    def _count(self, n_items: int) -> None:
        self._n_items += n_items
        if self._n_items > _MOST_ITEMS:
            raise UsageError(f"{self._what}: makes more than {_MOST_ITEMS} items; repeat less")

    def _new_symbol(self) -> str:
        return self._symbol(f"_{len(self._symbols)}")

    def _symbol(self, name: str) -> str:
        self._symbols.add(name)
        if len(self._symbols) > _MOST_RULES:
            raise UsageError(f"{self._what}: makes more than {_MOST_RULES} rules; simplify it")
        return name
