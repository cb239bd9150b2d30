"""The picture in the clipboard."""

import hashlib
import io
from pathlib import Path

from qwen3vl_edge.cli.terminal.folders import private_folder
from qwen3vl_edge.errors import MediaError

__all__ = ["from_clipboard"]


def from_clipboard(folder: Path) -> list[Path]:
    """Give the files in the clipboard, or write the picture in it to `folder` and give that.

    Raises:
        MediaError: There is no picture in it, or no way to ask for it here.
    """
    from PIL import Image, ImageGrab

    try:
        held = ImageGrab.grabclipboard()
    except (NotImplementedError, OSError) as error:  # no program for it; no display; not a picture
        raise MediaError(
            f"the clipboard cannot be read ({error}); on Linux this needs wl-paste or xclip"
        ) from error
    if isinstance(held, list):
        return [Path(name) for name in held]
    if not isinstance(held, Image.Image):
        raise MediaError("there is no picture in the clipboard; copy one, or name a file with /image")
    encoded = io.BytesIO()
    held.save(encoded, "PNG")
    path = private_folder(folder) / f"clipboard-{hashlib.sha256(encoded.getvalue()).hexdigest()[:12]}.png"
    path.write_bytes(encoded.getvalue())
    return [path]
