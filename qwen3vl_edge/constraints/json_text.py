"""JSON as it is written in answers: on one line, a space at most after a comma or a colon.

Numbers have at most 15 significant digits: so many every reader keeps apart (DBL_DIG). Strings hold
control characters only as escapes.
"""

import json
from collections.abc import Iterable, Mapping, Sequence

from qwen3vl_edge.constraints import charsets
from qwen3vl_edge.constraints.charsets import complement, intersection
from qwen3vl_edge.constraints.nodes import (
    NEVER,
    Alt,
    Chars,
    Node,
    Repeat,
    Rule,
    Seq,
    Text,
    alt,
    chars,
    optional,
    repeat,
    rule,
    seq,
)
from qwen3vl_edge.constraints.tries import other_than, trie

__all__ = [
    "COLON",
    "COMMA",
    "INTEGER",
    "NUMBER",
    "STRING",
    "STRING_CHAR",
    "anything",
    "constant",
    "listed",
    "one_of",
    "other_keys",
    "quoted",
    "string",
]

COMMA = seq(Text(","), optional(Text(" ")))
COLON = seq(Text(":"), optional(Text(" ")))

_PLAIN_RANGES = intersection(charsets.PRINTABLE, complement(charsets.of_text('"\\')))

_PLAIN = chars(_PLAIN_RANGES)
_HEX = chars(charsets.of_text("0123456789abcdefABCDEF"))
_HEX_BUT_0 = chars(charsets.of_text("123456789abcdefABCDEF"))
# \u0001 to \uFFFF without the surrogates, which mean something only in pairs.
_CODE = alt(
    seq(chars(charsets.of_text("123456789abcefABCEF")), _HEX, _HEX, _HEX),
    seq(chars(charsets.of_text("dD")), chars(charsets.of_text("01234567")), _HEX, _HEX),
    seq(Text("0"), _HEX_BUT_0, _HEX, _HEX),
    seq(Text("00"), _HEX_BUT_0, _HEX),
    seq(Text("000"), _HEX_BUT_0),
)
_ESCAPE = seq(Text("\\"), alt(chars(charsets.of_text('"\\/bfnrt')), seq(Text("u"), rule("code", _CODE))))

STRING_CHAR = rule("char", alt(_PLAIN, _ESCAPE))
"""One character of a string, in any of its spellings."""

STRING = rule("string", seq(Text('"'), repeat(STRING_CHAR, 0, None), Text('"')))
"""Any string."""

_DEEPEST = 4  # arrays and objects within each other where a schema says nothing


def string(body: Node) -> Node:
    """Return `body`, in the spelling of JSON, between quotation marks."""
    return seq(Text('"'), body, Text('"'))


def quoted(body: Node) -> Node:
    """Return `body`, which fits plain text, in the spelling of JSON strings."""
    match body:
        case Text(value):
            return Text("".join(map(_escaped, value)))
        case Chars(ranges):
            return _quoted_chars(ranges)
        case Seq(parts):
            return seq(*map(quoted, parts))
        case Alt(options):
            return alt(*map(quoted, options))
        case Repeat(part, least, most):
            return repeat(quoted(part), least, most)
        case Rule():
            return rule(body.hint, quoted(body.body))


def constant(value: object) -> Node:
    """Return exactly `value`, a value of ``json.loads``."""
    match value:
        case str():
            return Text(f'"{"".join(map(_escaped, value))}"')
        case Mapping():
            members = [seq(constant(key), COLON, constant(item)) for key, item in value.items()]
            return seq(Text("{"), _joined(members), Text("}"))
        case Sequence():
            return seq(Text("["), _joined([constant(item) for item in value]), Text("]"))
        case _:
            return Text(json.dumps(value))


def one_of(values: Iterable[object]) -> Node:
    """Return one of `values`; texts share their beginnings, so that few are in the running at a time."""
    kept = list(values)
    texts = [value for value in kept if isinstance(value, str)]
    others = alt(*(constant(value) for value in kept if not isinstance(value, str)))
    return alt(string(trie(sorted({"".join(map(_escaped, text)) for text in texts}))), others)


def other_keys(names: Iterable[str]) -> Node:
    """Return the keys that are not one of `names`, without escapes: no other spelling of a name gets in."""
    return string(other_than(sorted(set(names)), _PLAIN_RANGES))


def listed(item: Node, least: int, most: int | None) -> Node:
    """Return from `least` to `most` times `item`, with commas between."""
    if most == 0 or item == NEVER:
        return repeat(item, least, most)
    rest = repeat(seq(COMMA, item), max(least - 1, 0), None if most is None else most - 1)
    some = seq(item, rest)
    return some if least else optional(some)


def anything(depth: int = _DEEPEST) -> Node:
    """Return any JSON value, nested at most `depth` deep."""
    plain = [STRING, rule("number", NUMBER), Text("true"), Text("false"), Text("null")]
    if depth == 0:
        return rule("value", alt(*plain))
    inner = anything(depth - 1)
    member = rule("member", seq(STRING, COLON, inner))
    array = seq(Text("["), listed(inner, 0, None), Text("]"))
    return rule("value", alt(*plain, array, seq(Text("{"), listed(member, 0, None), Text("}"))))


_DIGIT = chars(charsets.DIGITS)
_NOT_0 = seq(chars(charsets.of_text("123456789")), repeat(_DIGIT, 0, 14))
INTEGER = alt(Text("0"), seq(optional(Text("-")), _NOT_0))
"""Any integer of at most 15 digits."""
NUMBER = seq(
    optional(Text("-")),
    alt(Text("0"), _NOT_0),
    optional(seq(Text("."), repeat(_DIGIT, 1, 15))),
    optional(
        seq(chars(charsets.of_text("eE")), optional(chars(charsets.of_text("+-"))), repeat(_DIGIT, 1, 2))
    ),
)
"""Any number: at most 15 digits before the point, 15 after it, and 2 of the exponent."""


def _joined(items: Sequence[Node]) -> Node:
    return seq(*(part for i, item in enumerate(items) for part in ((COMMA, item) if i else (item,))))


def _quoted_chars(ranges: charsets.Ranges) -> Node:
    marked = intersection(ranges, complement(charsets.PRINTABLE))
    special = [chr(point) for first, last in marked for point in range(first, min(last, 0x9F) + 1)]
    special += [char for char in '"\\' if intersection(ranges, charsets.of_text(char))]
    return alt(chars(intersection(ranges, _PLAIN_RANGES)), *(Text(_escaped(char)) for char in special))


def _escaped(char: str) -> str:
    """Return `char` as it stands in a JSON string."""
    if "\x7f" <= char <= "\x9f":
        return f"\\u{ord(char):04x}"
    return json.dumps(char, ensure_ascii=False)[1:-1]
