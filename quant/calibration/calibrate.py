"""A pair of files and something to look at -> the file with its importance matrix."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from qwen3vl_edge.bundle import Bundle
from qwen3vl_edge.clips import ClipOptions
from qwen3vl_edge.errors import UsageError
from qwen3vl_edge.gguf_info import GGUFInfo
from qwen3vl_edge.progress import SILENT, Progress
from qwen3vl_edge.quant.calibration.collect import Collected, collect, settings_digest, weights_of
from qwen3vl_edge.quant.calibration.default_set import (
    DEFAULT_SET,
    default_clips,
    default_pictures,
    default_text,
)
from qwen3vl_edge.quant.calibration.own_data import chunks_of, clips_in, pictures_in, read_text
from qwen3vl_edge.quant.calibration.pieces import Piece, in_turn
from qwen3vl_edge.quant.calibration.state import StateFile
from qwen3vl_edge.quant.gguf_facts import unpadded
from qwen3vl_edge.quant.imatrix_sums import CHUNK_SIZE, merge_imatrices, refuse_existing, write_imatrix
from qwen3vl_edge.runtime.activation_reader import ActivationReader
from qwen3vl_edge.runtime.activations import ActivationSums, Collector, SumsByName
from qwen3vl_edge.runtime.engine_settings import DEFAULT_SETTINGS, EngineSettings
from qwen3vl_edge.runtime.llama_engine import LlamaEngine

__all__ = ["DEFAULT_CLIP_OPTIONS", "CalibrationOptions", "Sources", "calibrate"]

DEFAULT_CLIP_OPTIONS = ClipOptions(n_frames=16, max_tokens=2048)
"""Enough of a clip; what the model would be shown of a long one takes a CPU an hour."""


@dataclass(frozen=True, slots=True)
class Sources:
    """What to show: folders of pictures and clips, a text; the default set where nothing is named, or too.

    A picture is shown with at most ``picture_tokens``.
    """

    images: Path | None = None
    videos: Path | None = None
    text: Path | None = None
    with_default: bool = False
    picture_tokens: int = 1024
    clip_options: ClipOptions = DEFAULT_CLIP_OPTIONS

    @property
    def takes_default(self) -> bool:
        """Whether the default set is shown."""
        return self.with_default or not (self.images or self.videos or self.text)

    @property
    def names(self) -> tuple[str, ...]:
        """Names for the file; no folders: they say more of a machine than of the data."""
        named = [path.resolve().name for path in (self.text, self.images, self.videos) if path]
        return (*named, *([DEFAULT_SET] if self.takes_default else []))


@dataclass(frozen=True, slots=True)
class CalibrationOptions:
    """How much: at most ``n_pieces``, and ``n_answer`` tokens of an answer.

    ``process_output`` also takes the product that gives the logits. ``merged`` are added to what is
    collected. ``restart`` forgets a run that was interrupted.

    Raises:
        UsageError: A number is out of range.
    """

    n_pieces: int | None = None
    n_answer: int = 64
    process_output: bool = False
    merged: tuple[Path, ...] = ()
    restart: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.n_pieces is not None and self.n_pieces < 1:
            raise UsageError(f"{self.n_pieces} pieces make no matrix; ask for 1 or more")
        if self.n_answer < 0:
            raise UsageError(f"an answer cannot have {self.n_answer} tokens; ask for 0 or more")


def calibrate(  # noqa: PLR0913 -- all but the first three have defaults
    bundle: Bundle,
    sources: Sources,
    target: Path,
    options: CalibrationOptions = CalibrationOptions(),
    *,
    settings: EngineSettings = DEFAULT_SETTINGS,
    progress: Progress = SILENT,
) -> Collected:
    """Write the importance matrix of both halves of `bundle` to `target`.

    A run that was interrupted, in whatever way, is gone on with.

    Raises:
        UsageError: `target` exists, a source holds nothing, or another run was interrupted there.
        GGUFError: A file cannot be used.
        EngineError: llama.cpp refuses the model or fails.
        OSError: `target` cannot be written.
    """
    refuse_existing(target, overwrite=options.overwrite)
    begun = merge_imatrices(options.merged)  # before hours of work
    weights = weights_of(bundle, process_output=options.process_output)
    collector = Collector(weights)
    # what comes from a cache is not computed, and so not seen
    opened = replace(settings, n_outputs=CHUNK_SIZE, cache_ram_bytes=0, cache_folder=None)
    with LlamaEngine(bundle, opened, progress, observer=collector) as engine:
        reader = engine.open_activation_reader()
        pieces = _pieces(sources, reader)[: options.n_pieces]
        state = StateFile(target, settings_digest(engine.info, weights, pieces, options.n_answer))
        if options.restart:
            state.remove()
        collected = collect(
            reader, collector, engine.info, pieces, n_answer=options.n_answer, state=state, progress=progress
        )
    merged = begun.plus(_unpadded(collected.sums.entries, bundle), sources.names)
    write_imatrix(target, merged, overwrite=options.overwrite)
    state.remove()
    return replace(collected, sums=merged)


def _unpadded(entries: SumsByName, bundle: Bundle) -> SumsByName:
    """Cut off the columns that the projector was padded with; what they meet is 0 (`quant.projector`)."""
    shapes = dict(unpadded([GGUFInfo.read(bundle.projector)]))
    return {
        name: ActivationSums(entry.sums[:, : shapes[name][-1]], entry.counts) if name in shapes else entry
        for name, entry in entries.items()
    }


def _pieces(sources: Sources, reader: ActivationReader) -> list[Piece]:
    """List what is shown, in the order in which it is."""
    groups: list[Sequence[Piece]] = []
    if sources.text:
        groups.append(chunks_of(reader.tokenize(read_text(sources.text)), str(sources.text)))
    if sources.images:
        groups.append(pictures_in(sources.images, sources.picture_tokens))
    if sources.videos:
        groups.append(clips_in(sources.videos, sources.clip_options))
    if sources.takes_default:
        groups += [
            chunks_of(reader.tokenize(default_text()), DEFAULT_SET),
            default_pictures(),
            default_clips(),
        ]
    return in_turn(*groups)
