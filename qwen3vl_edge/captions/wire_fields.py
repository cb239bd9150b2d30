"""Taking messages apart: what `json_fields.Fields` has no word for."""

from collections.abc import Sequence
from typing import TypeVar

from qwen3vl_edge.errors import EngineError
from qwen3vl_edge.json_fields import Fields

__all__ = ["WireError", "one_of", "texts"]

T = TypeVar("T")


class WireError(EngineError):
    """A line between supervisor and worker makes no sense."""


def one_of(fields: Fields, key: str, choices: Sequence[T]) -> T:
    """Return that of `choices` which stands under `key`."""
    for choice in choices:
        if fields.values.get(key) == choice:
            return choice
    fields.fault(key, f"is none of {', '.join(map(str, choices))}")
    return choices[0]


def texts(fields: Fields, key: str) -> tuple[str, ...]:
    """Return a list of strings."""
    value = fields.values.get(key)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    fields.fault(key, "is no list of texts")
    return ()
