"""Markdown that is still being written: which of it is final, and what of the rest can be shown."""

import re
from itertools import pairwise

from markdown_it import MarkdownIt
from markdown_it.token import Token

__all__ = ["blocks", "n_final", "parsed", "showable"]

_MARKS = frozenset("-=*+#>`~|_ \t")


def parsed(text: str) -> list[Token]:
    """Parse `text` as CommonMark with tables; HTML is text like any other, for a terminal shows none."""
    parser = MarkdownIt().enable(["strikethrough", "table"]).disable(["html_block", "html_inline"])
    return parser.parse(text)


def blocks(text: str) -> list[str]:
    """Cut `text` between the blocks at its top."""
    lines = re.findall(r"[^\n]*\n|[^\n]+", text)
    starts = [0, *_starts(parsed(text))[1:], len(lines)]
    return ["".join(lines[start:end]) for start, end in pairwise(starts)]


def n_final(text: str) -> int:
    """Count the characters of `text` in blocks that no continuation can change: all but the last one.

    Only whole lines are looked at. A block of CommonMark (0.31, "Blocks and inlines") is closed once
    another begins beside it.
    """
    return sum(map(len, blocks(text[: text.rfind("\n") + 1])[:-1]))


def showable(tail: str) -> str:
    """Return as much of the last block as can be drawn without being drawn differently a moment later.

    The line at the end of a code block or a table, and one of marks alone, wait until they are whole.
    """
    whole, _, line = tail.rpartition("\n")
    kinds = {token.type for token in parsed(whole)[:1]}
    waits = line.lstrip().startswith(("|", "```", "~~~")) or set(line) <= _MARKS
    return whole if waits or kinds & {"fence", "table_open"} else tail


def _starts(tokens: list[Token]) -> list[int]:
    """Give the first line of each block at the top."""
    return [token.map[0] for token in tokens if token.level == 0 and token.map and token.nesting >= 0]
