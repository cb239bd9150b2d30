"""Names of the files of a split model: ``STEM-00001-of-00003.gguf``.

Source: llama_split_path and llama_split_prefix in src/llama.cpp, 0c1e57098.
"""

import re
from dataclasses import dataclass

__all__ = ["PartName", "parse_part_name", "part_name"]

_PATTERN = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.DOTALL)


@dataclass(frozen=True, slots=True)
class PartName:
    """A part's name taken apart; `number` counts from 1."""

    stem: str
    number: int
    count: int


def part_name(stem: str, number: int, count: int) -> str:
    """Return the file name of part `number` (from 1) of `count`."""
    return f"{stem}-{number:05d}-of-{count:05d}.gguf"


def parse_part_name(name: str) -> PartName | None:
    """Take a file name apart; None if it is not that of a part."""
    found = _PATTERN.fullmatch(name)
    return PartName(found["stem"], int(found["number"]), int(found["count"])) if found else None
