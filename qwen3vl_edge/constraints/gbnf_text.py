"""GBNF text taken apart into plain rules, as llama.cpp does it: groups and repetitions become rules.

The syntax is that of src/llama-grammar.cpp, 0c1e57098, without its token elements (``<…>``): text is
never parsed for special tokens. llama.cpp prints its own complaints to standard error and returns
nothing, so what it refuses is refused here, with the line.
"""

import re

from qwen3vl_edge.constraints.charsets import complement, of_text, union
from qwen3vl_edge.constraints.rules import Item, Letters, Ref, Rules
from qwen3vl_edge.errors import UsageError
from qwen3vl_edge.json_fields import shown

__all__ = ["parse_gbnf"]

_MOST_REPETITIONS = 2000  # MAX_REPETITION_THRESHOLD
_DEEPEST = 100  # groups within groups
_NAME = re.compile(r"[a-zA-Z0-9-]+")
_SPACE = re.compile(r"(?:[ \t]|#[^\r\n]*)*")
_LINES = re.compile(r"(?:[ \t\r\n]|#[^\r\n]*)*")
_TIMES = re.compile(r"\{\s*(\d+)\s*(?:(,)\s*(\d+)?\s*)?\}")
_CHAR = re.compile(
    r'\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([trn\\"\[\]-]))|([^\\])', re.DOTALL
)
_LAST_POINT = 0x10FFFF
_SHORT = {"t": "\t", "r": "\r", "n": "\n"}
_SIGNS: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}


def parse_gbnf(text: str, what: str = "grammar") -> Rules:
    """Return the rules of a grammar, the user's and those of its groups and repetitions.

    Raises:
        UsageError: the text is no GBNF; the message says in which line.
    """
    parser = _Parser(text, what)
    parser.read()
    return parser.rules


