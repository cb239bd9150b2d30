"""Texts compared with plain grammar rules, a character at a time.

Like llama.cpp (src/llama-grammar.cpp, 0c1e57098) it follows all readings at once, but numbers what
is left to come: equal remainders are the same number, however deep.
"""

from collections import Counter
from collections.abc import Iterable
from functools import cached_property
from itertools import accumulate

from qwen3vl_edge.constraints.charsets import Ranges, contains
from qwen3vl_edge.constraints.rules import Item, Letters, Ref, Rules, shortest
from qwen3vl_edge.errors import UsageError

__all__ = ["Machine", "check_crowds"]

_TOKENS, _TOKEN = 4, 8  # so many tokens of so many characters are tried
_MOST_PATHS = 500_000  # through one token; a microsecond each in llama.cpp
_DONE = 0  # nothing is left to come
_USUAL = "aA0 "  # characters that endings prefer


class Machine:
    """Follows one text.

    Args:
        rules: Those of `read_gbnf`: others may never come to an end here.
    """

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._lengths: dict[int, list[int]] = {}
        # What is left to come: from item i of a sequence on, then another remainder.
        self._frames: list[tuple[tuple[Item, ...], int, int]] = [((), 0, _DONE)]
        self._numbers: dict[tuple[int, int, int], int] = {}
        self._readings = self._before_letters(self._number(one, 0, _DONE) for one in rules["root"])

    @cached_property
    def _shortest(self) -> dict[str, int]:
        return shortest(self._rules)

    @property
    def may_end(self) -> bool:
        """Whether the text so far fits as a whole."""
        return _DONE in self._readings

    def letters(self) -> list[Letters]:
        """Return what may come next: one of these."""
        return [self._letters(reading) for reading in sorted(self._readings - {_DONE})]

    def take(self, text: str) -> bool:
        """Go past `text`; return whether a text that fits can begin so."""
        return all(self.step(char) for char in text)

    def ending(self) -> str:
        """Return the shortest text that brings what has been taken to an end that fits.

        An answer whose tokens run out is closed with it in good form: it has as many characters as
        tokens at most, where every character is a token.
        """
        text, reading = "", min(self._readings, key=self._effort)
        while reading != _DONE:
            items, i, behind = self._frames[reading]
            text += _usual(self._letters(reading).ranges)
            reading = min(self._before_letters([self._number(items, i + 1, behind)]), key=self._effort)
        return text

    def step(self, char: str) -> bool:
        """Go past `char`; return whether a text that fits can begin so."""
        passed = []
        for reading in self._readings - {_DONE}:
            items, i, behind = self._frames[reading]
            if contains(self._letters(reading).ranges, char):
                passed.append(self._number(items, i + 1, behind))
        self._readings = self._before_letters(passed)
        return bool(self._readings)

    def crowd(self, n_chars: int, most: int) -> int:
        """Go past the `n_chars` characters that most readings lead past; return how many paths they take.

        Paths that meet again count each: llama.cpp follows them one by one within a token
        (``llama_grammar_reject_candidates_for_stack``). Counting ends beyond `most`.
        """
        total, paths = 0, Counter(self._readings)
        for _ in range(n_chars):
            char = _busiest([(self._letters(one).ranges, paths[one]) for one in paths if one != _DONE])
            passed: Counter[int] = Counter()
            for reading, count in paths.items():
                for one in self._past(reading, char):
                    passed[one] += count
                    total += count
                if total > most:
                    return total
            paths = passed
        self._readings = {*paths}
        return total

    def _past(self, reading: int, char: str) -> set[int]:
        """Return where `reading` goes on behind `char`."""
        items, i, behind = self._frames[reading]
        if reading == _DONE or not char or not contains(self._letters(reading).ranges, char):
            return set()
        return self._before_letters([self._number(items, i + 1, behind)])

    def _length(self, reading: int) -> int:
        """Return how many characters are left to come at least."""
        total = 0
        while reading != _DONE:
            items, i, reading = self._frames[reading]
            if id(items) not in self._lengths:
                self._lengths[id(items)] = self._suffixes(items)
            total += self._lengths[id(items)][i]
        return total

    def _effort(self, reading: int) -> tuple[int, int, int]:
        """Return what makes one reading better to end with than another; the lowest is best."""
        char = "" if reading == _DONE else _usual(self._letters(reading).ranges)
        return self._length(reading), _USUAL.index(char) if char in _USUAL else len(_USUAL), reading

    def _suffixes(self, items: tuple[Item, ...]) -> list[int]:
        """Return the least length of what stands from each item on."""
        lengths = [1 if isinstance(item, Letters) else self._shortest[item.name] for item in items]
        return list(accumulate(reversed(lengths)))[::-1]

    def _letters(self, reading: int) -> Letters:
        items, i, _ = self._frames[reading]
        found = items[i]
        if not isinstance(found, Letters):
            raise TypeError("a reading stands before a reference")
        return found

    def _number(self, items: tuple[Item, ...], i: int, behind: int) -> int:
        if i == len(items):
            return behind
        number = self._numbers.setdefault((id(items), i, behind), len(self._frames))
        if number == len(self._frames):
            self._frames.append((items, i, behind))
        return number

    def _before_letters(self, readings: Iterable[int]) -> set[int]:
        """Return the readings with every reference at their front replaced by what it refers to."""
        seen: set[int] = set()
        todo = list(readings)
        found = set()
        while todo:
            reading = todo.pop()
            if reading in seen:
                continue
            seen.add(reading)
            items, i, behind = self._frames[reading]
            front = items[i] if items else None
            if isinstance(front, Ref):
                after = self._number(items, i + 1, behind)
                todo += [self._number(one, 0, after) for one in self._rules[front.name]]
            else:
                found.add(reading)
        return found


def _usual(ranges: Ranges) -> str:
    """Return one character of `ranges`, a common one if there is one."""
    return next((char for char in _USUAL if contains(ranges, char)), chr(ranges[0][0]))


def _busiest(sets: Iterable[tuple[Ranges, int]]) -> str:
    """Return the first of the characters with the greatest weight in all `sets`; empty: there is none."""
    change: Counter[int] = Counter()
    for ranges, weight in sets:
        for first, last in ranges:
            change[first] += weight
            change[last + 1] -= weight
    points = sorted(change)
    weights = [*accumulate(change[point] for point in points)]
    return chr(points[weights.index(max(weights))]) if points else ""


def check_crowds(rules: Rules, what: str) -> None:
    """Check that few readings are in the running at a time, along the text that has the most of them.

    Raises:
        UsageError: llama.cpp would take too long to follow them; `what` is what the rules are.
    """
    machine = Machine(rules)
    for _ in range(_TOKENS):
        if machine.crowd(_TOKEN, _MOST_PATHS) > _MOST_PATHS:
            raise UsageError(f"{what}: a text can be read in too many ways; write it so that there is one")
