"""Ends an answer before a text that it must not hold."""

from collections.abc import Sequence

from qwen3vl_edge.errors import UsageError

__all__ = ["StopStrings"]


class StopStrings:
    """Watches a growing text for the first of `strings` to be complete.

    The text that can be shown does not depend on how it was cut into pieces. Where several strings are
    complete at the same character, the longest counts.

    Raises:
        UsageError: A string is empty.
    """

    def __init__(self, strings: Sequence[str]) -> None:
        if "" in strings:
            raise UsageError("a stop string is empty; every answer would end before it began")
        self._strings = tuple(strings)
        self._longest = max(map(len, self._strings), default=0)
        self._held = ""
        self._found = False

    def push(self, text: str) -> tuple[str, bool]:
        """Take the next piece of the text.

        Returns:
            What can be shown of it and of what was held back, and whether a stop string was found: then
            this is the text before it, and nothing comes after it.
        """
        if self._found:
            return "", True
        text, self._held = self._held + text, ""
        ends = [(start + len(stop), start) for stop in self._strings if (start := text.find(stop)) >= 0]
        if ends:
            self._found = True
            return text[: min(ends)[1]], True
        n_shown = len(text) - self._n_begun(text)
        self._held = text[n_shown:]
        return text[:n_shown], False

    def flush(self) -> str:
        """Give what was held back: the answer has ended, and no stop string has come of it."""
        held, self._held = self._held, ""
        return held

    def _n_begun(self, text: str) -> int:
        """Count the characters at the end of `text` that may be the beginning of a stop string."""
        longest = min(self._longest - 1, len(text))
        begun = (n for n in range(longest, 0, -1) if self._may_begin(text[-n:]))
        return next(begun, 0)

    def _may_begin(self, end: str) -> bool:
        return any(stop.startswith(end) for stop in self._strings)
