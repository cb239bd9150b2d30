"""The plain rules of a grammar, and whether they can be followed."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from heapq import heapify, heappop, heappush

from qwen3vl_edge.constraints.charsets import Ranges
from qwen3vl_edge.errors import UsageError
from qwen3vl_edge.json_fields import shown

__all__ = ["Item", "Letters", "Ref", "Rules", "check_rules", "shortest"]

# llama.cpp goes through all readings of what comes next one by one, and compares each with all others.
_MOST_WAYS = 10_000
_MOST_WORK = 100_000_000  # items that its search for left recursion looks at: half a second
_LONGEST = 1_000_000  # characters of the shortest text, four times what the longest context holds


@dataclass(frozen=True, slots=True)
class Letters:
    """One character of a set."""

    ranges: Ranges


@dataclass(frozen=True, slots=True)
class Ref:
    """What a rule fits."""

    name: str


Item = Letters | Ref

Rules = Mapping[str, tuple[tuple[Item, ...], ...]]
"""The alternatives of each rule; names with an underscore are those of groups and repetitions."""


def check_rules(rules: Rules, what: str) -> None:
    """Check that every rule can be followed to an end, by llama.cpp as well, and soon enough.

    llama.cpp finds only some of the rules that refer to themselves before a character is written, and
    follows the others until the memory ends (``llama_grammar_detect_left_recursion`` takes only a rule
    with an empty alternative for one that may be empty). It looks into a rule as often as others begin
    with it, which doubles with each ``a ::= b | b`` (src/llama-grammar.cpp, 0c1e57098).

    Args:
        rules: Among them ``root`` and all that are referred to.
        what: What they are, for the message.

    Raises:
        UsageError: a rule refers to itself so or never ends, or the work is beyond all measure.
    """
    lengths = shortest(rules)
    fronts = _fronts(rules, {name for name, length in lengths.items() if length == 0})
    _check_fronts(rules, fronts, what)
    endless = sorted(name for name in rules if name not in lengths and not name.startswith("_"))
    if endless:
        raise UsageError(f"{what}: rule {shown(endless[0])} never ends; give it an alternative that does")
    if lengths["root"] > _LONGEST:
        raise UsageError(f"{what}: asks for more than {_LONGEST} characters; ask for fewer")


@dataclass(slots=True)
class _Option:
    """One alternative of a rule, while the lengths of what it refers to become known."""

    rule: str
    length: int  # of what is known
    n_unknown: int


def shortest(rules: Rules) -> dict[str, int]:
    """Return the length in characters of the shortest text of each rule that has one.

    Lengths are found in ascending order: D. E. Knuth, "A generalization of Dijkstra's algorithm",
    Information Processing Letters 6 (1977).
    """
    waiting: dict[str, list[_Option]] = defaultdict(list)  # by the rule that they wait for
    ready = []
    for rule, options in rules.items():
        for items in options:
            names = [item.name for item in items if isinstance(item, Ref)]
            option = _Option(rule, len(items) - len(names), len(names))
            for name in names:
                waiting[name].append(option)
            if not names:
                ready.append((option.length, rule))
    heapify(ready)
    found: dict[str, int] = {}
    while ready:
        length, rule = heappop(ready)
        if rule not in found:
            found[rule] = length
            for option in waiting[rule]:
                option.length += length
                option.n_unknown -= 1
                if option.n_unknown == 0:
                    heappush(ready, (option.length, option.rule))
    return found


def _fronts(rules: Rules, empty: set[str]) -> dict[str, list[str]]:
    """Return which rules may stand first in each rule, as often as they do."""
    found: dict[str, list[str]] = {name: [] for name in rules}
    for name, options in rules.items():
        for items in options:
            for item in items:
                if isinstance(item, Letters):
                    break
                found[name].append(item.name)
                if item.name not in empty:
                    break
    return found


def _check_fronts(rules: Rules, fronts: Mapping[str, list[str]], what: str) -> None:
    """Check that no rule stands first in itself, and that few enough do in each other."""
    try:
        order = [*TopologicalSorter(fronts).static_order()]
    except CycleError as failure:
        raise UsageError(
            f"{what}: {_circle(failure)} before a character is written; write what comes first in front"
        ) from failure
    ways: dict[str, int] = {}
    work: dict[str, int] = {}
    for name in order:
        options, inner = rules[name], fronts[name]
        ways[name] = len(options) + sum(ways[one] for one in inner)
        work[name] = sum(map(len, options)) + len(options) + sum(work[one] for one in inner)
        if ways[name] > _MOST_WAYS:
            raise UsageError(f"{what}: can go on in more than {_MOST_WAYS} ways at once; simplify it")
    if sum(work.values()) > _MOST_WORK:
        raise UsageError(f"{what}: too many rules begin with other rules; simplify it")


def _circle(failure: CycleError) -> str:
    names = [str(name) for name in failure.args[1] if not str(name).startswith("_")]
    return (
        f"rule {shown(names[0])} refers to itself" if names else "a repetition of what may be empty repeats"
    )
