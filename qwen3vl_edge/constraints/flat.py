"""A schema without combinators: what it says about each type of value, or the values themselves."""

from collections.abc import Callable
from dataclasses import dataclass, field

from qwen3vl_edge.constraints.arrays import Arrays
from qwen3vl_edge.constraints.json_text import anything, one_of
from qwen3vl_edge.constraints.nodes import NEVER, Node, Text, alt
from qwen3vl_edge.constraints.numbers import Numbers
from qwen3vl_edge.constraints.objects import Objects
from qwen3vl_edge.constraints.place import Place
from qwen3vl_edge.constraints.strings import Strings

__all__ = ["TYPES", "Flat"]

TYPES = frozenset(("null", "boolean", "integer", "number", "string", "array", "object"))
"""The types of JSON Schema; whoever allows ``number`` allows ``integer``."""


@dataclass(frozen=True, slots=True)
class Flat:
    """What holds for one value.

    Attributes:
        types: The types allowed.
        hints: Types that other keywords speak of; where all types are allowed, answers have one of these.
        values: The only values, when they are listed; then nothing else counts.
    """

    types: frozenset[str] = TYPES
    hints: frozenset[str] = frozenset()
    values: tuple[object, ...] | None = None
    numbers: Numbers = field(default_factory=Numbers)
    strings: Strings = field(default_factory=Strings)
    arrays: Arrays = field(default_factory=Arrays)
    objects: Objects = field(default_factory=Objects)

    def __and__(self, other: "Flat") -> "Flat":
        return Flat(
            self.types & other.types,
            self.hints | other.hints,
            None,
            self.numbers & other.numbers,
            self.strings & other.strings,
            self.arrays & other.arrays,
            self.objects & other.objects,
        )

    def written(self) -> frozenset[str]:
        """Return the types that answers have."""
        return self.hints if self.types == TYPES and self.hints else self.types

    def excludes(self, other: "Flat", excluded: Callable[[Place, Place], bool]) -> bool:
        """Whether no value written as this one says fits `other`; neither lists values."""
        shared = self.written() & other.types
        found = {
            "integer": self.numbers.excludes(other.numbers),
            "number": self.numbers.excludes(other.numbers),
            "string": self.strings.excludes(other.strings),
            "array": self.arrays.excludes(other.arrays, excluded) if "array" in shared else False,
            "object": self.objects.excludes(other.objects, excluded) if "object" in shared else False,
        }
        return all(found.get(type_, False) for type_ in shared)

    def node(self, where: str, node: Callable[[Place], Node]) -> Node:
        """Return the values written, `node` giving what fits a place.

        Raises:
            UsageError: a keyword cannot be held.
        """
        if self.values is not None:
            return one_of(self.values)
        if self == Flat():
            return anything()
        types = self.written()
        return alt(
            self.objects.node(where, node) if "object" in types else NEVER,
            self.arrays.node(where, node) if "array" in types else NEVER,
            self.strings.node(where) if "string" in types else NEVER,
            self._number(where) if "integer" in types else NEVER,
            alt(Text("true"), Text("false")) if "boolean" in types else NEVER,
            Text("null") if "null" in types else NEVER,
        )

    def _number(self, where: str) -> Node:
        return self.numbers.node(where, fractions="number" in self.written())
