"""Places in a schema: which subschemas hold for one value, and where they stand."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter
from urllib.parse import unquote

from qwen3vl_edge.errors import UsageError
from qwen3vl_edge.json_fields import shown

__all__ = ["At", "Place", "Pointers", "Schema", "check_circles"]

Schema = Mapping[str, object] | bool

DEEPEST = 8
"""So often a recursive schema is entered on the way to one value."""

# Keywords whose subschemas are about the same value as the schema that they stand in.
_LISTS = ("allOf", "anyOf", "oneOf")
_SINGLE = ("not", "if", "then", "else")


@dataclass(frozen=True, eq=False, slots=True)
class At:
    """One subschema.

    Attributes:
        schema: A part of the root schema, or one of those made of it.
        path: Where it stands: ``#/properties/age``.
        depth: How many recursive references led there.
        via: The references that led there without a step down into a value: a circle of them says nothing.
    """

    schema: Schema
    path: str
    depth: int = 0
    via: frozenset[str] = frozenset()

    @property
    def key(self) -> tuple[int, int, frozenset[str]]:
        """What tells it from the others of the same root schema."""
        return id(self.schema), self.depth, self.via

    def keyword(self, name: str) -> object:
        """Return the value of a keyword; None: not there."""
        return self.schema.get(name) if isinstance(self.schema, Mapping) else None

    def inner(self, schema: object, *steps: str | int) -> "At":
        """Return the subschema of a part of the value."""
        return replace(self.beside(schema, *steps), via=frozenset())

    def beside(self, schema: object, *steps: str | int) -> "At":
        """Return a subschema of the same value."""
        if not isinstance(schema, Mapping | bool):
            raise UsageError(f"{self.path}: {shown(schema)} stands where a schema is expected")
        path = "/".join((self.path, *(str(step).replace("~", "~0").replace("/", "~1") for step in steps)))
        return replace(self, schema=schema, path=path)


Place = tuple[At, ...]
"""All subschemas that hold for one value; none: anything fits."""


class Pointers:
    """The references within one root schema: JSON pointers (RFC 6901) behind a ``#``."""

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._recursive: dict[str, bool] = {}

    def follow(self, at: At) -> At | None:
        """Return what the reference of `at` leads to; None: it leads too deep.

        Raises:
            UsageError: it leads nowhere, out of the schema, or back to itself for the same value, which no
                validator follows.
        """
        pointer = str(at.keyword("$ref"))
        target = At(self._target(pointer, at.path), pointer, at.depth, at.via | {pointer})
        if pointer in at.via:
            raise UsageError(f"{at.path}: reference {shown(pointer)} leads back to itself; take it out")
        if not self._is_recursive(pointer):
            return target
        return replace(target, depth=at.depth + 1) if at.depth < DEEPEST else None

    def find(self, pointer: object) -> Schema | None:
        """Return the schema that `pointer` leads to; None: to none."""
        if not isinstance(pointer, str) or (pointer != "#" and not pointer.startswith("#/")):
            return None
        found: object = self._root
        for step in pointer.split("/")[1:]:
            key = unquote(step).replace("~1", "/").replace("~0", "~")
            if isinstance(found, list) and key.isdecimal() and int(key) < len(found):
                found = found[int(key)]
            else:
                found = found.get(key) if isinstance(found, Mapping) else None
        return found if isinstance(found, Mapping | bool) else None

    def _target(self, pointer: str, path: str) -> Schema:
        found = self.find(pointer)
        if found is None and pointer != "#" and not pointer.startswith("#/"):
            raise UsageError(f"{path}: reference {shown(pointer)} cannot be held; put it under #/$defs")
        if found is None:
            raise UsageError(f"{path}: reference {shown(pointer)} leads to no schema")
        return found

    def _is_recursive(self, pointer: str) -> bool:
        if pointer not in self._recursive:
            reached: set[str] = set()
            todo = [pointer]
            while todo:
                for one in _references(self.find(todo.pop())) - reached:
                    reached.add(one)
                    todo.append(one)
            self._recursive[pointer] = pointer in reached
        return self._recursive[pointer]


def _references(value: object) -> set[str]:
    """Return every local reference in `value`; what only looks like one does no harm."""
    if isinstance(value, list):
        return set().union(*map(_references, value))
    if not isinstance(value, Mapping):
        return set()
    own = value.get("$ref")
    found = {own} if isinstance(own, str) and own.startswith("#") else set()
    return found.union(*map(_references, value.values()))


def check_circles(root: Schema, pointers: Pointers) -> None:
    """Check that no schema asks, by way of references, whether it holds itself for the same value.

    Raises:
        UsageError: one does; the message names a reference.
    """
    names: dict[int, str] = {}
    graph: dict[int, list[int]] = {}
    for schema in _mappings(root):
        target = pointers.find(schema.get("$ref"))
        names[id(schema)] = shown(schema.get("$ref"))
        graph[id(schema)] = [id(one) for one in _of_same_value(schema)] + (
            [] if target is None else [id(target)]
        )
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as failure:
        circle = [names[one] for one in failure.args[1] if names.get(one) not in {None, "None"}]
        raise UsageError(f"the schema: reference {circle[0]} leads back to itself; take it out") from failure


def _mappings(value: object) -> Iterator[Mapping[str, object]]:
    """Yield every object in `value`: all schemas, and more."""
    if isinstance(value, Mapping):
        yield value
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    for one in inner:
        yield from _mappings(one)


def _of_same_value(schema: Mapping[str, object]) -> Iterator[object]:
    for name in _LISTS:
        given = schema.get(name)
        yield from given if isinstance(given, list) else ()
    yield from (schema[name] for name in _SINGLE if name in schema)
    dependent = schema.get("dependentSchemas")
    yield from dependent.values() if isinstance(dependent, Mapping) else ()
