"""What `--dry-run` prints."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path

from rich.console import Console
from rich.filesize import decimal as in_bytes
from rich.table import Column, Table

from qwen3vl_edge.cli.json_output import print_json
from qwen3vl_edge.cli.layer_names import merged_name, without_layer
from qwen3vl_edge.cli.plain_text import plain
from qwen3vl_edge.writing import Needs, PlannedFile, PlannedTensor, WritePlan

__all__ = ["plan_json", "show_plan"]

_LEAST_WIDTH = 120


def show_plan(plan: WritePlan, out: Path, needs: Needs) -> None:
    """Print files, tensors (layers of a kind together), and what the machine must have."""
    console = Console()
    console.print(plain(f"{plan.name} → {out}"))
    if not plan.has_weights:
        console.print("planned from config.json: there are no weights here", highlight=False, markup=False)
    console.print(_files(plan.files))
    console.print()
    # lines that run on are read better than reasons of a few letters a line
    Console(width=max(console.width, _LEAST_WIDTH)).print(_tensors(plan.files))
    console.print()
    console.print(_needs(needs))


def plan_json(plan: WritePlan, out: Path, needs: Needs, order: dict[str, object] | None = None) -> None:
    """Print all of the plan, each tensor by itself; `order` says how the types were chosen, if for a size."""
    files = [
        {
            "name": file.name,
            "role": file.role,
            "type": file.type,
            "size_bytes": file.n_bytes,
            "tensors": [
                {
                    "name": item.name,
                    "shape": item.shape,
                    "type": item.kind.name,
                    "why": item.why,
                    "size_bytes": item.nbytes,
                }
                for item in file.tensors
            ],
        }
        for file in plan.files
    ]
    print_json(
        {
            "name": plan.name,
            "out": str(out),
            "has_weights": plan.has_weights,
            "files": files,
            "needs": asdict(needs) | {"disk": str(needs.disk)},
            "problem": needs.problem,
            **({"order": order} if order else {}),
        }
    )


def _files(files: Sequence[PlannedFile]) -> Table:
    table = Table("file", "type", "size", "tensors", box=None, pad_edge=False)
    for file in files:
        counts = ", ".join(f"{count} {kind}" for kind, count in file.tensor_types.items())
        table.add_row(*map(plain, (file.name, file.type, in_bytes(file.n_bytes), counts)))
    return table


def _tensors(files: Sequence[PlannedFile]) -> Table:
    """Show the tensors, those of the language model once with a type for each of its files."""
    whole = [
        Column(name, no_wrap=True, overflow="fold") for name in ("tensors", "count", "shape", "type", "size")
    ]
    table = Table(*whole, "why", box=None, pad_edge=False)
    for alike, same in _alike(files).items():
        table.add_row(
            plain(merged_name([tensors[0].name for tensors in same], alike.n_layers)),
            str(len(same)),
            " × ".join(map(str, alike.shape)),
            ", ".join(alike.kinds),
            in_bytes(sum(tensor.nbytes for tensors in same for tensor in tensors)),
            plain(" | ".join(dict.fromkeys(alike.whys))),
        )
    return table


@dataclass(frozen=True, slots=True)
class _Alike:
    """What tensors of a kind have in common; `n_layers` is of all of the kind, whatever their types."""

    pattern: str
    n_layers: int
    shape: tuple[int, ...]
    kinds: tuple[str, ...]
    whys: tuple[str, ...]


def _alike(files: Sequence[PlannedFile]) -> dict[_Alike, list[list[PlannedTensor]]]:
    """Put together what differs in nothing but the number of the layer, the largest first.

    Each list holds the tensor as it stands in each file.
    """
    everywhere: dict[str, list[PlannedTensor]] = {}
    for tensor in (planned for file in files for planned in file.tensors):
        everywhere.setdefault(tensor.name, []).append(tensor)
    n_layers = Counter(without_layer(name) for name in everywhere)
    found: dict[_Alike, list[list[PlannedTensor]]] = {}
    for name, tensors in everywhere.items():
        kinds, whys = tuple(tensor.kind.name for tensor in tensors), tuple(tensor.why for tensor in tensors)
        pattern = without_layer(name)
        alike = _Alike(pattern, n_layers[pattern], tensors[0].shape, kinds, whys)
        found.setdefault(alike, []).append(tensors)
    return dict(sorted(found.items(), key=lambda item: -len(item[1]) * prod(item[0].shape)))


def _needs(needs: Needs) -> Table:
    memory = needs.available_memory_bytes
    table = Table("", "needed", "there", "", box=None, pad_edge=False)
    table.add_row(
        "disk",
        in_bytes(needs.disk_bytes),
        in_bytes(needs.free_disk_bytes),
        "too small" if needs.disk_bytes > needs.free_disk_bytes else "",
    )
    table.add_row(
        "memory",
        in_bytes(needs.memory_bytes),
        "unknown" if memory is None else in_bytes(memory),
        "too small" if memory is not None and needs.memory_bytes > memory else "",
    )
    return table
