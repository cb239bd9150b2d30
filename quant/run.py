"""Runs a plan with ggml's own types: what `convert` and `quantize` both end in."""

from pathlib import Path

from qwen3vl_edge.manifest import Manifest
from qwen3vl_edge.progress import SILENT, Progress
from qwen3vl_edge.quant.encode import QuantEncoder
from qwen3vl_edge.writing import WritePlan, write_bundle

__all__ = ["run_plan"]


def run_plan(
    plan: WritePlan,
    out_dir: Path,
    *,
    overwrite: bool = False,
    n_threads: int | None = None,
    progress: Progress = SILENT,
) -> Manifest:
    """Write what was planned; see `writing.write_bundle`."""
    encoder = QuantEncoder()
    return write_bundle(plan, out_dir, encoder, overwrite=overwrite, n_threads=n_threads, progress=progress)
