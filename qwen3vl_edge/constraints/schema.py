"""JSON Schema as a grammar: every text that it fits is an answer that the schema allows.

The reverse does not hold: members that the schema does not name are left out unless it speaks of them,
and where it allows every type, answers have one that its other keywords speak of. A keyword that
cannot be held is refused, never passed over.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import reduce
from itertools import permutations
from operator import and_

from qwen3vl_edge.constraints.dialects import Dialect
from qwen3vl_edge.constraints.flat import Flat
from qwen3vl_edge.constraints.keywords import COMBINING, read_keywords
from qwen3vl_edge.constraints.nodes import NEVER, Node, alt, rule
from qwen3vl_edge.constraints.place import At, Place, Pointers, Schema, check_circles
from qwen3vl_edge.errors import UsageError

__all__ = ["MOST_LEVELS", "schema_node"]

MOST_LEVELS = 64
"""So deep values can be nested: the validator's stack, with some ten calls a level, holds no more."""

_MOST_FLATS = 256  # alternatives of one value: combinations of anyOf multiply


def schema_node(schema: Schema, dialect: Dialect) -> Node:
    """Return the texts of values that `schema` allows.

    Args:
        schema: The root schema.
        dialect: Its draft, by which it has been checked.

    Raises:
        UsageError: a keyword cannot be held, or no finite value is valid.
    """
    schemas = _Schemas(schema, dialect)
    root = schemas.node((At(schema, "#"),))
    if schemas.height > MOST_LEVELS:
        raise UsageError(f"the schema is nested too deeply: {schemas.height} levels, {MOST_LEVELS} can be")
    if root == NEVER:
        raise UsageError("#: no answer can be valid: the schema contradicts itself or never ends")
    return root


class _Schemas:
    """The places of one root schema."""

    def __init__(self, root: Schema, dialect: Dialect) -> None:
        self._pointers = Pointers(root)
        check_circles(root, self._pointers)
        self._dialect = dialect
        self._bases: dict[tuple[int, str], Schema] = {}
        self._known: dict[tuple[tuple[int, int, frozenset[str]], ...], list[Flat]] = {}
        self.height = 0  # levels of the values within what is being written
        self._heights: dict[tuple[tuple[int, int, frozenset[str]], ...], int] = {}
        self._compared: set[tuple[tuple[int, ...], tuple[int, ...]]] = set()
        self._nodes: dict[tuple[tuple[int, int, frozenset[str]], ...], Node] = {}

    def node(self, place: Place) -> Node:
        """Return what is written at a place."""
        key = tuple(at.key for at in place)
        if key not in self._nodes:
            above, self.height = self.height, 0
            path = place[0].path if place else "#"
            found = alt(*(flat.node(path, self.node) for flat in self._flats(place)))
            self._nodes[key] = rule(path.rpartition("/")[2], found)
            self._heights[key], self.height = self.height + 1, above
        self.height = max(self.height, self._heights[key])
        return self._nodes[key]

    def _flats(self, place: Place) -> list[Flat]:
        """Return what a place allows as alternatives without combinators."""
        key = tuple(at.key for at in place)
        if key not in self._known:
            self._known[key] = self._alternatives(place)
        return self._known[key]

    def _alternatives(self, place: Place) -> list[Flat]:
        if any("enum" in at.schema or "const" in at.schema for at in place if isinstance(at.schema, Mapping)):
            return [Flat(values=self._listed(place))]
        for i, at in enumerate(place):
            for keyword in COMBINING:
                if at.keyword(keyword) is not None:
                    return self._expanded(place[:i], at, keyword, place[i + 1 :])
        if not self._dialect.has_prefix_items and any(at.keyword("prefixItems") for at in place):
            raise UsageError(f"{place[0].path}: keyword 'prefixItems' needs draft 2020-12; set $schema to it")
        return [reduce(and_, map(read_keywords, place), Flat())]

    def _listed(self, place: Place) -> tuple[object, ...]:
        """Return the values of the first list at a place that everything there allows."""
        first = next(
            at for at in place if {"enum", "const"} & {*(at.schema if isinstance(at.schema, Mapping) else ())}
        )
        given = first.keyword("enum")
        listed = given if isinstance(given, list) else [first.keyword("const")]
        # A validator looks through the whole list for each value; they are in it.
        others = tuple(replace(at, schema=self._without(at, "enum")) if at is first else at for at in place)
        return tuple(value for value in listed if self._valid(value, others))

    def _valid(self, value: object, place: Place) -> bool:
        return all(self._dialect.is_valid(value, at.schema) for at in place)

    def _expanded(self, before: Place, at: At, keyword: str, behind: Place) -> list[Flat]:
        """Return the alternatives of a place once `keyword` of one of its subschemas is resolved."""
        base = replace(at, schema=self._without(at, keyword))
        if keyword == "$ref":
            target = self._pointers.follow(at)
            own = (base,) if self._dialect.has_siblings else ()
            return [] if target is None else self._flats((*before, *own, target, *behind))
        given = at.keyword(keyword)
        branches = [
            at.beside(one, keyword, i) for i, one in enumerate(given if isinstance(given, list) else [])
        ]
        if keyword == "allOf":
            return self._flats((*before, base, *branches, *behind))
        if keyword == "oneOf":
            self._check_exclusive(at, [(*before, base, branch, *behind) for branch in branches])
        found = [flat for branch in branches for flat in self._flats((*before, base, branch, *behind))]
        if len(found) > _MOST_FLATS:
            raise UsageError(f"{at.path}: {keyword} has more than {_MOST_FLATS} combinations; take some out")
        return found

    def _without(self, at: At, keyword: str) -> Schema:
        """Return a subschema without one keyword: the same object each time."""
        if not isinstance(at.schema, Mapping):
            return at.schema
        key = id(at.schema), keyword
        if key not in self._bases:
            self._bases[key] = {name: value for name, value in at.schema.items() if name != keyword}
        return self._bases[key]

    def _check_exclusive(self, at: At, places: list[Place]) -> None:
        for one, other in permutations(range(len(places)), 2):
            if not self._excluded(places[one], places[other]):
                raise UsageError(
                    f"{at.path}: oneOf {one} and {other} may both hold; tell them apart by a required "
                    "const, or use anyOf"
                )

    def _excluded(self, written: Place, other: Place) -> bool:
        """Whether every value written at one place is surely invalid at the other.

        What is compared already is not proven by itself: recursive schemas end so.
        """
        pair = _ids(written), _ids(other)
        if pair in self._compared:
            return False
        self._compared.add(pair)
        try:
            return all(self._keeps_out(one, written, _anew(other)) for one in self._flats(_anew(written)))
        finally:
            self._compared.remove(pair)

    def _keeps_out(self, one: Flat, written: Place, other: Place) -> bool:
        if one.values is not None:
            return not any(self._valid(value, other) for value in one.values)
        return all(self._is_kept_out(one, two, written) for two in self._flats(other))

    def _is_kept_out(self, one: Flat, two: Flat, written: Place) -> bool:
        if two.values is not None:
            return not any(self._valid(value, written) for value in two.values)
        return one.excludes(two, self._excluded)


def _ids(place: Place) -> tuple[int, ...]:
    return tuple(id(at.schema) for at in place)


def _anew(place: Place) -> Place:
    """Return a place as if no reference had led there: what is too deep to write is valid all the same."""
    return tuple(replace(at, depth=0, via=frozenset()) for at in place)
