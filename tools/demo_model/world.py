"""The world the demo model lives in: coloured shapes on light backgrounds, still or moving.

Everything is a pure function of a seeded generator. Seeds below ``FIRST_HELD_OUT_SEED`` belong to
training, the others to evaluation, and the two factories below refuse to cross that line.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

Rgb = tuple[int, int, int]
Box = tuple[float, float, float, float]  # x1, y1, x2, y2

COLOURS: dict[str, Rgb] = {
    "red": (220, 30, 30),
    "green": (30, 160, 50),
    "blue": (30, 70, 220),
    "yellow": (240, 215, 20),
    "orange": (250, 125, 10),
    "purple": (130, 30, 170),
    "pink": (250, 130, 190),
    "black": (25, 25, 25),
}
SHAPES = ("circle", "square", "triangle", "star", "cross")

FIRST_HELD_OUT_SEED = 1 << 40
MIN_SIDE_PX, MAX_SIDE_PX = 128, 256
# Largest radius for a scene of one, two, ... shapes: more of them must share the canvas.
MAX_RADIUS_PX = (44, 36, 32, 28)
MIN_RADIUS_PX = 22
SUPERSAMPLING = 2


def training_rng(seed: int) -> np.random.Generator:
    """Make the generator of a training sample."""
    if not 0 <= seed < FIRST_HELD_OUT_SEED:
        raise ValueError(f"seed {seed} is not a training seed")
    return np.random.default_rng(seed)


def held_out_rng(index: int) -> np.random.Generator:
    """Make the generator of an evaluation sample; training can never draw it."""
    if index < 0:
        raise ValueError(f"index {index} is negative")
    return np.random.default_rng(FIRST_HELD_OUT_SEED + index)


@dataclass(frozen=True)
class Item:
    """One shape; centre and circumscribed radius in canvas pixels."""

    shape: str
    colour: str
    x_px: float
    y_px: float
    radius_px: float

    @property
    def name(self) -> str:
        """Colour and shape."""
        return f"{self.colour} {self.shape}"

    def outlines(self) -> list[list[tuple[float, float]]]:
        """Polygons that together fill the shape."""
        return [
            [(self.x_px + dx, self.y_px + dy) for dx, dy in part]
            for part in _OUTLINES[self.shape](self.radius_px)
        ]

    def box_px(self) -> Box:
        """Bounding box of the drawn shape."""
        xs, ys = zip(*[point for part in self.outlines() for point in part], strict=True)
        return min(xs), min(ys), max(xs), max(ys)


@dataclass(frozen=True)
class Finish:
    """How a picture is spoiled a little, so that files from a disk look familiar."""

    noise_seed: int = 0
    noise: int = 0
    brightness: float = 1.0
    jpeg_quality: int | None = None


@dataclass(frozen=True)
class Scene:
    """A still picture."""

    width_px: int
    height_px: int
    background: Rgb
    items: tuple[Item, ...]
    finish: Finish = Finish()

    def left_to_right(self) -> tuple[Item, ...]:
        """Items by the column of their centre."""
        return tuple(sorted(self.items, key=lambda item: item.x_px))

    def relative_box(self, item: Item) -> Box:
        """Bounding box of an item with both axes scaled to 0..1."""
        x1, y1, x2, y2 = item.box_px()
        return x1 / self.width_px, y1 / self.height_px, x2 / self.width_px, y2 / self.height_px

    def draw(self) -> Image.Image:
        """RGB picture of ``width_px`` x ``height_px``."""
        size = (self.width_px * SUPERSAMPLING, self.height_px * SUPERSAMPLING)
        image = Image.new("RGB", size, self.background)
        pen = ImageDraw.Draw(image)
        for item in self.items:
            for part in item.outlines():
                pen.polygon(
                    [(x * SUPERSAMPLING, y * SUPERSAMPLING) for x, y in part], fill=COLOURS[item.colour]
                )
        return _finished(image.reduce(SUPERSAMPLING), self.finish)


@dataclass(frozen=True)
class Clip:
    """A moving picture; ``frame_at(i)`` makes native frame ``i``, so that unseen ones are never drawn."""

    fps: float
    n_frames: int
    frame_at: Callable[[int], Image.Image]
    scene_at: Callable[[int], Scene] | None = None  # known where the clip was made here

    def frames(self) -> list[Image.Image]:
        """Every native frame."""
        return [self.frame_at(index) for index in range(self.n_frames)]


def _circle(r: float) -> list[list[tuple[float, float]]]:
    angles = [2 * math.pi * i / 48 for i in range(48)]
    return [[(r * math.cos(a), r * math.sin(a)) for a in angles]]


def _square(r: float) -> list[list[tuple[float, float]]]:
    h = 0.85 * r
    return [[(-h, -h), (h, -h), (h, h), (-h, h)]]


def _triangle(r: float) -> list[list[tuple[float, float]]]:
    return [[(0.0, -r), (r * math.cos(math.pi / 6), r / 2), (-r * math.cos(math.pi / 6), r / 2)]]


def _star(r: float) -> list[list[tuple[float, float]]]:
    radii = [r if i % 2 == 0 else 0.42 * r for i in range(10)]
    angles = [-math.pi / 2 + math.pi * i / 5 for i in range(10)]
    return [[(q * math.cos(a), q * math.sin(a)) for q, a in zip(radii, angles, strict=True)]]


def _cross(r: float) -> list[list[tuple[float, float]]]:
    arm, half = 0.95 * r, 0.3 * r
    return [
        [(-arm, -half), (arm, -half), (arm, half), (-arm, half)],
        [(-half, -arm), (half, -arm), (half, arm), (-half, arm)],
    ]


_OUTLINES: dict[str, Callable[[float], list[list[tuple[float, float]]]]] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "cross": _cross,
}


def _finished(image: Image.Image, finish: Finish) -> Image.Image:
    pixels = np.asarray(image, dtype=np.float32) * finish.brightness  # (h, w, 3)
    if finish.noise:
        noise_rng = np.random.default_rng(finish.noise_seed)
        pixels = pixels + noise_rng.integers(-finish.noise, finish.noise + 1, pixels.shape, dtype=np.int8)
    clipped: npt.NDArray[np.uint8] = pixels.clip(0, 255).astype(np.uint8)
    image = Image.fromarray(clipped)
    if finish.jpeg_quality is None:
        return image
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", quality=finish.jpeg_quality)
    return Image.open(encoded).convert("RGB")


def sample_finish(rng: np.random.Generator) -> Finish:
    """Sample mild noise, brightness and, now and then, JPEG artefacts."""
    jpeg_quality = int(rng.integers(60, 96)) if rng.random() < 0.3 else None
    noise = int(rng.integers(0, 7))
    return Finish(int(rng.integers(1 << 31)), noise, float(rng.uniform(0.93, 1.04)), jpeg_quality)


def sample_background(rng: np.random.Generator) -> Rgb:
    """Sample a light, nearly grey colour."""
    grey = int(rng.integers(205, 256))
    r, g, b = (int(np.clip(grey + d, 0, 255)) for d in rng.integers(-12, 13, 3))
    return r, g, b


def sample_kind(rng: np.random.Generator) -> tuple[str, str]:
    """Sample a colour and a shape."""
    return str(rng.choice(list(COLOURS))), str(rng.choice(SHAPES))


def sample_kinds(rng: np.random.Generator, n: int) -> list[tuple[str, str]]:
    """``n`` different (colour, shape) pairs."""
    kinds: list[tuple[str, str]] = []
    while len(kinds) < n:
        kind = sample_kind(rng)
        if kind not in kinds:
            kinds.append(kind)
    return kinds


def sample_canvas(rng: np.random.Generator, n_items: int) -> tuple[int, int]:
    """Width and height; any size will do, since the model's preprocessing stretches."""
    smallest = (MIN_SIDE_PX, MIN_SIDE_PX, 160, 192)[n_items - 1]
    # Smaller canvases are drawn more often: they cost less and teach the same.
    width, height = (int(smallest + (MAX_SIDE_PX - smallest) * rng.random() ** 1.6) for _ in range(2))
    return width, height


