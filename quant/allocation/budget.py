"""The size that is ordered."""

import re
from dataclasses import dataclass

from qwen3vl_edge.errors import UsageError
from qwen3vl_edge.ggml_types import TensorType
from qwen3vl_edge.writing.split import parse_size

__all__ = ["Order", "parse_order"]

_MOST_BITS = 16.0


@dataclass(frozen=True, slots=True)
class Order:
    """Bits a weight, or bytes, of both files together, and the types to choose of (None: the default ones).

    Bits a weight are those of all tensors, kept ones too, over all weights of the source, as in
    `quantize --list-types`; bytes are those of the files, headers and padding too. One of the two is given.
    """

    bits_per_weight: float | None = None
    n_bytes: int | None = None
    types: tuple[TensorType, ...] | None = None

    @property
    def text(self) -> str:
        """Return the option that gives it."""
        if self.n_bytes is not None:
            return f"--fit {self.n_bytes}"
        return f"--bpw {self.bits_per_weight:g}"


def parse_order(bpw: float | None, fit: str | None, types: tuple[TensorType, ...] | None) -> Order | None:
    """Read the options of a command; None where no size is ordered.

    Raises:
        UsageError: both sizes are given, one is none, or types without a size.
    """
    if bpw is not None and fit is not None:
        raise UsageError("--bpw and --fit say two sizes; give one of them")
    if bpw is None and fit is None:
        if types is not None:
            raise UsageError("--types is for --bpw and --fit; give one of them, or --type for a usual file")
        return None
    if fit is not None:
        return Order(n_bytes=parse_size(_decimal(fit)), types=types)
    if bpw is None or not 0 < bpw <= _MOST_BITS:
        raise UsageError(f"--bpw {bpw:g}: more than 0 and at most {_MOST_BITS:g} bits a weight are expected")
    return Order(bits_per_weight=bpw, types=types)


def _decimal(text: str) -> str:
    """Make a whole number of bytes of ``3.5G``, which `parse_size` does not read."""
    found = re.fullmatch(r"([0-9]{1,9})\.([0-9]{1,9})([KMGT])B?", text.strip().upper())
    if found is None:
        return text
    power = {"K": 3, "M": 6, "G": 9, "T": 12}[found[3]]
    return str(int(found[1] + found[2].ljust(power, "0")[:power]))
