"""Options that say what models are compared on, for `compare` and `recommend`."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qwen3vl_edge.cli.clip_options import ClipChoice
from qwen3vl_edge.errors import UsageError

if TYPE_CHECKING:  # the commands must start fast: nothing heavy is imported before it is needed
    from qwen3vl_edge.cli.engine_options import EngineOptions
    from qwen3vl_edge.progress import Progress
    from qwen3vl_edge.quant.comparison.material import Material
    from qwen3vl_edge.quant.comparison.pairs import Pair
    from qwen3vl_edge.quant.comparison.report import Comparison

__all__ = ["MaterialOptions", "run_comparison"]

_N_OUTPUTS = 128  # tokens whose logits are looked at together: 78 MB of Qwen3's vocabulary


@dataclass(frozen=True, slots=True)
class MaterialOptions(ClipChoice):
    """What to ask and read; if nothing is named, drawn pictures and clips and a page of prose."""

    images: Annotated[
        Path | None,
        typer.Option("--images", metavar="DIR", help="Pictures to ask about.", show_default=False),
    ] = None
    videos: Annotated[
        Path | None,
        typer.Option("--videos", metavar="DIR", help="Clips to ask about.", show_default=False),
    ] = None
    text: Annotated[
        Path | None,
        typer.Option("--text", metavar="FILE", help="Running text to read.", show_default=False),
    ] = None
    questions: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Questions about each picture and clip, one a line.", show_default=False
        ),
    ] = None
    captions: Annotated[
        bool,
        typer.Option(
            "--captions",
            help="Score NAME.txt beside a picture, as far as --answer-tokens, for the first answer.",
        ),
    ] = False
    image_max_tokens: Annotated[
        int | None,
        typer.Option(
            min=1, help="Tokens that a picture is shown with at most.  [default: 1024]", show_default=False
        ),
    ] = None
    max_images: Annotated[
        int | None, typer.Option(min=1, help="Take so many of the pictures.", show_default=False)
    ] = None
    max_videos: Annotated[
        int | None, typer.Option(min=1, help="Take so many of the clips.", show_default=False)
    ] = None
    chunks: Annotated[
        int | None, typer.Option(min=1, help="Take so many chunks of the text.", show_default=False)
    ] = None
    chunk_tokens: Annotated[
        int, typer.Option(min=8, max=1 << 17, help="Tokens of a chunk; the second half is scored.")
    ] = 512
    answer_tokens: Annotated[int, typer.Option(min=1, max=1 << 14, help="Longest answer, in tokens.")] = 64

    def material(self) -> "Material":
        """Give what the options ask for.

        Raises:
            UsageError: An option says something about what was not given, or a folder holds nothing.
            MediaError: A file cannot be read.
        """
        from dataclasses import replace

        self._check()
        if self.images is None and self.videos is None and self.text is None:
            from qwen3vl_edge.quant.comparison.held_out import held_out

            found = held_out()
        else:
            found = self._given()
        return replace(
            found,
            chunk_tokens=self.chunk_tokens,
            most_chunks=self.chunks,
            answer_tokens=self.answer_tokens,
        )

    def _given(self) -> "Material":
        from qwen3vl_edge.quant.comparison import material as kinds
        from qwen3vl_edge.quant.shown_files import DEFAULT_CLIP_OPTIONS, DEFAULT_PICTURE_TOKENS

        asked = kinds.read_questions(self.questions) if self.questions else None
        pictures = (
            kinds.picture_questions(
                self.images,
                asked or kinds.PICTURE_QUESTIONS,
                captions=self.captions,
                most=self.max_images,
                max_tokens=self.image_max_tokens or DEFAULT_PICTURE_TOKENS,
            )
            if self.images
            else ()
        )
        clips = (
            kinds.clip_questions(
                self.videos,
                asked or kinds.CLIP_QUESTIONS,
                most=self.max_videos,
                options=self.options() if self._chooses_clips else DEFAULT_CLIP_OPTIONS,
            )
            if self.videos
            else ()
        )
        return kinds.Material(pictures + clips, kinds.read_passage(self.text) if self.text else None)

    @property
    def _chooses_clips(self) -> bool:
        return any(getattr(self, choice.name) is not None for choice in fields(ClipChoice))

    def _check(self) -> None:
        drawn = self.images is None and self.videos is None and self.text is None
        needs = {
            "--questions": (self.questions, self.images or self.videos),
            "--captions": (self.captions, self.images),
            "--image-max-tokens": (self.image_max_tokens, self.images),
            "--fps, --frames and the like": (self._chooses_clips, self.videos),
            "--max-images": (self.max_images, self.images),
            "--max-videos": (self.max_videos, self.videos),
            "--chunks": (self.chunks, self.text or drawn),
        }
        for name, (given, needed) in needs.items():
            if given and not needed:
                raise UsageError(f"{name} changes nothing: what it is about was not given; see --help")
        for folder in (self.images, self.videos):
            if folder is not None and not folder.is_dir():
                raise UsageError(f"{folder}: no such folder; give one with pictures or clips")


def run_comparison(  # the parts of one call
    reference: str,
    candidates: list[str],
    material: MaterialOptions,
    engine: "EngineOptions",
    *,
    speed: bool,
    cache: Path | None,
    progress: "Progress",
) -> "Comparison":
    """Compare the models that REFERENCE and CANDIDATE name.

    Raises:
        EdgeError: As for `compare`.
    """
    from dataclasses import replace

    from qwen3vl_edge.cli.options import find_model
    from qwen3vl_edge.paths import user_cache_dir
    from qwen3vl_edge.quant.comparison.compare import compare
    from qwen3vl_edge.quant.comparison.pairs import pair_of
    from qwen3vl_edge.quant.comparison.store import Store

    settings = replace(engine.settings(), n_outputs=_N_OUTPUTS)
    asked = material.material()
    whole = pair_of(_name(reference), find_model(reference, engine.mmproj, progress))
    pairs = [pair for name in candidates for pair in _candidates(name, whole, progress)]
    store = Store(cache or user_cache_dir() / "comparisons")
    return compare(whole, pairs, asked, store, settings, speed=speed, progress=progress)


def _candidates(name: str, reference: "Pair", progress: "Progress") -> "tuple[Pair, ...]":
    from qwen3vl_edge.cli.options import find_model
    from qwen3vl_edge.demo import DEMO_NAME
    from qwen3vl_edge.quant.comparison.pairs import candidate_pairs, pair_of

    if name == DEMO_NAME:
        return (pair_of(name, find_model(name, None, progress)),)
    return candidate_pairs(Path(name), reference)


def _name(given: str) -> str:
    """Give what a table calls a model: the last part of its path, without .gguf."""
    return Path(given).resolve().name.removesuffix(".gguf") if Path(given).exists() else given
