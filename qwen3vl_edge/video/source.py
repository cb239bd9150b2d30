"""What every kind of clip gives: a container, an animation, a row of pictures."""

from typing import Protocol

from PIL import Image

from qwen3vl_edge.clips import Footage

__all__ = ["FrameSource"]


class FrameSource(Protocol):
    """The frames of one clip; asked for in order it reads each once."""

    @property
    def footage(self) -> Footage:
        """What there is."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What of it could not be used, as far as is known by now."""

    def identity(self, index: int) -> str:
        """Tell the content of a frame from any other's, without decoding it."""

    def image(self, index: int) -> Image.Image:
        """Give a frame, upright, RGB, in its own size.

        Raises:
            MediaError: It cannot be read.
        """

    def close(self) -> None:
        """Free what decoding holds; the next `image` opens it again."""
