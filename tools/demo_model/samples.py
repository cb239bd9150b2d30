"""Writes the sample folder: ``python -m tools.demo_model.samples``.

With ``--check CHECKPOINT`` it asks a checkpoint about the folder instead.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps

from tools.demo_model.evaluate import transformers_backend
from tools.demo_model.questions import Part
from tools.demo_model.score import exact
from tools.demo_model.world import Clip, Item, Rgb, Scene, moved

FOLDER = Path(__file__).parents[2] / "samples"
WHITE: Rgb = (255, 255, 255)
PAPER: Rgb = (236, 232, 226)
ORIENTATION_TAG, TURN_RIGHT = 0x0112, 6

SCENES = {
    "red_circle.png": Scene(200, 150, PAPER, (Item("circle", "red", 88, 70, 40),)),
    "green_triangle.jpg": Scene(180, 150, PAPER, (Item("triangle", "green", 105, 80, 42),)),
    "orange_star.png": Scene(160, 160, WHITE, (Item("star", "orange", 78, 84, 44),)),
    "two_shapes.png": Scene(
        224, 160, PAPER, (Item("square", "yellow", 60, 90, 34), Item("cross", "purple", 160, 70, 34))
    ),
    "three_shapes.jpg": Scene(
        240,
        190,
        PAPER,
        (
            Item("star", "blue", 50, 60, 32),
            Item("circle", "pink", 120, 140, 30),
            Item("square", "black", 195, 60, 30),
        ),
    ),
    "four_shapes.png": Scene(
        256,
        224,
        PAPER,
        (
            Item("circle", "green", 45, 60, 28),
            Item("triangle", "red", 100, 165, 28),
            Item("cross", "blue", 155, 55, 28),
            Item("circle", "orange", 210, 160, 28),
        ),
    ),
    "black_cross.jpg": Scene(150, 210, PAPER, (Item("cross", "black", 70, 120, 40),)),
}
CLIP_NAME = "blue_circle_moves_right.mp4"
CLIP_FPS, CLIP_FRAMES, CLIP_STEP_PX = 8.0, 28, 3.0
CLIP_START = Scene(160, 128, PAPER, (Item("circle", "blue", 36, 66, 28),))
NOTES = "Not a picture: captioning a folder must pass over this file and say so.\n"


@dataclass(frozen=True)
class Check:
    """A question about one file and its right answer."""

    name: str
    question: str
    answer: str


CHECKS = (
    Check("red_circle.png", "Describe this image.", "A red circle."),
    Check("red_circle.png", "What color is the circle?", "Red."),
    Check("green_triangle.jpg", "Describe this image.", "A green triangle."),
    Check("orange_star.png", "Describe this image.", "An orange star."),
    Check("two_shapes.png", "Describe this image.", "A yellow square and a purple cross."),
    Check("two_shapes.png", "Is there a red star?", "No."),
    Check("two_shapes.png", "Is there a yellow square?", "Yes."),
    Check("three_shapes.jpg", "Describe this image.", "A blue star, a pink circle and a black square."),
    Check("three_shapes.jpg", "How many shapes are there?", "Three."),
    Check("four_shapes.png", "How many shapes are there?", "Four."),
    Check("black_cross.jpg", "Describe this image.", "A black cross."),
    Check(CLIP_NAME, "Which direction does the circle move?", "Right."),
    Check(CLIP_NAME, "What color is the circle?", "Blue."),
    Check(CLIP_NAME, "Describe this video.", "A blue circle moves right."),
)


def write_samples(folder: Path) -> None:
    """Write every file; pictures are small and sharp, so that they cost little."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, scene in SCENES.items():
        _writer_of(name)(scene.draw(), folder / name)
    _write_clip(folder / CLIP_NAME)
    (folder / "notes.txt").write_text(NOTES, encoding="utf-8")
    whole = io.BytesIO()
    SCENES["three_shapes.jpg"].draw().save(whole, "JPEG", quality=90)
    (folder / "truncated.jpg").write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])


def _writer_of(name: str) -> Callable[[Image.Image, Path], None]:
    special = {"green_triangle.jpg": _write_turned, "orange_star.png": _write_transparent}
    return special.get(name, _write_plain)


def _write_plain(image: Image.Image, path: Path) -> None:
    image.save(path, quality=88) if path.suffix == ".jpg" else image.save(path, optimize=True)


def _write_turned(image: Image.Image, path: Path) -> None:
    """Store the pixels on their side, as a camera does, with the turn in the EXIF data."""
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = TURN_RIGHT
    image.transpose(Image.Transpose.ROTATE_90).save(path, quality=88, exif=exif)


def _write_transparent(image: Image.Image, path: Path) -> None:
    """Make the white background transparent over black, so that dropping alpha would show."""
    pixels = np.asarray(image)  # (h, w, 3)
    opaque = (pixels != WHITE).any(axis=-1, keepdims=True)
    rgba = np.concatenate([np.where(opaque, pixels, 0), opaque * 255], axis=-1).astype(np.uint8)
    Image.fromarray(rgba).save(path, optimize=True)


def sample_clip() -> Clip:
    """Make the clip as it is before compression."""

    def frame_at(index: int) -> Image.Image:
        items = tuple(moved(item, index * CLIP_STEP_PX, 0) for item in CLIP_START.items)
        return replace(CLIP_START, items=items).draw()

    return Clip(CLIP_FPS, CLIP_FRAMES, frame_at)


def _write_clip(path: Path) -> None:
    size = CLIP_START.width_px, CLIP_START.height_px
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), CLIP_FPS, size)
    for frame in sample_clip().frames():
        writer.write(np.ascontiguousarray(np.asarray(frame)[:, :, ::-1]))  # RGB -> BGR
    writer.release()


def _read_clip(path: Path) -> Clip:
    capture = cv2.VideoCapture(str(path))
    fps: float = capture.get(cv2.CAP_PROP_FPS)
    frames: list[Image.Image] = []
    while (read := capture.read())[0]:
        frames.append(Image.fromarray(np.ascontiguousarray(read[1][:, :, ::-1])))  # BGR -> RGB
    capture.release()
    return Clip(fps, len(frames), frames.__getitem__)


def load_part(path: Path) -> Part:
    """Load a sample as a user would show it: upright, on white, or as a clip."""
    if path.suffix == ".mp4":
        return _read_clip(path)
    image = ImageOps.exif_transpose(Image.open(path)).convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, WHITE), image).convert("RGB")


def check(folder: Path, checkpoint: Path) -> bool:
    """Ask a checkpoint every question and print the answers."""
    answer = transformers_backend(checkpoint)
    right = True
    for one in CHECKS:
        said = answer([load_part(folder / one.name), one.question])
        right &= exact(said, one.answer)
        print(f"{'ok  ' if exact(said, one.answer) else 'FAIL'} {one.name}: {one.question} {said}")
    return right


def main() -> None:
    """Write or check from the command line."""
    parser = argparse.ArgumentParser(description="Write the sample folder.")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--check", type=Path, metavar="CHECKPOINT", help="ask instead of write")
    arguments = parser.parse_args()
    if arguments.check is None:
        write_samples(arguments.folder)
    elif not check(arguments.folder, arguments.check):
        sys.exit(1)


if __name__ == "__main__":
    main()
