"""Arrays of a schema."""

from collections.abc import Callable
from dataclasses import dataclass

from qwen3vl_edge.constraints.json_text import COMMA, listed
from qwen3vl_edge.constraints.nodes import EMPTY, NEVER, Node, Text, optional, repeat, seq
from qwen3vl_edge.constraints.place import Place
from qwen3vl_edge.errors import UsageError

__all__ = ["Arrays"]

_LONGEST = 10_000  # the largest minItems and maxItems


@dataclass(frozen=True, slots=True)
class Arrays:
    """What a schema says about arrays.

    Attributes:
        first: The places of the first items.
        rest: The place of every other item.
        least: The fewest items.
        most: The most; None: no limit.
    """

    first: tuple[Place, ...] = ()
    rest: Place = ()
    least: int = 0
    most: int | None = None

    def __and__(self, other: "Arrays") -> "Arrays":
        count = max(len(self.first), len(other.first))
        mosts = [most for most in (self.most, other.most) if most is not None]
        return Arrays(
            tuple(self.item(i) + other.item(i) for i in range(count)),
            self.rest + other.rest,
            max(self.least, other.least),
            min(mosts, default=None),
        )

    def item(self, i: int) -> Place:
        """Return the place of item `i`."""
        return self.first[i] if i < len(self.first) else self.rest

    def excludes(self, other: "Arrays", excluded: Callable[[Place, Place], bool]) -> bool:
        """Whether none of these arrays fits `other`, by their lengths or by an item that both have."""
        for one, two in ((self, other), (other, self)):
            if two.most is not None and one.least > two.most:
                return True
        shared = min(self.least, max(len(self.first), len(other.first)) + 1)
        return any(excluded(self.item(i), other.item(i)) for i in range(shared))

    def node(self, where: str, node: Callable[[Place], Node]) -> Node:
        """Return such arrays, `node` giving what fits a place.

        Raises:
            UsageError: they are too long to be counted.
        """
        if max(self.least, self.most or 0) > _LONGEST:
            raise UsageError(f"{where}: minItems and maxItems can be {_LONGEST} at most")
        return seq(Text("["), self._items(0, node), Text("]"))

    def _items(self, i: int, node: Callable[[Place], Node]) -> Node:
        """Return item `i` and those behind it, each with its comma."""
        if self.most is not None and i >= self.most:
            return EMPTY if self.least <= i else NEVER
        if i < len(self.first):
            found = seq(COMMA if i else EMPTY, node(self.first[i]), self._items(i + 1, node))
            return found if i < self.least else optional(found)
        least, most = max(self.least - i, 0), None if self.most is None else self.most - i
        item = node(self.rest)
        return repeat(seq(COMMA, item), least, most) if i else listed(item, least, most)
