"""The keywords of one subschema, but for those that combine schemas: read, or refused by name."""

from collections.abc import Mapping
from decimal import Decimal

from qwen3vl_edge.constraints.arrays import Arrays
from qwen3vl_edge.constraints.flat import TYPES, Flat
from qwen3vl_edge.constraints.numbers import Bound, Numbers
from qwen3vl_edge.constraints.objects import Objects
from qwen3vl_edge.constraints.place import At
from qwen3vl_edge.constraints.strings import Strings
from qwen3vl_edge.errors import UsageError
from qwen3vl_edge.json_fields import shown

__all__ = ["COMBINING", "read_keywords"]

COMBINING = ("$ref", "allOf", "anyOf", "oneOf")
"""Keywords that bring further schemas for the same value."""

_OF_TYPES = {
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
    "string": ("minLength", "maxLength", "pattern"),
    "array": ("items", "prefixItems", "minItems", "maxItems"),
    "object": ("properties", "required", "additionalProperties", "minProperties", "maxProperties"),
}
# They say nothing about which values are valid.
_REMARKS = frozenset(
    (
        *("$schema", "$comment", "$defs", "definitions", "$anchor", "title", "description", "default"),
        *("example", "examples", "deprecated", "readOnly", "writeOnly", "contentEncoding"),
        *("contentMediaType", "contentSchema", "discriminator", "nullable", "type", "format"),
    )
)
_READ = _REMARKS.union(COMBINING, *_OF_TYPES.values())
_HARMLESS: tuple[tuple[str, object], ...] = (("uniqueItems", False),)


def read_keywords(at: At) -> Flat:
    """Return what `at` says, without its `COMBINING` keywords.

    The schema has been checked against its meta-schema: keywords have values of the right types.

    Raises:
        UsageError: a keyword cannot be held, or is none of JSON Schema.
    """
    if isinstance(at.schema, bool):
        return Flat() if at.schema else Flat(types=frozenset())
    _check_known(at, at.schema)
    types = _types(at.schema)
    hints = {type_ for type_, keywords in _OF_TYPES.items() if not {*keywords}.isdisjoint(at.schema)}
    if "format" in at.schema:
        hints.add("string")
    return Flat(
        types,
        frozenset(hints | ({"integer"} if "number" in hints else set())),
        None,
        _numbers(at),
        _strings(at, said="string" in types),
        _arrays(at),
        _objects(at),
    )


def _check_known(at: At, schema: Mapping[str, object]) -> None:
    for name, value in schema.items():
        if name in _READ or name.startswith("x-") or (name, value) in _HARMLESS:
            continue
        if name == "$id" and at.path == "#":
            continue
        raise UsageError(f"{at.path}: keyword {shown(name)} cannot be held; take it out or say it otherwise")


def _types(schema: Mapping[str, object]) -> frozenset[str]:
    given = schema.get("type")
    if given is None:
        return TYPES
    names = set(given) if isinstance(given, list) else {str(given)}
    if "number" in names:
        names.add("integer")
    if schema.get("nullable") is True:  # OpenAPI 3.0
        names.add("null")
    return frozenset(names)


def _numbers(at: At) -> Numbers:
    lows = [_bound(at, "minimum", strict=False), _bound(at, "exclusiveMinimum", strict=True)]
    highs = [_bound(at, "maximum", strict=False), _bound(at, "exclusiveMaximum", strict=True)]
    return Numbers(lows[0]) & Numbers(lows[1]) & Numbers(None, highs[0]) & Numbers(None, highs[1])


def _bound(at: At, name: str, *, strict: bool) -> Bound | None:
    """Return a bound as the decimal that stands in the schema: the shortest that means its double."""
    value = at.keyword(name)
    if value is None:
        return None
    return Bound(Decimal(str(value)), strict)


def _strings(at: At, *, said: bool) -> Strings:
    pattern, format_ = at.keyword("pattern"), at.keyword("format")
    return Strings(
        _count(at, "minLength") or 0,
        _count(at, "maxLength"),
        frozenset() if pattern is None else frozenset((str(pattern),)),
        frozenset() if format_ is None or not said else frozenset((str(format_),)),
    )


def _arrays(at: At) -> Arrays:
    first, rest = at.keyword("prefixItems"), at.keyword("items")
    if isinstance(rest, list):
        raise UsageError(f"{at.path}: a list under items cannot be held; use prefixItems")
    listed = first if isinstance(first, list) else []
    return Arrays(
        tuple((at.inner(one, "prefixItems", i),) for i, one in enumerate(listed)),
        () if rest is None else (at.inner(rest, "items"),),
        _count(at, "minItems") or 0,
        _count(at, "maxItems"),
    )


def _objects(at: At) -> Objects:
    named, required, extra = (at.keyword(name) for name in ("properties", "required", "additionalProperties"))
    properties = named if isinstance(named, Mapping) else {}
    return Objects(
        {name: (at.inner(one, "properties", name),) for name, one in properties.items()},
        frozenset(required) if isinstance(required, list) else frozenset(),
        None if extra is None else (at.inner(extra, "additionalProperties"),),
        named is not None,
        _count(at, "minProperties") or 0,
        _count(at, "maxProperties"),
    )


def _count(at: At, name: str) -> int | None:
    value = at.keyword(name)
    return int(value) if isinstance(value, int | float) else None
