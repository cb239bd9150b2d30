"""The use case: a Hugging Face checkpoint becomes a bundle of GGUF files and a manifest."""

from pathlib import Path

from qwen3vl_edge.bundle import Bundle, bundles_of
from qwen3vl_edge.converters.plan import Recipe, plan_conversion
from qwen3vl_edge.progress import SILENT, Progress
from qwen3vl_edge.quant.run import run_plan

__all__ = ["convert"]


def convert(  # noqa: PLR0913
    src: Path,
    out_dir: Path,
    *,
    type: str = "bf16",
    projector_type: str = "f16",
    name: str | None = None,
    overwrite: bool = False,
    progress: Progress = SILENT,
) -> Bundle:
    """Convert the checkpoint in `src` to a bundle in `out_dir` (made if need be).

    `plan_conversion` with a `Recipe`, and `quant.run.run_plan`, can do more.

    Args:
        src: A folder in Hugging Face layout.
        out_dir: Where ``NAME-TYPE.gguf``, ``mmproj-NAME-TYPE.gguf`` and ``manifest.json`` go.
        type: Of the language model: a name of `quant.QUANTIZED_FILE_TYPES`.
        projector_type: Of the projector, likewise.
        name: Of the model; None: after the folder.
        overwrite: Replace files of the same names.
        progress: Told the bytes written.

    Raises:
        UsageError: wrong options, not a checkpoint folder, or files in the way.
        CheckpointError: every fault of the checkpoint; all but those of the values before a byte is written.
        EdgeError: the disk is too small or refused.
    """
    plan = plan_conversion(src, Recipe((type,), projector_type, name))
    manifest = run_plan(plan, out_dir, overwrite=overwrite, progress=progress)
    return bundles_of(out_dir, manifest)[0]
