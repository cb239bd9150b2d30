"""The plain rules of a grammar, and whether they can be followed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from qwen3vl_edge.constraints.charsets import Ranges
from qwen3vl_edge.errors import UsageError
from qwen3vl_edge.json_fields import shown

__all__ = ["Item", "Letters", "Ref", "Rules", "check_rules", "shortest"]


@dataclass(frozen=True, slots=True)
class Letters:
    """One character of a set."""

    ranges: Ranges


@dataclass(frozen=True, slots=True)
class Ref:
    """What a rule fits."""

    name: str


Item = Letters | Ref

Rules = dict[str, tuple[tuple[Item, ...], ...]]
"""The alternatives of each rule; names with an underscore are those of groups and repetitions."""


def check_rules(rules: Rules, what: str) -> None:
    """Check that ``root`` is there, that it can be fitted, and that every rule can be followed.

    llama.cpp finds only some of the rules that refer to themselves before a character is written, and
    follows the others until the memory ends (``llama_grammar_detect_left_recursion`` takes only a rule
    with an empty alternative for one that may be empty; src/llama-grammar.cpp, 0c1e57098).

    Raises:
        UsageError: a rule is missing, refers to itself so, or never ends.
    """
    if "root" not in rules:
        raise UsageError(f"{what}: has no rule root; name the rule of the whole answer root")
    used = {
        item.name
        for options in rules.values()
        for option in options
        for item in option
        if isinstance(item, Ref)
    }
    if used - {*rules}:
        raise UsageError(f"{what}: rule {shown(min(used - {*rules}))} is used and not defined")
    circle = _left_circle(rules)
    if circle:
        raise UsageError(f"{what}: {circle} before a character is written; write what comes first in front")
    ending = _spread(rules, lambda item: isinstance(item, Letters))
    endless = sorted(name for name in rules if name not in ending and not name.startswith("_"))
    if endless:
        raise UsageError(f"{what}: rule {shown(endless[0])} never ends; give it an alternative that does")


def shortest(rules: Rules) -> dict[str, int]:
    """Return the length of the shortest text that each of some checked rules fits, in characters."""
    found: dict[str, int] = {}
    grown = True
    while grown:
        grown = False
        for name, options in rules.items():
            lengths = [_length(one, found) for one in options if _known(one, found)]
            if lengths and min(lengths) < found.get(name, min(lengths) + 1):
                found[name] = min(lengths)
                grown = True
    return found


def _known(items: tuple[Item, ...], names: Mapping[str, int]) -> bool:
    return all(isinstance(item, Letters) or item.name in names for item in items)


def _length(items: tuple[Item, ...], names: Mapping[str, int]) -> int:
    return sum(1 if isinstance(item, Letters) else names[item.name] for item in items)


def _spread(rules: Rules, holds: Callable[[Item], bool]) -> set[str]:
    """Return the rules with an alternative of which every item holds, or is one of these rules."""
    found: set[str] = set()
    grown = True
    while grown:
        more = {
            name
            for name, options in rules.items()
            if name not in found
            and any(all(_in(item, found) or holds(item) for item in one) for one in options)
        }
        found |= more
        grown = bool(more)
    return found


def _in(item: Item, names: set[str]) -> bool:
    return isinstance(item, Ref) and item.name in names


def _left_circle(rules: Rules) -> str:
    """Return which rule or repetition comes round to itself; empty: none does."""
    empty = _spread(rules, lambda item: False)
    first: dict[str, set[str]] = {name: set() for name in rules}
    for name, options in rules.items():
        for option in options:
            for item in option:
                if isinstance(item, Letters):
                    break
                first[name].add(item.name)
                if item.name not in empty:
                    break
    try:
        TopologicalSorter(first).prepare()
    except CycleError as failure:
        names = [str(name) for name in failure.args[1] if not str(name).startswith("_")]
        return (
            f"rule {shown(names[0])} refers to itself"
            if names
            else "a repetition of what may be empty repeats"
        )
    return ""
