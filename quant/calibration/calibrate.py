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
from qwen3vl_edge.quant.calibration.state import StateFile, alone
from qwen3vl_edge.quant.gguf_facts import unpadded
from qwen3vl_edge.quant.imatrix_sums import CHUNK_SIZE, merge_imatrices, refuse_existing, write_imatrix
from qwen3vl_edge.quant.shown_files import DEFAULT_CLIP_OPTIONS, DEFAULT_PICTURE_TOKENS
from qwen3vl_edge.runtime.activation_reader import ActivationReader
from qwen3vl_edge.runtime.activations import ActivationSums, Collector, SumsByName
from qwen3vl_edge.runtime.engine_settings import DEFAULT_SETTINGS, EngineSettings
from qwen3vl_edge.runtime.llama_engine import LlamaEngine

__all__ = ["DEFAULT_ANSWER", "CalibrationOptions", "Sources", "calibrate"]

DEFAULT_ANSWER = 64
"""Tokens of the model's own answer, at most, that are read on."""


@dataclass(frozen=True, slots=True)
class Sources:
    """What to show: folders of pictures and clips, a text; the default set where nothing is named, or too.

    A picture is shown with at most ``picture_tokens``.
    """

    images: Path | None = None
    videos: Path | None = None
    text: Path | None = None
    with_default: bool = False
    picture_tokens: int = DEFAULT_PICTURE_TOKENS
    clip_options: ClipOptions = DEFAULT_CLIP_OPTIONS

    @property
    def takes_default(self) -> bool:
        """Whether the default set is shown."""
        return self.with_default or not (self.images or self.videos or self.text)

    @property
    def shows_something(self) -> bool:
        """Whether there is more than text."""
        return bool(self.images or self.videos) or self.takes_default

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
    n_answer: int = DEFAULT_ANSWER
    process_output: bool = False
    merged: tuple[Path, ...] = ()
    restart: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.n_pieces is not None and self.n_pieces < 1:
            raise UsageError(f"{self.n_pieces} pieces make no matrix; ask for 1 or more")
        if self.n_answer < 0:
            raise UsageError(f"an answer cannot have {self.n_answer} tokens; ask for 0 or more")


@dataclass(frozen=True, slots=True)
class _Text:
    """A text that only a model can cut into chunks."""

    name: str
    text: str


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
        EdgeError: Another run is writing `target`.
        GGUFError: A file cannot be used.
        EngineError: llama.cpp refuses the model or fails.
        OSError: `target` cannot be written.
    """
    refuse_existing(target, overwrite=options.overwrite)
    begun, found = merge_imatrices(options.merged), _found(sources)  # before hours of work
    with alone(target):
        collected = _collect(bundle, found, target, options, settings, progress)
        merged = begun.plus(_unpadded(collected.sums.entries, bundle), sources.names)
        write_imatrix(target, merged, overwrite=options.overwrite)
        StateFile.beside(target).unlink(missing_ok=True)
    return replace(collected, sums=merged)


def _collect(  # noqa: PLR0913, PLR0917 -- the parts of one run
    bundle: Bundle,
    found: Sequence[_Text | Sequence[Piece]],
    target: Path,
    options: CalibrationOptions,
    settings: EngineSettings,
    progress: Progress,
) -> Collected:
    weights = weights_of(bundle, process_output=options.process_output)
    collector = Collector(weights)
    # what comes from a cache is not computed, and so not seen
    opened = replace(settings, n_outputs=CHUNK_SIZE, cache_ram_bytes=0, cache_folder=None)
    with LlamaEngine(bundle, opened, progress, observer=collector) as engine:
        reader = engine.open_activation_reader()
        pieces = _pieces(found, reader)[: options.n_pieces]
        state = StateFile(target, settings_digest(engine.info, weights, pieces, options.n_answer))
        if options.restart:
            state.remove()
        return collect(
            reader, collector, engine.info, pieces, n_answer=options.n_answer, state=state, progress=progress
        )


def _unpadded(entries: SumsByName, bundle: Bundle) -> SumsByName:
    """Cut off the columns that the projector was padded with; what they meet is 0 (`quant.projector`)."""
    shapes = dict(unpadded([GGUFInfo.read(bundle.projector)]))
    return {
        name: ActivationSums(entry.sums[:, : shapes[name][-1]], entry.counts) if name in shapes else entry
        for name, entry in entries.items()
    }


def _found(sources: Sources) -> list[_Text | Sequence[Piece]]:
    """List what is shown, kind by kind, as far as no model is needed for that.

    Raises:
        UsageError: A source is missing, or holds nothing.
    """
    found: list[_Text | Sequence[Piece]] = []
    if sources.text:
        found.append(_Text(str(sources.text), read_text(sources.text)))
    if sources.images:
        found.append(pictures_in(sources.images, sources.picture_tokens))
    if sources.videos:
        found.append(clips_in(sources.videos, sources.clip_options))
    if sources.takes_default:
        found += [_Text(DEFAULT_SET, default_text()), default_pictures(), default_clips()]
    return found


def _pieces(found: Sequence[_Text | Sequence[Piece]], reader: ActivationReader) -> list[Piece]:
    """List what is shown, in the order in which it is."""
    return in_turn(
        *(
            chunks_of(reader.tokenize(kind.text), kind.name) if isinstance(kind, _Text) else kind
            for kind in found
        )
    )
