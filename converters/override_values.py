"""Values given as text, read by the type that they must have."""

import math
import struct
from typing import Literal

from qwen3vl_edge.errors import UsageError
from qwen3vl_edge.gguf_format import SCALAR_FORMATS, Scalar, ValueType

__all__ = ["MEMBERS", "NEW_INTEGERS", "Kind", "parse_scalar", "refused", "type_name", "wanted_value"]

Kind = Literal["int", "float", "bool", "str"]
"""A type as llama.cpp's ``--override-kv KEY=TYPE:VALUE`` spells it."""

_INTEGERS = tuple(kind for kind, code in SCALAR_FORMATS.items() if code in "bBhHiIqQ")
_FLOATS = (ValueType.FLOAT32, ValueType.FLOAT64)
MEMBERS: dict[Kind, tuple[ValueType, ...]] = {
    "int": _INTEGERS,
    "float": _FLOATS,
    "bool": (ValueType.BOOL,),
    "str": (ValueType.STRING,),
}
# The types of a new number, the first that holds it; llama.cpp reads most of its own as uint32.
NEW_INTEGERS = (ValueType.UINT32, ValueType.INT32, ValueType.UINT64, ValueType.INT64)


def parse_scalar(kind: ValueType, text: str) -> Scalar | None:
    """Read a number or boolean that a value of this type can hold; None for anything else."""
    if kind is ValueType.BOOL:
        return {"true": True, "false": False}.get(text.lower())
    try:
        value = float(text) if kind in _FLOATS else int(text)
        struct.pack(f"<{SCALAR_FORMATS[kind]}", value)
    except (ValueError, struct.error, OverflowError):  # no number, or out of the type's range
        return None
    return value if math.isfinite(value) else None


def wanted_value(kind: ValueType) -> str:
    """Say what `parse_scalar` takes."""
    if kind is ValueType.BOOL:
        return "true or false"
    if kind in _FLOATS:
        return f"a finite {kind.name.lower()}"
    code = SCALAR_FORMATS[kind]
    bits = 8 * struct.calcsize(f"<{code}")
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if code.islower() else (0, 2**bits - 1)
    return f"an integer within {low}..{high}"


def type_name(kind: ValueType) -> Kind:
    """Return the user's word for a type."""
    return next(name for name, kinds in MEMBERS.items() if kind in kinds)


def refused(key: str, why: str) -> UsageError:
    """Return the error that says why `key` or its value is not taken."""
    return UsageError(f"--set: {key} {why}")
