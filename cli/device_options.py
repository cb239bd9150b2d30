"""Options that say where a model runs, and what they turn into."""

from typing import TYPE_CHECKING, Annotated

import typer

from qwen3vl_edge.errors import UsageError

if TYPE_CHECKING:  # the commands must start fast: nothing heavy is imported before it is needed
    from qwen3vl_edge.runtime.placement import Placement

__all__ = ["Device", "GpuLayers", "ProjectorDevice", "placement"]

Device = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="auto|cpu|NAME",
        help="Where the model runs: auto is the first GPU, else the CPU; `qwen3vl-edge devices` lists names.",
    ),
]
GpuLayers = Annotated[
    str,
    typer.Option(
        "--gpu-layers",
        metavar="auto|N|all",
        help="Layers of the language model on the GPU; auto: all of them where there is one.",
    ),
]
ProjectorDevice = Annotated[
    str | None,
    typer.Option(
        "--projector-device",
        metavar="NAME",
        help="Where pictures are encoded.  [default: as --device]",
        show_default=False,
    ),
]


def placement(device: str, gpu_layers: str, projector_device: str | None) -> "Placement":
    """Give what the three options ask for; whether such a device is there is seen later.

    Raises:
        UsageError: One of them makes no sense.
    """
    from qwen3vl_edge.runtime.placement import Placement

    return Placement(device, _n_layers(gpu_layers), projector_device)


def _n_layers(text: str) -> int | None:
    from qwen3vl_edge.runtime.placement import ALL_LAYERS

    named = {"auto": None, "all": ALL_LAYERS}
    spelled = text.strip().lower()
    if spelled in named:
        return named[spelled]
    if not (spelled.isascii() and spelled.isdecimal()):
        raise UsageError(f"--gpu-layers {text}: give auto, a number of layers, or all")
    return int(spelled)
