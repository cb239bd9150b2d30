"""What becomes of a caption that is there already.

======== ================================================ =============================================
mode     a text file beside the picture                    a record in a JSONL or CSV file
======== ================================================ =============================================
skip     is left alone, even if empty                      is left alone; one with an error is not one
fill     is left alone unless empty                        is left alone unless its caption is empty
overwrite is replaced                                      is replaced: there is one record an item
append   the new caption is put behind what it holds       the new caption is put behind that of the record
prepend  the new caption is put before what it holds       the new caption is put before that of the record
======== ================================================ =============================================

What was captioned under the same settings is not captioned again: a run that was stopped goes on, and
nothing is put behind itself. Only ``overwrite`` makes anew what a run made that was not stopped. An item
is captioned if at least one of the places that its caption goes to wants it; the others stay as they are.
A failure never replaces a caption.
"""

import re
from typing import Literal, get_args

__all__ = ["JOINING", "MODES", "Holding", "Mode", "joined", "wants"]

Mode = Literal["skip", "overwrite", "append", "prepend", "fill"]

MODES: tuple[Mode, ...] = get_args(Mode)

JOINING: frozenset[Mode] = frozenset(("append", "prepend"))
"""The modes whose result depends on what was there."""

Holding = Literal["nothing", "empty", "caption"]
"""What a place holds for an item; a record of an error counts as nothing."""

_SENTENCE_END = re.compile(r"""[.!?…。！？]["'”’»)\]」』]*$""")


def wants(mode: Mode, holding: Holding) -> bool:
    """Tell whether a place that holds `holding` takes a new caption."""
    match mode:
        case "skip":
            return holding == "nothing"
        case "fill":
            return holding != "caption"
        case _:
            return True


def joined(mode: Mode, existing: str, text: str, separator: str | None) -> str:
    """Put `text` and the `existing` caption together, in the order of the `mode`; blanks between them go.

    Where `separator` is None it is a blank behind the end of a sentence and a comma and a blank behind
    anything else, so that sentences and tags both come out as people write them.
    """
    if mode not in JOINING or not existing.strip():
        return text
    first, second = (existing, text) if mode == "append" else (text, existing)
    first, second = first.rstrip(), second.strip()
    if not first or not second:
        return first or second
    if separator is None:
        separator = " " if _SENTENCE_END.search(first) else ", "
    return first + separator + second
