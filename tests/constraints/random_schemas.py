"""Random schemas, each with random values that it allows: made together, apart from the code under test."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

NAMES = (
    *("name", "root", "string", "char", "value", "a b", "über", "日本", "🙂", "", "null", "$ref", "type"),
    *('"', '"quoted"', "back\\slash", "\\u0041", "a/b", "a~b", "new\nline", "tab\t", "\x7f", "\x00", "::="),
    *("{", "}", "[x]", "'", "a", "ab", "abc", "-1", "%", "#", "|", "enum", "properties"),
)
WORDS = (
    "",
    "a",
    "red",
    "green",
    'say "hi"',
    "back\\slash",
    "über",
    "日本語",
    "🙂🙂",
    "line\nend",
    "tab\t.",
    "</s>",
)
PATTERNS = {
    "^[A-Z]{2}-\\d{3}$": ("AB-123", "ZZ-000"),
    "^(yes|no)$": ("yes", "no"),
    "^[^\\s,]+$": ("x", "a-b", "ü\\"),
    'say "[a-z]*"': ('say "hi"', 'they say "" here', 'say "x"!'),
    "^\\w+@\\w+\\.com$": ("a@b.com",),
    "^b": ("b", "bé\\n"),
    "end$": ("the end", "end"),
}
FORMATS = {
    "date": ("2024-02-29", "1999-12-31", "0001-01-01"),
    "time": ("23:59:59Z", "00:00:00.5+02:00"),
    "date-time": ("2024-02-29T12:00:00Z",),
    "uuid": ("123e4567-e89b-12d3-a456-426614174000",),
    "ipv4": ("127.0.0.1", "255.249.10.0"),
}


@dataclass(frozen=True)
class Drawn:
    """A schema and what draws a value that it allows; values of objects have the schema's order."""

    schema: dict[str, object]
    value: Callable[[Random], object]


def random_schema(seed: int) -> Drawn:
    """Return one that a grammar can hold."""
    rng = Random(seed)
    drawn = _draw(rng, 3)
    if rng.random() < 0.2:
        return _tree(drawn)
    return drawn


