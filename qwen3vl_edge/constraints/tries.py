"""Lists of texts by their beginnings: few readings are in the running at a time."""

from collections.abc import Sequence
from itertools import groupby
from os.path import commonprefix

from qwen3vl_edge.constraints.charsets import Ranges, complement, intersection, of_text
from qwen3vl_edge.constraints.nodes import NEVER, Node, Text, alt, chars, optional, repeat, seq

__all__ = ["other_than", "trie"]


def trie(texts: Sequence[str]) -> Node:
    """Return one of `texts`, sorted and each once."""
    if len(texts) < 2:
        return Text(texts[0]) if texts else NEVER
    shared = len(commonprefix(texts))  # noqa: RUF071 -- characters are meant
    rests = [text[shared:] for text in texts]
    groups = (list(group) for _, group in groupby(rests, lambda rest: rest[:1]))
    # A rest that is empty sorts first; the others of a group share a character at least.
    return seq(Text(texts[0][:shared]), alt(*(trie(group) for group in groups)))


def other_than(names: Sequence[str], plain: Ranges) -> Node:
    """Return the texts of `plain` characters that are none of `names`, sorted and each once."""
    if not names:
        return repeat(chars(plain), 0, None)
    starts = of_text("".join(name[:1] for name in names))
    others = chars(intersection(plain, complement(starts)))
    groups = groupby((name for name in names if name), lambda name: name[0])
    same = [
        seq(Text(char), other_than([name[1:] for name in group], plain))
        for char, group in groups
        if intersection(plain, of_text(char))
    ]
    longer = alt(seq(others, repeat(chars(plain), 0, None)), *same)
    return longer if names[0] == "" else optional(longer)
