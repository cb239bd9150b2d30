"""What the model is shown of clips, drawn on one sheet."""

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from qwen3vl_edge.clips import Clip
from qwen3vl_edge.errors import MediaError

__all__ = ["contact_sheet", "save_contact_sheet"]

_FRAME_PX, _GAP_PX, _MARGIN_PX, _LINE_PX, _TITLE_PX = 160, 4, 16, 18, 46
_PAPER, _INK, _FAINT, _EDGE = (255, 255, 255), (32, 32, 32), (120, 120, 120), (208, 208, 208)
_WIDEST, _MOST_COLUMNS = 4, 8  # frames to a row: even a long clip should not become a strip
_MAX_SIDE_PX = 30_000
_ELLIPSIS = "..."  # the built-in font has few signs


def contact_sheet(clips: Sequence[Clip], factor: int) -> Image.Image:
    """Draw the moments of `clips`, each as its pair of frames with stamp, frame numbers and tokens.

    Args:
        clips: One or more; they are decoded, a moment at a time.
        factor: Side of a vision token in pixels.

    Returns:
        An RGB picture.

    Raises:
        MediaError: A frame cannot be read, or there are too many for one sheet.
    """
    columns = max(_n_columns(clip) for clip in clips)
    cell_width = 2 * _FRAME_PX + _GAP_PX
    width = columns * cell_width + (columns + 1) * _MARGIN_PX
    heights = [_height(clip, columns) for clip in clips]
    if sum(heights) > _MAX_SIDE_PX:
        raise MediaError("the clips have too many frames for one contact sheet; show fewer with --frames")
    sheet = Image.new("RGB", (width, sum(heights)), _PAPER)
    top = 0
    for clip, height in zip(clips, heights, strict=True):
        _draw_clip(sheet, clip, top, columns, factor)
        top += height
    return sheet


def save_contact_sheet(path: Path, clips: Sequence[Clip], factor: int) -> None:
    """Draw `clips` into the picture file `path`, whole or not at all; its suffix says the kind.

    Raises:
        MediaError: It cannot be written, or `contact_sheet` fails.
    """
    sheet = contact_sheet(clips, factor)
    draft = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        sheet.save(draft)
        draft.replace(path)
    except (OSError, ValueError) as error:
        with suppress(OSError):
            draft.unlink()
        raise MediaError(f"{path}: the contact sheet cannot be written ({_reason(error)})") from error


def _reason(error: OSError | ValueError) -> str:
    """Give the reason and what helps; the file's temporary name means nothing to the user."""
    if isinstance(error, OSError) and error.strerror is not None:
        return error.strerror
    return f"{str(error).partition(':')[0]}; try a .png"


def _n_columns(clip: Clip) -> int:
    n_moments = len(clip.moments)
    return min(n_moments, max(_WIDEST, min(_MOST_COLUMNS, round(math.sqrt(n_moments / 2)))))


def _thumbnail(clip: Clip) -> tuple[int, int]:
    """Give (width, height) of a frame on the sheet, in px."""
    scale = _FRAME_PX / max(clip.plan.width, clip.plan.height)
    return max(1, round(clip.plan.width * scale)), max(1, round(clip.plan.height * scale))


def _row_px(clip: Clip) -> int:
    return _thumbnail(clip)[1] + 2 * _LINE_PX + _MARGIN_PX


def _height(clip: Clip, columns: int) -> int:
    return _TITLE_PX + math.ceil(len(clip.moments) / columns) * _row_px(clip) + _MARGIN_PX


def _draw_clip(sheet: Image.Image, clip: Clip, top: int, columns: int, factor: int) -> None:
    pen = ImageDraw.Draw(sheet)
    plan, room = clip.plan, sheet.width - 2 * _MARGIN_PX
    _write(pen, (_MARGIN_PX, top + 8), Path(clip.source).name, 15, _INK, room)
    about = (
        f"{plan.n_frames} of {_counted(clip.footage.n_frames, 'frame')} in "
        f"{_counted(len(plan.stamps_s), 'moment')}, "
        f"{plan.width} by {plan.height} px, {plan.n_tokens(factor)} tokens"
    )
    _write(pen, (_MARGIN_PX, top + 27), about, 12, _FAINT, room)
    for moment, (left, upper) in zip(range(len(clip.moments)), _places(clip, top, columns), strict=False):
        _draw_moment(sheet, clip, moment, (left, upper), factor)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _places(clip: Clip, top: int, columns: int) -> Iterator[tuple[int, int]]:
    """Give the corners of the cells, (left, top) in px, row by row."""
    for number in range(len(clip.moments)):
        row, column = divmod(number, columns)
        left = _MARGIN_PX + column * (2 * _FRAME_PX + _GAP_PX + _MARGIN_PX)
        yield left, top + _TITLE_PX + row * _row_px(clip)


def _draw_moment(sheet: Image.Image, clip: Clip, number: int, corner: tuple[int, int], factor: int) -> None:
    left, top = corner
    width, height = _thumbnail(clip)
    pen, room = ImageDraw.Draw(sheet), 2 * _FRAME_PX
    for place, frame in enumerate(clip.moments[number].frames):
        small = Image.fromarray(frame).resize((width, height), Image.Resampling.LANCZOS)
        begins = left + place * (width + _GAP_PX)
        pen.rectangle((begins - 1, top - 1, begins + width, top + height), outline=_EDGE)
        sheet.paste(small, (begins, top))
    first, second = clip.plan.indices[2 * number : 2 * number + 2]
    n_tokens = (clip.plan.height // factor) * (clip.plan.width // factor)
    numbers = f"frame {first}, twice" if first == second else f"frames {first}, {second}"
    _write(pen, (left, top + height + 2), f"<{clip.plan.stamps_s[number]:.1f} seconds>", 13, _INK, room)
    _write(pen, (left, top + height + 19), f"{numbers} · {n_tokens} tokens", 11, _FAINT, room)


def _write(  # noqa: PLR0913, PLR0917 -- what a line of text needs
    pen: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    text: str,
    size_px: int,
    ink: tuple[int, int, int],
    room_px: int,
) -> None:
    """Write one line, cut where it would leave its place."""
    font = ImageFont.load_default(size_px)
    text = "".join(character if character.isprintable() else "?" for character in text)
    if pen.textlength(text, font) > room_px:
        while text and pen.textlength(text + _ELLIPSIS, font) > room_px:
            text = text[:-1]
        text += _ELLIPSIS
    pen.text(corner, text, ink, font)
