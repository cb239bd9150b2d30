"""`qwen3vl-edge convert`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from qwen3vl_edge.cli import options

__all__ = ["convert"]


class _TextType(StrEnum):
    """Types of the language model's file."""

    BF16 = "bf16"
    F16 = "f16"
    F32 = "f32"
    Q8_0 = "Q8_0"


class _ProjectorType(StrEnum):
    """Types of the projector's file."""

    F16 = "f16"
    BF16 = "bf16"
    F32 = "f32"


def convert(
    src: Annotated[
        str, typer.Argument(metavar="SRC", help="Checkpoint folder, or `demo`.", show_default=False)
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--out", help="Folder for the bundle.  [default: ./NAME-GGUF]", show_default=False
        ),
    ] = None,
    type: Annotated[
        _TextType, typer.Option("--type", case_sensitive=False, help="Type of the language model.")
    ] = _TextType.BF16,
    projector_type: Annotated[
        _ProjectorType, typer.Option("--projector-type", case_sensitive=False, help="Type of the projector.")
    ] = _ProjectorType.F16,
    name: Annotated[
        str | None,
        typer.Option(help="Name in file names and metadata.  [default: the folder's]", show_default=False),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a bundle that is there.")] = False,
    json: options.Json = False,
) -> None:
    """Convert a Hugging Face checkpoint to a bundle: language model, projector, manifest.

    \b
    qwen3vl-edge convert ~/models/Qwen3-VL-2B-Instruct
    qwen3vl-edge convert ~/models/Qwen3-VL-8B-Thinking -o out --type Q8_0 --projector-type bf16
    qwen3vl-edge convert demo -o demo-bundle --type f32 --projector-type f32 --json
    """
    from qwen3vl_edge.cli import tables, view
    from qwen3vl_edge.converters import convert as convert_checkpoint
    from qwen3vl_edge.demo import CHECKPOINT, DEMO_NAME

    folder = CHECKPOINT if src == DEMO_NAME else Path(src)
    name = name or (DEMO_NAME if src == DEMO_NAME else None)
    bundle = convert_checkpoint(
        folder,
        out or Path(f"{name or folder.resolve().name}-GGUF"),
        type=type.value,
        projector_type=projector_type.value,
        name=name,
        overwrite=overwrite,
        progress=view.progress(),
    )
    if json and bundle.manifest:
        view.print_json(bundle.manifest.to_dict())
    else:
        tables.show_bundle(bundle)
