"""What `convert --dry-run` prints."""

import re
from collections.abc import Sequence
from dataclasses import asdict
from math import prod
from pathlib import Path

from rich.console import Console
from rich.filesize import decimal as in_bytes
from rich.table import Table

from qwen3vl_edge.cli.plain_text import plain
from qwen3vl_edge.cli.view import print_json
from qwen3vl_edge.writing import Needs, PlannedFile, PlannedTensor, WritePlan

__all__ = ["plan_json", "show_plan"]

_LAYER = re.compile(r"(?<=\.)\d+(?=\.)")


def show_plan(plan: WritePlan, out: Path, needs: Needs) -> None:
    """Print files, tensors (layers of a kind together), and what the machine must have."""
    console = Console()
    console.print(plain(f"{plan.name} → {out}"))
    if not plan.has_weights:
        console.print("planned from config.json: there are no weights here", highlight=False, markup=False)
    console.print(_files(plan.files))
    console.print()
    console.print(_tensors(plan.files))
    console.print()
    console.print(_needs(needs))


def plan_json(plan: WritePlan, out: Path, needs: Needs) -> None:
    """Print all of the plan, each tensor by itself."""
    files = [
        {
            "name": file.name,
            "role": file.role,
            "type": file.type,
            "size_bytes": file.n_bytes,
            "tensors": [
                {"name": item.name, "shape": item.shape, "type": item.kind.name, "size_bytes": item.nbytes}
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
    table = Table("tensors", "count", "shape", "type", "size", box=None, pad_edge=False)
    for (pattern, shape, kinds), same in _alike(files).items():
        table.add_row(
            plain(pattern if len(same) > 1 else same[0][0].name),
            str(len(same)),
            " × ".join(map(str, shape)),
            ", ".join(kinds),
            in_bytes(sum(tensor.nbytes for tensors in same for tensor in tensors)),
        )
    return table


def _alike(
    files: Sequence[PlannedFile],
) -> dict[tuple[str, tuple[int, ...], tuple[str, ...]], list[list[PlannedTensor]]]:
    """Put together what differs in nothing but the number of the layer, the largest first.

    Each list holds the tensor as it stands in each file.
    """
    everywhere: dict[str, list[PlannedTensor]] = {}
    for tensor in (planned for file in files for planned in file.tensors):
        everywhere.setdefault(tensor.name, []).append(tensor)
    found: dict[tuple[str, tuple[int, ...], tuple[str, ...]], list[list[PlannedTensor]]] = {}
    for name, tensors in everywhere.items():
        kinds = tuple(tensor.kind.name for tensor in tensors)
        found.setdefault((_LAYER.sub("*", name), tensors[0].shape, kinds), []).append(tensors)
    return dict(sorted(found.items(), key=lambda item: -len(item[1]) * prod(item[0][1])))


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
