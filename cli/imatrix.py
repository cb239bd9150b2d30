"""`qwen3vl-edge imatrix`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qwen3vl_edge.cli import options
from qwen3vl_edge.cli.clip_options import ClipChoice
from qwen3vl_edge.cli.device_options import Device, GpuLayers, ProjectorDevice, placement
from qwen3vl_edge.cli.option_groups import grouped
from qwen3vl_edge.errors import UsageError

if TYPE_CHECKING:
    from qwen3vl_edge.clips import ClipOptions
    from qwen3vl_edge.quant.calibration.calibrate import CalibrationOptions, Sources

__all__ = ["imatrix"]

_ONLY_MERGED = "without a MODEL nothing is measured: give --merge, -o and --overwrite alone"


@grouped
def imatrix(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL",
            help="Bundle folder, GGUF file, or `demo`; left out where matrices are only merged.",
            show_default=False,
        ),
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="Folder of pictures, and what is below it.", show_default=False)
    ] = None,
    videos: Annotated[
        Path | None, typer.Option(help="Folder of clips, and what is below it.", show_default=False)
    ] = None,
    text: Annotated[
        Path | None, typer.Option(help="Text, UTF-8, read in chunks of 512 tokens.", show_default=False)
    ] = None,
    with_default_set: Annotated[
        bool,
        typer.Option("--with-default-set", help="Show the set that comes along, too, not only your own."),
    ] = False,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="File to write, FILE.gguf.", show_default=False)
    ] = None,
    chunks: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Stop after so many pieces: chunks of text, pictures and clips, evenly mixed.  "
            "[default: all]",
            show_default=False,
        ),
    ] = None,
    answer_tokens: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Tokens of the model's own answer, at most, read on after a picture or clip.  [default: 64]",
            show_default=False,
        ),
    ] = None,
    image_max_tokens: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Tokens that a picture of --images is shown with at most.  [default: 1024]",
            show_default=False,
        ),
    ] = None,
    process_output: Annotated[
        bool,
        typer.Option(
            "--process-output",
            help="Also for the last matrix: output.weight, or token_embd.weight where it is that.",
        ),
    ] = False,
    merge: Annotated[
        list[Path] | None,
        typer.Option(
            help="Add this matrix to what is collected, or to each other without MODEL; repeatable.",
            show_default=False,
        ),
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Forget what an interrupted run has done.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace FILE.gguf.")] = False,
    *,
    clips: ClipChoice,
    mmproj: options.Mmproj = None,
    device: Device = "auto",
    gpu_layers: GpuLayers = "auto",
    projector_device: ProjectorDevice = None,
    threads: options.Threads = None,
    json: options.Json = False,
) -> None:
    """Measure which columns of each matrix matter, under text, pictures and clips, for `quantize --imatrix`.

    Both halves are measured, into one file of llama.cpp's format. Without --images, --videos and --text a
    set that comes along is shown: drawn pictures and clips, prose in many languages, code. Clips are shown
    in 16 frames and 2048 tokens, unless an option says otherwise. What was interrupted goes on where it
    was when the same command is given again.

    \b
    qwen3vl-edge imatrix Qwen3-VL-2B-Instruct-GGUF -o 2b.imatrix.gguf
    qwen3vl-edge imatrix model-BF16.gguf --images photos/ --text wiki.txt -o photos.imatrix.gguf
    qwen3vl-edge imatrix demo --videos films/ --frames 8 --with-default-set -o films.imatrix.gguf
    qwen3vl-edge imatrix --merge text.imatrix.gguf --merge photos.imatrix.gguf -o both.imatrix.gguf
    qwen3vl-edge quantize Qwen3-VL-2B-Instruct-GGUF --type IQ2_XS --imatrix 2b.imatrix.gguf
    """
    from qwen3vl_edge.quant.calibration.calibrate import DEFAULT_ANSWER, CalibrationOptions, Sources
    from qwen3vl_edge.quant.shown_files import DEFAULT_PICTURE_TOKENS

    if out is None:
        raise UsageError("-o says which file to write; give one, such as model.imatrix.gguf")
    if clips != ClipChoice() and videos is None:
        raise UsageError("--fps, --frames and the like are about --videos, and none are given")
    if image_max_tokens is not None and images is None:
        raise UsageError("--image-max-tokens is about --images, and none are given")
    sources = Sources(
        images,
        videos,
        text,
        with_default_set,
        picture_tokens=image_max_tokens or DEFAULT_PICTURE_TOKENS,
        clip_options=_shown(clips),
    )
    if answer_tokens is not None and not sources.shows_something:
        raise UsageError("--answer-tokens is about pictures and clips, and none are given")
    wanted = CalibrationOptions(
        chunks,
        DEFAULT_ANSWER if answer_tokens is None else answer_tokens,
        process_output,
        tuple(merge or ()),
        restart=restart,
        overwrite=overwrite,
    )
    if model is None:
        machine = (mmproj, threads, projector_device, device != "auto", gpu_layers != "auto")
        if any(machine) or answer_tokens is not None:
            raise UsageError(_ONLY_MERGED)
        _merge(out, sources, wanted, as_json=json)
        return
    from qwen3vl_edge.cli import imatrix_view, view
    from qwen3vl_edge.quant.calibration.calibrate import calibrate
    from qwen3vl_edge.quant.imatrix_report import imatrix_report
    from qwen3vl_edge.runtime.engine_settings import EngineSettings

    settings = EngineSettings(n_threads=threads, placement=placement(device, gpu_layers, projector_device))
    bundle = options.find_model(model, mmproj, view.progress())
    collected = calibrate(bundle, sources, out, wanted, settings=settings, progress=view.progress())
    imatrix_view.show(imatrix_report(out, collected.sums, collected), as_json=json)


def _shown(clips: ClipChoice) -> "ClipOptions":
    """Give what is shown of clips: what is asked for, or a little of each."""
    from qwen3vl_edge.quant.shown_files import DEFAULT_CLIP_OPTIONS

    return DEFAULT_CLIP_OPTIONS if clips == ClipChoice() else clips.options()


def _merge(out: Path, sources: "Sources", wanted: "CalibrationOptions", *, as_json: bool) -> None:
    """Add up matrices that are there.

    Raises:
        UsageError: There are none, or options ask for more than that.
    """
    from qwen3vl_edge.cli import imatrix_view
    from qwen3vl_edge.quant.calibration.calibrate import CalibrationOptions, Sources
    from qwen3vl_edge.quant.imatrix_report import imatrix_report
    from qwen3vl_edge.quant.imatrix_sums import merge_imatrices, refuse_existing, write_imatrix

    if not wanted.merged:
        raise UsageError("give a MODEL to measure, or matrices to add up with --merge")
    if sources != Sources() or wanted != CalibrationOptions(merged=wanted.merged, overwrite=wanted.overwrite):
        raise UsageError(_ONLY_MERGED)
    refuse_existing(out, overwrite=wanted.overwrite)
    merged = merge_imatrices(wanted.merged)
    write_imatrix(out, merged, overwrite=wanted.overwrite)
    imatrix_view.show(imatrix_report(out, merged), as_json=as_json)