class _Parser:
    """Reads the text from left to right."""

    def __init__(self, text: str, what: str) -> None:
        self.rules: Rules = {}
        self._text, self._what = text, what
        self._at = self._depth = 0
        self._symbols: set[str] = set()

    def read(self) -> None:
        self._skip(_LINES)
        while self._at < len(self._text):
            self._rule()
            self._skip(_LINES)

    def _rule(self) -> None:
        start = self._at
        name = self._name()
        self._skip(_SPACE)
        if not self._take("::="):
            raise self._fault("::= is expected")
        if name in self.rules:
            raise self._fault(f"a second rule {shown(name)}", start)
        self._skip(_LINES)
        self.rules[name] = self._alternatives(_SPACE)
        if self._at < len(self._text) and self._text[self._at] not in "\r\n":
            raise self._fault("cannot be read")

    def _alternatives(self, space: re.Pattern[str]) -> tuple[tuple[Item, ...], ...]:
        found = [self._sequence(space)]
        while self._take("|"):
            self._skip(_LINES)
            found.append(self._sequence(space))
        return tuple(found)

    def _sequence(self, space: re.Pattern[str]) -> tuple[Item, ...]:
        """Read items up to what is none, each with its repetitions."""
        items: list[Item] = []
        last: list[Item] | None = None
        rules = 1  # as many as llama.cpp counts for the last item
        while self._at < len(self._text):
            times = self._times()
            if times is None:
                before = len(self._symbols)
                grouped, found = self._text[self._at] == "(", self._item()
                if found is None:
                    break
                items, last = [*items, *(last or [])], found
                rules = len(self._symbols) - before if grouped else 1
            elif last is None:
                raise self._fault("nothing stands before it to be repeated")
            else:
                rules *= max(1, times[0] if times[1] is None else times[1])
                last = self._repeated(last, times, rules)
            self._skip(space)
        return (*items, *(last or []))

    def _item(self) -> list[Item] | None:
        """Read one item without its repetitions; None: there is none."""
        if self._take('"'):
            return self._literal()
        if self._take("["):
            return [self._class()]
        if self._take("."):
            return [Letters(complement(()))]
        if self._take("("):
            return [self._group()]
        if self._text[self._at] in "<!":
            raise self._fault("token elements cannot be held; write the text itself")
        return [Ref(self._name())] if _NAME.match(self._text, self._at) else None

    def _literal(self) -> list[Item]:
        found: list[Item] = []
        while not self._take('"'):
            found.append(Letters(of_text(self._char())))
        return found

    def _class(self) -> Letters:
        negated = self._take("^")
        pairs = []
        while not self._take("]"):
            first = last = self._char()
            if self._text.startswith("-", self._at) and not self._text.startswith("-]", self._at):
                self._at += 1
                last = self._char()
            if first > last:
                raise self._fault("the range runs backwards")
            pairs.append((ord(first), ord(last)))
        ranges = complement(union(pairs)) if negated else union(pairs)
        if not ranges:
            raise self._fault("the class holds no character")
        return Letters(ranges)

    def _char(self) -> str:
        found = _CHAR.match(self._text, self._at)
        if found is None:
            raise self._fault("an unknown escape" if self._at < len(self._text) else "the text ends too soon")
        self._at = found.end()
        if found[4]:
            return _SHORT.get(found[4], found[4])
        point = int(found[1] or found[2] or found[3] or "0", 16)
        if point > _LAST_POINT:
            raise self._fault("no character has such a number")
        return found[5] or chr(point)

    def _group(self) -> Ref:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._fault(f"more than {_DEEPEST} groups within each other")
        self._skip(_LINES)
        name = self._new_name()
        self.rules[name] = self._alternatives(_LINES)
        if not self._take(")"):
            raise self._fault("a closing parenthesis is expected")
        self._depth -= 1
        return Ref(name)

    def _times(self) -> tuple[int, int | None] | None:
        """Read a repetition; None: there is none."""
        sign = self._text[self._at]
        if sign in _SIGNS:
            self._at += 1
            return _SIGNS[sign]
        if sign != "{":
            return None
        found = _TIMES.match(self._text, self._at)
        if found is None:
            raise self._fault("a repetition {n}, {n,} or {m,n} is expected")
        least = int(found[1])
        most = None if found[2] and found[3] is None else int(found[3] or least)
        if most is not None and most < least:
            raise self._fault("the repetition runs backwards")
        self._at = found.end()
        return least, most

    def _repeated(self, body: list[Item], times: tuple[int, int | None], rules: int) -> list[Item]:
        """Return `body` repeated: as often as it must be, then a rule for as often as it may be."""
        least, most = times
        if max(rules, least, most or 0) > _MOST_REPETITIONS:
            raise self._fault(f"more than {_MOST_REPETITIONS} repetitions, or rules repeated")
        rest: list[Item] = []
        if most is None:
            name = self._new_name()
            self.rules[name] = ((*body, Ref(name)), ())
            rest = [Ref(name)]
        for _ in range(0 if most is None else most - least):
            name = self._new_name()
            self.rules[name] = ((*body, *rest), ())
            rest = [Ref(name)]
        return body * least + rest

    def _new_name(self) -> str:
        name = f"_{len(self._symbols)}"
        self._symbols.add(name)
        return name

    def _name(self) -> str:
        found = _NAME.match(self._text, self._at)
        if found is None:
            raise self._fault("the name of a rule is expected")
        self._at = found.end()
        self._symbols.add(found[0])
        return found[0]

    def _take(self, sign: str) -> bool:
        taken = self._text.startswith(sign, self._at)
        self._at += len(sign) if taken else 0
        return taken

    def _skip(self, blanks: re.Pattern[str]) -> None:
        found = blanks.match(self._text, self._at)
        self._at = self._at if found is None else found.end()

    def _fault(self, what: str, at: int | None = None) -> UsageError:
        position = self._at if at is None else at
        line = self._text.count("\n", 0, position) + 1
        near = self._text[position : position + 20]
        return UsageError(f"{self._what}, line {line} ({shown(near) if near else 'the end'}): {what}")
