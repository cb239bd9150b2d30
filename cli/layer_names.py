"""Names of tensors that differ in the number of their layer, as one."""

import re
from collections.abc import Iterator, Sequence
from itertools import groupby

__all__ = ["merged_name", "without_layer"]

_LAYER = re.compile(r"(?<=\.)\d+(?=\.)")


def without_layer(name: str) -> str:
    """Return a tensor's name with ``*`` for the number of its layer."""
    return _LAYER.sub("*", name, count=1)


def merged_name(names: Sequence[str], n_layers: int) -> str:
    """Return one name for several tensors: ``blk.*.ffn_up`` for all `n_layers`, else ``blk.{0-3,7}.ffn_up``.

    Args:
        names: Alike but for the number of the layer; one is returned as it is.
        n_layers: Of how many layers there are tensors of this name.
    """
    if len(names) == 1:
        return names[0]
    if len(names) == n_layers:
        return without_layer(names[0])
    layers = sorted(int(found[0]) for name in names if (found := _LAYER.search(name)))
    return without_layer(names[0]).replace("*", f"{{{','.join(_runs(layers))}}}", 1)


def _runs(numbers: Sequence[int]) -> Iterator[str]:
    """Give ascending numbers as single ones and runs of several: ``0-3``, ``7``."""
    for _, found in groupby(enumerate(numbers), key=lambda item: item[1] - item[0]):
        run = [number for _, number in found]
        yield str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}"
