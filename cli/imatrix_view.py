"""An importance matrix in words, or as JSON."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from qwen3vl_edge.cli import view
from qwen3vl_edge.cli.plain_text import escaped

if TYPE_CHECKING:
    from qwen3vl_edge.quant.imatrix_report import ImatrixReport

__all__ = ["show", "show_file"]


def show(report: "ImatrixReport", *, as_json: bool) -> None:
    """Print what is in it; say what is missing."""
    if as_json:
        view.print_json(report.to_dict())
        return
    for line in report.notes:
        view.note(escaped(line))
    sys.stdout.write("".join(f"{escaped(line)}\n" for line in report.lines()))


def show_file(path: Path, *, as_json: bool) -> None:
    """Print what the file at `path` holds.

    Raises:
        GGUFError: It is damaged.
    """
    from qwen3vl_edge.quant.imatrix_report import imatrix_report
    from qwen3vl_edge.quant.imatrix_sums import merge_imatrices

    show(imatrix_report(path, merge_imatrices([path])), as_json=as_json)
