"""Keywords thrown together: most schemas make no sense, and none may make an answer that they forbid."""

from collections.abc import Callable
from random import Random

from qwen3vl_edge.constraints import from_schema
from qwen3vl_edge.errors import UsageError
from tests.constraints.walks import random_text

TYPES = ("null", "boolean", "integer", "number", "string", "array", "object")
PATTERNS = ("^a*$", "^[a-z]{2}$", "^x", "^\\d+-[A-Z]{2,3}$")
VALUES = (1, 2, 2.5, "a", "ab", "xyz", None, True, [], {}, [1], {"a": 1}, {"a": "ab", "b": 2})
LEAVES = (
    True,
    False,
    {"type": "integer"},
    {"type": "string"},
    {"const": "a"},
    {"maxLength": 3},
    {"type": "null"},
)
RARE = ("enum", "const", "$ref")


def _sub(rng: Random, depth: int) -> object:
    return _keywords(rng, depth - 1) if depth > 1 else rng.choice(LEAVES)


def _keywords(rng: Random, depth: int) -> dict[str, object]:
    weights = [0.1 if name in RARE else 1 for name in DRAWN]
    names = rng.choices(list(DRAWN), weights, k=rng.randint(0, 5))
    return {name: DRAWN[name](rng, depth) for name in names}


DRAWN: dict[str, Callable[[Random, int], object]] = {
    "type": lambda rng, _: rng.choice((*TYPES, rng.sample(TYPES, 2))),
    "minimum": lambda rng, _: rng.choice((-3, 0, 2.5, 7)),
    "maximum": lambda rng, _: rng.choice((-3, 0, 2.5, 7, 100)),
    "exclusiveMinimum": lambda rng, _: rng.choice((-3, 0, 2.5, 7)),
    "exclusiveMaximum": lambda rng, _: rng.choice((3, 10.25)),
    "minLength": lambda rng, _: rng.randint(0, 4),
    "maxLength": lambda rng, _: rng.randint(0, 6),
    "pattern": lambda rng, _: rng.choice(PATTERNS),
    "format": lambda rng, _: rng.choice(("date", "uuid", "ipv4")),
    "properties": lambda rng, depth: {
        name: _sub(rng, depth) for name in rng.sample("abcd", rng.randint(0, 3))
    },
    "required": lambda rng, _: rng.sample("abcd", rng.randint(0, 2)),
    "additionalProperties": lambda rng, depth: rng.choice((True, False, False, _sub(rng, depth))),
    "minProperties": lambda rng, _: rng.randint(0, 2),
    "maxProperties": lambda rng, _: rng.randint(0, 3),
    "items": _sub,
    "prefixItems": lambda rng, depth: [_sub(rng, depth) for _ in range(rng.randint(1, 2))],
    "minItems": lambda rng, _: rng.randint(0, 2),
    "maxItems": lambda rng, _: rng.randint(0, 3),
    "enum": lambda rng, _: rng.sample(VALUES, rng.randint(1, 6)),
    "const": lambda rng, _: rng.choice(VALUES),
    "anyOf": lambda rng, depth: [_sub(rng, depth) for _ in range(rng.randint(1, 3))],
    "oneOf": lambda rng, depth: [_sub(rng, depth) for _ in range(rng.randint(1, 2))],
    "allOf": lambda rng, depth: [_sub(rng, depth) for _ in range(rng.randint(1, 2))],
    "$ref": lambda rng, _: rng.choice(("#", "#/$defs/p", "#/$defs/q")),
    "nullable": lambda rng, _: True,
}


def test_no_answer_breaks_a_schema_that_is_not_refused() -> None:
    held = 0
    for seed in range(400):
        rng = Random(seed)
        schema = {**_keywords(rng, 3), "$defs": {"p": _keywords(rng, 2), "q": _keywords(rng, 2)}}
        try:
            constraint = from_schema(schema)
        except UsageError:
            continue
        held += 1
        for _ in range(3):
            constraint.check(random_text(constraint.grammar, rng))
    assert held > 250
