"""References that lead back to themselves for the same value: validators follow them until the stack ends."""

from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter

from qwen3vl_edge.constraints.place import Pointers, Schema
from qwen3vl_edge.errors import UsageError
from qwen3vl_edge.json_fields import shown

__all__ = ["check_circles"]

# Keywords whose subschemas are about the same value as the schema that they stand in.
_LISTS = ("allOf", "anyOf", "oneOf")
_SINGLE = ("not", "if", "then", "else")


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