def canonical(value: object, compact: bool) -> str:
    """Return `value` as JSON on one line, control characters escaped."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":") if compact else None)
    return re.sub("[\x7f-\x9f]", lambda found: f"\\u{ord(found[0]):04x}", text)


def _draw(rng: Random, depth: int) -> Drawn:
    plain = (_integer, _number, _string, _patterned, _formatted, _listed, _simple)
    nested = (_object, _object, _array, _tuple, _map, _any_of, _tagged, _all_of, _many_typed)
    return rng.choice(plain if depth == 0 else plain + nested + nested)(rng, depth - 1)


def _simple(rng: Random, _: int) -> Drawn:
    return rng.choice(
        (
            Drawn({"type": "null"}, lambda rng: None),
            Drawn({"type": "boolean"}, lambda rng: rng.random() < 0.5),
            Drawn({"type": "integer"}, lambda rng: rng.randint(-(10**15) + 1, 10**15 - 1)),
            Drawn({"type": "string", "nullable": True}, lambda rng: rng.choice((*WORDS, None))),
        )
    )


def _integer(rng: Random, _: int) -> Drawn:
    low = rng.randint(-(10 ** rng.randint(0, 12)), 10 ** rng.randint(0, 12))
    high = low + rng.randint(0, 10 ** rng.randint(0, 12))
    exact = rng.random() < 0.5
    bounds = (
        {"minimum": low, "maximum": high}
        if exact
        else {"exclusiveMinimum": low - 1, "exclusiveMaximum": high + 0.5}
    )
    return Drawn({"type": "integer", **bounds}, lambda rng: rng.choice((low, high, rng.randint(low, high))))


def _number(rng: Random, _: int) -> Drawn:
    scale = 10 ** rng.randint(0, 4)
    low = rng.randint(-1000, 1000)
    high = low + rng.randint(2, 3000)
    if rng.random() < 0.5:
        bounds = {"minimum": low / scale, "maximum": high / scale}
        return Drawn({"type": "number", **bounds}, lambda rng: rng.randint(low, high) / scale)
    bounds = {"exclusiveMinimum": low / scale, "exclusiveMaximum": high / scale}
    return Drawn(
        {"type": "number", **bounds}, lambda rng: rng.randint(low * 10 + 1, high * 10 - 1) / (scale * 10)
    )


def _string(rng: Random, _: int) -> Drawn:
    least = rng.randint(0, 3)
    most = least + rng.randint(0, 6)
    alphabet = 'ab"\\/ü日🙂 \n{}<|'
    return Drawn(
        {"type": "string", "minLength": least, "maxLength": most},
        lambda rng: "".join(rng.choices(alphabet, k=rng.randint(least, most))),
    )


def _patterned(rng: Random, _: int) -> Drawn:
    pattern = rng.choice(sorted(PATTERNS))
    return Drawn({"type": "string", "pattern": pattern}, lambda rng: rng.choice(PATTERNS[pattern]))


def _formatted(rng: Random, _: int) -> Drawn:
    name = rng.choice(sorted(FORMATS))
    return Drawn({"type": "string", "format": name}, lambda rng: rng.choice(FORMATS[name]))


def _listed(rng: Random, _: int) -> Drawn:
    values = rng.sample((*WORDS, 1, 2.5, -3, True, None, ["x", 1], {"a": {}, "b": []}), k=rng.randint(1, 6))
    if len(values) == 1:
        return Drawn({"const": values[0]}, lambda rng: values[0])
    return Drawn({"enum": values}, lambda rng: rng.choice(values))


def _object(rng: Random, depth: int) -> Drawn:
    parts = {name: _draw(rng, depth) for name in rng.sample(NAMES, k=rng.randint(0, 5))}
    required = [name for name in parts if rng.random() < 0.5]
    schema: dict[str, object] = {
        "type": "object",
        "properties": {name: part.schema for name, part in parts.items()},
        "required": required,
    }
    least = rng.choice((0, len(required), min(len(required) + 1, len(parts))))
    if least:
        schema["minProperties"] = least
    if rng.random() < 0.3:
        schema["maxProperties"] = len(parts)

    def value(rng: Random) -> object:
        chosen = {name for name in parts if name in required or rng.random() < 0.5}
        chosen.update([name for name in parts if name not in chosen][: max(least - len(chosen), 0)])
        names = [name for name in parts if name in chosen]
        return {name: parts[name].value(rng) for name in names}

    return Drawn(schema, value)


def _map(rng: Random, depth: int) -> Drawn:
    part, named = _draw(rng, depth), _draw(rng, depth)
    names = rng.sample(NAMES, k=2)
    schema = {
        "type": "object",
        "properties": dict.fromkeys(names, named.schema),
        "additionalProperties": part.schema,
        "maxProperties": 4,
    }

    def value(rng: Random) -> object:
        mine = {name: named.value(rng) for name in names if rng.random() < 0.5}
        free = [key for key in ("k", "ké", "abcd", "rooty", "r") if rng.random() < 0.4]
        return {**mine, **{key: part.value(rng) for key in free[: 4 - len(mine)]}}

    return Drawn(schema, value)


def _array(rng: Random, depth: int) -> Drawn:
    part, least = _draw(rng, depth), rng.randint(0, 2)
    most = least + rng.randint(0, 3)
    schema = {"type": "array", "items": part.schema, "minItems": least, "maxItems": most}
    return Drawn(schema, lambda rng: [part.value(rng) for _ in range(rng.randint(least, most))])


def _tuple(rng: Random, depth: int) -> Drawn:
    parts = [_draw(rng, depth) for _ in range(rng.randint(1, 3))]
    rest = _draw(rng, depth)
    schema = {
        "type": "array",
        "prefixItems": [part.schema for part in parts],
        "items": rest.schema,
        "minItems": 1,
    }
    drawers = [part.value for part in parts] + [rest.value] * 2
    return Drawn(schema, lambda rng: [draw(rng) for draw in drawers[: rng.randint(1, len(drawers))]])


def _any_of(rng: Random, depth: int) -> Drawn:
    parts = [_draw(rng, depth) for _ in range(rng.randint(1, 3))]
    return Drawn({"anyOf": [part.schema for part in parts]}, lambda rng: rng.choice(parts).value(rng))


def _tagged(rng: Random, depth: int) -> Drawn:
    parts = {f"kind {i}": _draw(rng, depth) for i in range(rng.randint(1, 3))}
    schemas = [
        {
            "type": "object",
            "properties": {"kind": {"const": kind}, "is": part.schema},
            "required": ["kind", "is"],
        }
        for kind, part in parts.items()
    ]

    def value(rng: Random) -> object:
        kind = rng.choice(sorted(parts))
        return {"kind": kind, "is": parts[kind].value(rng)}

    return Drawn({"oneOf": schemas}, value)


def _all_of(rng: Random, depth: int) -> Drawn:
    one, other = _draw(rng, depth), _draw(rng, depth)
    schema = {
        "type": "object",
        "allOf": [
            {"properties": {"one": one.schema}, "required": ["one"]},
            {"properties": {"one": True, "other": other.schema}, "required": ["other"]},
        ],
    }
    return Drawn(schema, lambda rng: {"one": one.value(rng), "other": other.value(rng)})


def _many_typed(rng: Random, _: int) -> Drawn:
    schema = {"type": ["integer", "string", "null"], "minimum": 0, "maximum": 9, "maxLength": 4}
    return Drawn(schema, lambda rng: rng.choice((None, rng.randint(0, 9), "", "abcd", "日本語")))


def _tree(drawn: Drawn) -> Drawn:
    """Return trees of what was drawn."""
    node = {
        "type": "object",
        "properties": {"is": drawn.schema, "under": {"type": "array", "items": {"$ref": "#/$defs/node"}}},
        "required": ["is"],
    }

    def value(rng: Random, depth: int = 2) -> object:
        under = [value(rng, depth - 1) for _ in range(rng.randint(0, 2))] if depth else []
        return {"is": drawn.value(rng), "under": under}

    return Drawn({"$ref": "#/$defs/node", "$defs": {"node": node}}, value)
