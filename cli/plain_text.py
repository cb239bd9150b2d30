"""Text from files on its way to a terminal, which must not obey it."""

import re

from rich.text import Text

__all__ = ["escaped", "plain"]

# C0 and C1 controls, line and paragraph ends, and what turns the direction of writing (Unicode 16, UAX #9).
# Halves of surrogate pairs are left: they stand for the bytes of a file name that is no valid text.
_OBEYED = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def escaped(text: str) -> str:
    r"""Return `text` with ``\x1b``, ``\n`` and ``\u202e`` in place of the characters that they stand for."""
    return _OBEYED.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def plain(text: str) -> Text:
    """Return `text` for a table or a line, `escaped`, and without rich's markup and emoji codes."""
    return Text(escaped(text))
