"""`qwen3vl-edge inspect`."""

from pathlib import Path
from typing import Annotated

import typer

from qwen3vl_edge.cli import options

__all__ = ["inspect"]


def inspect(
    path: Annotated[
        str,
        typer.Argument(
            metavar="PATH", help="Bundle or checkpoint folder, GGUF file, or `demo`.", show_default=False
        ),
    ],
    json: options.Json = False,
) -> None:
    """Show what a GGUF file, a bundle or a checkpoint holds.

    \b
    qwen3vl-edge inspect demo
    qwen3vl-edge inspect Qwen3-VL-2B-Instruct-GGUF --json
    """
    from qwen3vl_edge.cli import tables, view
    from qwen3vl_edge.demo import DEMO_NAME
    from qwen3vl_edge.inspection import inspect_path

    named = options.find_model(path, None, view.progress()).folder if path == DEMO_NAME else Path(path)
    inspection = inspect_path(named)
    if json:
        view.print_json(inspection.to_dict())
    else:
        tables.show_inspection(inspection)