def sample_scene(rng: np.random.Generator, kinds: list[tuple[str, str]]) -> Scene:
    """Places one item per (colour, shape) pair; no two overlap or share a column."""
    while True:
        canvas = sample_canvas(rng, len(kinds))
        items = _place(rng, kinds, canvas)
        if items is not None:
            return Scene(*canvas, sample_background(rng), items, sample_finish(rng))


def _place(
    rng: np.random.Generator, kinds: list[tuple[str, str]], canvas: tuple[int, int]
) -> tuple[Item, ...] | None:
    items: list[Item] = []
    for kind in kinds:
        for _ in range(30):
            item = sample_item(rng, kind, canvas, MAX_RADIUS_PX[len(kinds) - 1])
            if all(_apart(item, other) for other in items):
                items.append(item)
                break
        else:
            return None
    return tuple(items)


def sample_item(
    rng: np.random.Generator, kind: tuple[str, str], canvas: tuple[int, int], max_radius_px: float
) -> Item:
    """Sample an item of a colour and a shape that lies inside a canvas of some width and height."""
    colour, shape = kind
    radius = float(rng.uniform(MIN_RADIUS_PX, max_radius_px))
    x, y = (float(rng.uniform(radius + 2, side - radius - 2)) for side in canvas)
    return Item(shape, colour, x, y, radius)


def _apart(a: Item, b: Item) -> bool:
    """Neither touching nor so nearly in one column that left and right become a guess."""
    far = math.hypot(a.x_px - b.x_px, a.y_px - b.y_px) >= a.radius_px + b.radius_px + 4
    return far and abs(a.x_px - b.x_px) >= 16


def moved(item: Item, dx_px: float, dy_px: float) -> Item:
    """Shift an item."""
    return replace(item, x_px=item.x_px + dx_px, y_px=item.y_px + dy_px)
