"""Options that say how a model is opened, shared by all commands that run one."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from qwen3vl_edge.cli import device_options, options
from qwen3vl_edge.errors import UsageError

if TYPE_CHECKING:  # the commands must start fast: nothing heavy is imported before it is needed
    from qwen3vl_edge.progress import Progress
    from qwen3vl_edge.runtime.engine_settings import EngineSettings
    from qwen3vl_edge.runtime.llama_engine import LlamaEngine

__all__ = ["EngineOptions", "open_engine", "parse_size"]

_CACHE_SIZE = "4G"
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How to open a model."""

    mmproj: options.Mmproj = None
    ctx: Annotated[
        int | None,
        typer.Option(
            "--ctx",
            min=256,
            help="Context in tokens, up to the model's own.  [default: grows with what is needed]",
            show_default=False,
        ),
    ] = None
    kv_type: Annotated[
        str,
        typer.Option(
            help="Type of the context's cells: f32, f16, bf16, q8_0, q5_1, q5_0, q4_1, q4_0 or iq4_nl; "
            "q8_0 takes half of f16's memory.",
        ),
    ] = "f16"
    flash_attn: Annotated[Literal["auto", "on", "off"], typer.Option(help="Flash attention.")] = "auto"
    threads: options.Threads = None
    memory_check: Annotated[
        bool,
        typer.Option(
            "--memory-check/--no-memory-check",
            help="Refuse a model or a context that memory is too small for.",
        ),
    ] = True
    device: device_options.Device = "auto"
    gpu_layers: device_options.GpuLayers = "auto"
    projector_device: device_options.ProjectorDevice = None
    media_cache: Annotated[
        Path | None,
        typer.Option(
            help="Keep encoded pictures in this folder, for later runs and other commands.",
            show_default=False,
        ),
    ] = None
    media_cache_size: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE", help="Limit of that folder, such as 500M.  [default: 4G]", show_default=False
        ),
    ] = None

    def open(self, name: str, progress: "Progress") -> "LlamaEngine":
        """Open the model that MODEL names.

        Raises:
            UsageError: An option is out of range or makes no sense.
        """
        return open_engine(name, self.mmproj, self.settings(), progress)

    def settings(self) -> "EngineSettings":
        """Give what the options ask for.

        Raises:
            UsageError: One is out of range or makes no sense.
        """
        from qwen3vl_edge.runtime.engine_settings import EngineSettings

        cache_bytes = parse_size(self.media_cache_size or _CACHE_SIZE)
        if self.media_cache_size is not None and self.media_cache is None:
            raise UsageError("--media-cache-size needs --media-cache: without it no folder is kept")
        return EngineSettings(
            n_ctx=self.ctx,
            n_threads=self.threads,
            kv_type=self.kv_type,
            flash_attention=self.flash_attn,
            check_memory=self.memory_check,
            placement=device_options.placement(self.device, self.gpu_layers, self.projector_device),
            cache_folder=self.media_cache,
            cache_disk_bytes=cache_bytes,
        )


def open_engine(
    name: str, mmproj: Path | None, settings: "EngineSettings", progress: "Progress"
) -> "LlamaEngine":
    """Open the model that MODEL names."""
    from qwen3vl_edge.runtime.llama_engine import LlamaEngine

    return LlamaEngine(options.find_model(name, mmproj, progress), settings, progress)


def parse_size(text: str) -> int:
    """Read a number of bytes such as ``500M`` or ``4G``; units are powers of 1024.

    Raises:
        UsageError: It is no such number.
    """
    found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)\s*([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if found is None:
        raise UsageError(f"{text!r:.60} is no size; write e.g. 500M or 4G")
    return int(float(found[1]) * _UNITS[found[2].upper()])
