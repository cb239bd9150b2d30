"""Devices and backends as a table, or as JSON."""

import sys
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.filesize import decimal as in_bytes
from rich.table import Table

from qwen3vl_edge.cli.plain_text import plain
from qwen3vl_edge.cli.view import print_json
from qwen3vl_edge.runtime.devices import Device, auto_device

__all__ = ["print_devices_json", "show_devices"]

_KINDS = {"cpu": "CPU", "gpu": "GPU", "igpu": "GPU in the processor", "accel": "helps the CPU"}


def print_devices_json(devices: Sequence[Device], built: Sequence[str]) -> None:
    """Print devices, what ``auto`` picks and the backends built in as one JSON object."""
    facts = [{name: value for name, value in asdict(each).items() if name != "handle"} for each in devices]
    print_json({"devices": facts, "auto": _auto_name(devices), "backends": list(built)})


def show_devices(devices: Sequence[Device], built: Sequence[str]) -> None:
    """Print a table of the devices, what ``auto`` picks, and how to build other backends."""
    console = Console()
    table = Table("device", "backend", "kind", "description", "free", "total", box=None, pad_edge=False)
    for each in devices:
        sizes = in_bytes(each.free_bytes), in_bytes(each.total_bytes)
        cells = (each.name, each.backend, _KINDS[each.kind], each.description, *sizes)
        table.add_row(*map(plain, cells))
    console.print(table)
    console.print(plain(f"--device auto picks {_auto_name(devices)}"))
    console.print(plain(f"backends built in: {', '.join(built)}"))
    if others := _other_backends(built):
        console.print(plain(f"to build another: {others}"))


def _auto_name(devices: Sequence[Device]) -> str:
    picked = auto_device(devices)
    return "CPU" if picked is None else picked.name


def _other_backends(built: Sequence[str]) -> str:
    usual = ("metal",) if sys.platform == "darwin" else ("cuda", "vulkan")
    return ", ".join(f"`make setup BACKEND={name}`" for name in usual if name not in built)
