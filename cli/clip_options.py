"""Options that say what of a clip is shown."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qwen3vl_edge.errors import UsageError

if TYPE_CHECKING:  # the commands must start fast: nothing heavy is imported before it is needed
    from qwen3vl_edge.clips import Clip, ClipOptions

__all__ = ["ClipChoice", "DrawnClipChoice"]


@dataclass(frozen=True, slots=True)
class ClipChoice:
    """What to show of the clips; nothing given is what the model was trained with."""

    fps: Annotated[
        float | None,
        typer.Option(
            help="Frames shown of each second of a clip; of a folder of pictures, how many make a second.  "
            "[default: the model's, 2]",
            show_default=False,
        ),
    ] = None
    frames: Annotated[
        int | None,
        typer.Option(min=1, help="Frames shown of each clip, in place of --fps.", show_default=False),
    ] = None
    start: Annotated[
        float | None,
        typer.Option(min=0, metavar="SECONDS", help="Show clips from here on.", show_default=False),
    ] = None
    end: Annotated[
        float | None,
        typer.Option(min=0, metavar="SECONDS", help="Show clips up to here.", show_default=False),
    ] = None
    video_max_tokens: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Tokens that all frames of a clip may take.  [default: the model's, 12288]",
            show_default=False,
        ),
    ] = None
    frame_max_tokens: Annotated[
        int | None,
        typer.Option(
            min=1, help="Tokens that a pair of frames may take.  [default: 768]", show_default=False
        ),
    ] = None

    def options(self) -> "ClipOptions":
        """Give what the options ask for.

        Raises:
            UsageError: They contradict each other.
        """
        from qwen3vl_edge.clips import ClipOptions

        return ClipOptions(
            self.fps, self.frames, self.start, self.end, self.video_max_tokens, self.frame_max_tokens
        )

    def options_for(self, clips: Sequence[Path]) -> "ClipOptions":
        """Give what the options ask for, if there is a clip that they could be about.

        Raises:
            UsageError: They contradict each other, or there is none.
        """
        if not clips and self != type(self)():
            raise UsageError(
                "--fps, --frames, --start, --end and the like are about clips, and none is given"
            )
        return self.options()


@dataclass(frozen=True, slots=True)
class DrawnClipChoice(ClipChoice):
    """What to show of the clips, and where to draw that."""

    contact_sheet: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Draw what the model is shown of the clips into this picture.",
            show_default=False,
        ),
    ] = None

    def check(self, media: Sequence[Path]) -> None:
        """Make sure that the sheet is drawn over nothing of what is asked about.

        Raises:
            UsageError: It would be, or would be a frame the next time, or is a folder.
        """
        sheet = self.contact_sheet
        if sheet is None:
            return
        if sheet.is_dir():
            raise UsageError(f"--contact-sheet {sheet} is a folder; name a picture in it")
        if {sheet.resolve(), sheet.resolve().parent} & {path.resolve() for path in media}:
            raise UsageError(f"--contact-sheet {sheet} is among what is asked about; name another file")

    def draw(self, clips: Sequence["Clip"], factor: int) -> None:
        """Write the contact sheet, if one is wanted.

        Raises:
            MediaError: It cannot be drawn or written.
        """
        if self.contact_sheet is not None and clips:
            from qwen3vl_edge.contact_sheet import save_contact_sheet

            save_contact_sheet(self.contact_sheet, clips, factor)
