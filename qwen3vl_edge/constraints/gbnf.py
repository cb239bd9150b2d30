"""Nodes written down as GBNF, the grammar language of llama.cpp."""

import re

from qwen3vl_edge.constraints.nodes import Alt, Chars, Node, Repeat, Rule, Seq, Text, alt, repeat, rule, seq
from qwen3vl_edge.errors import UsageError

__all__ = ["to_gbnf"]

# llama.cpp refuses to repeat more often, and above it takes {0,n} for {0,} without a word
# (MAX_REPETITION_THRESHOLD, src/llama-grammar.cpp, 0c1e57098).
_REPETITIONS = 2000
# What llama.cpp makes of a repetition: a copy for each time that must be, a rule for each that may be.
_MOST_COPIES = 200_000
_MOST_OPTIONAL = 15_000
_MOST_CHARACTERS = 500_000
_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\", '"': '\\"'}


def to_gbnf(root: Node, what: str) -> str:
    """Return `root` as GBNF text: the rule ``root`` first, then those that it needs.

    Args:
        root: Any node but `NEVER`.
        what: What is being written, for the message.

    Raises:
        UsageError: the grammar would be too large.
    """
    writer = _Writer(what)
    body = writer.choice(root.body if isinstance(root, Rule) else root)
    return "".join(f"{name} ::= {text}\n" for name, text in [("root", body), *reversed(writer.rules.items())])


class _Writer:
    """Gives names to rules; those with the same text share one."""

    def __init__(self, what: str) -> None:
        self.rules: dict[str, str] = {}
        self._what = what
        self._names: dict[str, str] = {}  # text -> name
        self._written: dict[Rule, str] = {}
        self._copies = self._optional = 0
        self._characters = 0

    def choice(self, node: Node) -> str:
        if isinstance(node, Alt):
            return " | ".join(self._line(option) for option in node.options)
        return self._line(node)

    def _line(self, node: Node) -> str:
        if isinstance(node, Seq):
            return " ".join(self._item(part) for part in node.parts)
        return self._item(node)

    def _item(self, node: Node) -> str:
        match node:
            case Text(value):
                return f'"{"".join(map(_in_text, value))}"'
            case Chars(ranges):
                return f"[{''.join(map(_in_class, ranges))}]"
            case Repeat():
                return self._repetition(node)
            case Rule():
                if node not in self._written:
                    self._written[node] = self._named(node.hint, self.choice(node.body))
                return self._written[node]
            case Seq() | Alt():
                return f"({self.choice(node)})"

    def _repetition(self, node: Repeat) -> str:
        if max(node.least, node.most or 0) > _REPETITIONS:
            return self._line(_split(node))
        self._copies += node.least
        self._optional += 1 if node.most is None else node.most - node.least
        if self._copies > _MOST_COPIES or self._optional > _MOST_OPTIONAL:
            raise UsageError(f"{self._what}: asks for too many repetitions; lower its limits")
        # Of a group llama.cpp counts the rules inside as well: a rule of its own counts as one.
        grouped = isinstance(node.body, Seq | Alt | Repeat)
        item = self._named("part", self.choice(node.body)) if grouped else self._item(node.body)
        return item + _times(node.least, node.most)

    def _named(self, hint: str, text: str) -> str:
        if text not in self._names:
            self._characters += len(text)
            if self._characters > _MOST_CHARACTERS:
                raise UsageError(f"{self._what}: makes too large a grammar; take something out")
            base = re.sub(r"[^a-z0-9]+", "-", hint.lower()).strip("-")[:40] or "value"
            name, n = base, 1
            while name == "root" or name in self.rules:
                n += 1
                name = f"{base}-{n}"
            self.rules[name], self._names[text] = text, name
        return self._names[text]


def _split(node: Repeat) -> Node:
    """Return a long repetition as short ones, each of which can be told from the next by counting."""
    body, step = node.body, _REPETITIONS
    if node.least >= step:
        most = None if node.most is None else node.most - step
        return seq(Repeat(body, step, step), repeat(body, node.least - step, most))
    if node.most is None or node.most <= step:
        return node
    longer = seq(Repeat(body, step, step), repeat(body, 0, node.most - step))
    return rule("more", alt(repeat(body, node.least, step - 1), longer))


def _times(least: int, most: int | None) -> str:
    plain = {(0, None): "*", (1, None): "+", (0, 1): "?"}.get((least, most))
    if plain is not None:
        return plain
    if most is None:
        return f"{{{least},}}"
    return f"{{{least}}}" if least == most else f"{{{least},{most}}}"


def _in_text(char: str) -> str:
    return _ESCAPES.get(char) or (char if char.isprintable() else _hex(ord(char)))


def _in_class(pair: tuple[int, int]) -> str:
    first, last = (_in_range(point) for point in pair)
    if pair[0] == pair[1]:
        return first
    return first + last if pair[0] + 1 == pair[1] else f"{first}-{last}"


def _in_range(point: int) -> str:
    char = chr(point)
    if char in "\\[]-":
        return "\\" + char
    if char in "\n\r\t":
        return _ESCAPES[char]
    return char if char.isascii() and char.isprintable() and char != "^" else _hex(point)


def _hex(point: int) -> str:
    if point <= 0xFF:
        return f"\\x{point:02X}"
    return f"\\u{point:04X}" if point <= 0xFFFF else f"\\U{point:08X}"
