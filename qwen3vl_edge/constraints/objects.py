"""Objects of a schema: members in the order of ``properties``, and no others unless the schema says so."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from qwen3vl_edge.constraints.json_text import COLON, COMMA, constant, listed, other_keys
from qwen3vl_edge.constraints.nodes import EMPTY, NEVER, Node, Text, alt, repeat, rule, seq
from qwen3vl_edge.constraints.place import Place
from qwen3vl_edge.errors import UsageError

__all__ = ["Objects"]

_MOST_MEMBERS = 1000


@dataclass(frozen=True, slots=True)
class Objects:
    """What a schema says about objects.

    Attributes:
        named: The places of the members that ``properties`` names, in order.
        required: Names that must be there.
        extra: The place of all other members; None: the schema is silent, then answers have none.
        says_names: Whether there is a ``properties``, an empty one even.
        least: The fewest members.
        most: The most; None: no limit.
    """

    named: Mapping[str, Place] = field(default_factory=dict)
    required: frozenset[str] = frozenset()
    extra: Place | None = None
    says_names: bool = False
    least: int = 0
    most: int | None = None

    def __and__(self, other: "Objects") -> "Objects":
        silent = self.extra is None and other.extra is None
        mosts = [most for most in (self.most, other.most) if most is not None]
        return Objects(
            {name: self.member(name) + other.member(name) for name in {**self.named, **other.named}},
            self.required | other.required,
            None if silent else (self.extra or ()) + (other.extra or ()),
            self.says_names or other.says_names,
            max(self.least, other.least),
            min(mosts, default=None),
        )

    def member(self, name: str) -> Place:
        """Return the place of the member `name`."""
        return self.named.get(name, self.extra or ())

    def written(self) -> Mapping[str, Place]:
        """Return the places of the members that have a name; those that are only required come last."""
        return {**self.named, **{name: self.member(name) for name in sorted(self.required - {*self.named})}}

    def free(self) -> Place | None:
        """Return the place of members with keys of their own choice; None: answers have none.

        An object of which nothing at all is said about members may have any.
        """
        silent = not self.says_names and not self.required
        return () if self.extra is None and silent else self.extra

    def excludes(self, other: "Objects", excluded: Callable[[Place, Place], bool]) -> bool:
        """Whether no object written as this one says fits `other`."""
        if self.free() is None and other.required - {*self.written()}:
            return True
        return any(excluded(self.member(name), other.member(name)) for name in self.required)

    def node(self, where: str, node: Callable[[Place], Node]) -> Node:
        """Return such objects, `node` giving what fits a place.

        Raises:
            UsageError: there are too many members, or more free ones are asked for than can be counted.
        """
        written = self.written()
        if len(written) > _MOST_MEMBERS or max(self.least, self.most or 0) > _MOST_MEMBERS:
            raise UsageError(f"{where}: an object can have {_MOST_MEMBERS} members at most")
        members = [
            (rule(name, seq(constant(name), COLON, node(place))), name in self.required)
            for name, place in written.items()
        ]
        place = self.free()
        free = NEVER if place is None else node(place)
        if free != NEVER:
            self._check_countable(where)
            free = rule("member", seq(other_keys(written), COLON, free))
        return seq(Text("{"), _members(members, free, self.least, self.most), Text("}"))

    def _check_countable(self, where: str) -> None:
        """Refuse to count free members: one whose key is written twice counts once."""
        if self.least > max(1, len(self.required)):
            raise UsageError(
                f"{where}: minProperties {self.least} with free members cannot be held; name and require them"
            )


def _members(members: list[tuple[Node, bool]], free: Node, least: int, most: int | None) -> Node:
    """Return the inside of an object.

    Args:
        members: Each with its key, and whether it is required.
        free: A member with a key of its own choice.
        least: The fewest members.
        most: The most.
    """
    counted = max(1, least if most is None else most)  # whether there are more makes no difference
    # What may stand behind the first i members, by how many of them have been written.
    behind = [_free_members(free, written, least, most) for written in range(counted + 1)]
    for member, required in reversed(members):
        behind = [
            _one_more(member, required, written, behind, full=most is not None and written >= most)
            for written in range(counted + 1)
        ]
    return behind[0]


def _one_more(member: Node, required: bool, written: int, behind: list[Node], *, full: bool) -> Node:
    after = behind[min(written + 1, len(behind) - 1)]
    there = NEVER if full else seq(COMMA if written else EMPTY, member, after)
    return there if required else rule("rest", alt(there, behind[written]))


def _free_members(free: Node, written: int, least: int, most: int | None) -> Node:
    least, most = max(least - written, 0), None if most is None else most - written
    return repeat(seq(COMMA, free), least, most) if written else listed(free, least, most)
