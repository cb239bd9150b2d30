"""Material for those who give none: drawn pictures and clips, with questions, and a page of prose.

It is not the material that importance matrices are made from by default (`qwen3vl_edge.quant.calibration`):
a matrix tells the quantizer which weights its material needs, so a loss measured on the same material
would be the loss on what was learned by heart, and too small. Other code draws it, from other seeds, and the
prose is another text.

What is drawn is simple, so that the carried demo model and any Qwen3-VL can answer; what a model loses on
photographs or documents is measured on those: give a folder of your own.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from qwen3vl_edge.clips import Clip, Footage, clip_of, plan_clip
from qwen3vl_edge.images import Picture, Pixels
from qwen3vl_edge.limits import smart_resize
from qwen3vl_edge.quant.comparison.material import Material, Passage, Question, Sight
from qwen3vl_edge.runtime.engine import EngineInfo

__all__ = ["drawn_clips", "drawn_pictures", "held_out", "held_out_passage"]

_FORM = 1  # of what is drawn; another number whenever the drawings change
_SEED = 0x9E1D_0007
_N_PICTURES, _N_CLIPS = 24, 8
_SUPERSAMPLING = 2
_CLIP_FPS, _CLIP_FRAMES = 2.0, 8

_COLOURS = {
    "red": (212, 36, 38),
    "green": (36, 152, 58),
    "blue": (38, 76, 212),
    "yellow": (236, 210, 30),
    "orange": (244, 130, 20),
    "purple": (126, 36, 164),
    "pink": (244, 136, 188),
    "black": (30, 30, 32),
}

_Grid = NDArray[np.float64]
_SHAPES: dict[str, Callable[[_Grid, _Grid], NDArray[np.bool_]]] = {
    "circle": lambda x, y: x**2 + y**2 <= 1,
    "square": lambda x, y: np.maximum(np.abs(x), np.abs(y)) <= 0.85,
    "triangle": lambda x, y: (y <= 0.5) & (np.abs(x) <= (y + 1) / np.sqrt(3)),
    "cross": lambda x, y: (np.minimum(np.abs(x), np.abs(y)) <= 0.3) & (np.maximum(np.abs(x), np.abs(y)) <= 1),
}
"""Inside or outside, in units of the radius from the centre; y grows downwards."""


@dataclass(frozen=True, slots=True)
class _Item:
    """A shape; centre and radius are shares of the picture's sides and of its shorter one."""

    shape: str
    colour: str
    x: float
    y: float
    radius: float


@dataclass(frozen=True, slots=True)
class _Scene:
    height_px: int
    width_px: int
    background: tuple[int, int, int]
    items: tuple[_Item, ...]


def held_out() -> Material:
    """Give pictures, clips and prose, the same ones every time."""
    return Material(drawn_pictures(_N_PICTURES) + drawn_clips(_N_CLIPS), held_out_passage(), drawn=True)


def drawn_pictures(count: int) -> tuple[Question, ...]:
    """Give questions about `count` drawn pictures."""
    return tuple(question for number in range(count) for question in _about_picture(number))


def drawn_clips(count: int) -> tuple[Question, ...]:
    """Give questions about `count` drawn clips, in each of which one shape moves."""
    return tuple(question for number in range(count) for question in _about_clip(number))


def held_out_passage() -> Passage:
    """Give the prose that comes along."""
    text = resources.files(__package__).joinpath("held_out.txt").read_text("utf-8")
    return Passage("held-out prose", hashlib.sha256(text.encode()).hexdigest(), text)


def _about_picture(number: int) -> list[Question]:
    scene = _scene(np.random.default_rng([_SEED, 0, number]), 1 + number % 3)

    def load(info: EngineInfo) -> Picture:
        height, width = smart_resize(scene.height_px, scene.width_px, info.image_limits)
        return Picture(_drawn(scene, height, width), name)

    name = f"drawn picture {number}"
    sight = Sight("picture", name, f"{_FORM} {_SEED} picture {number}", load)
    item = scene.items[0]
    texts = ["Describe this image.", f"What color is the {item.shape}?", f"What shape is {item.colour}?"]
    return [Question(sight, text) for text in texts]


def _about_clip(number: int) -> list[Question]:
    random = np.random.default_rng([_SEED, 1, number])
    scene = _scene(random, 1)
    item = scene.items[0]
    step = [(-1, 0), (1, 0), (0, -1), (0, 1)][number % 4]

    def load(info: EngineInfo) -> Clip:
        footage = Footage(_CLIP_FRAMES, _CLIP_FPS, scene.width_px, scene.height_px)
        plan = plan_clip(footage, info.video_limits)
        frames = [_drawn(_moved(scene, step, i), plan.height, plan.width) for i in plan.indices]
        return clip_of(plan, frames, name)

    name = f"drawn clip {number}"
    sight = Sight("clip", name, f"{_FORM} {_SEED} clip {number}", load)
    texts = ["Describe this video.", f"Which direction does the {item.shape} move?"]
    return [Question(sight, text) for text in texts]


def _scene(random: np.random.Generator, n_items: int) -> _Scene:
    """Lay out shapes side by side, no two of one shape or colour."""
    height, width = (int(side) for side in random.integers(160, 289, 2))
    shapes = random.permutation(list(_SHAPES))[:n_items]
    colours = random.permutation(list(_COLOURS))[:n_items]
    light = int(random.integers(215, 250))
    background = tuple(int(light + shade) for shade in random.integers(-6, 6, 3))
    items = tuple(
        _Item(
            str(shape),
            str(colour),
            (place + 0.5 + random.uniform(-0.08, 0.08)) / n_items,
            random.uniform(0.35, 0.65),
            random.uniform(0.3, 0.4) / max(n_items, 2),
        )
        for place, (shape, colour) in enumerate(zip(shapes, colours, strict=True))
    )
    return _Scene(height, width, (background[0], background[1], background[2]), items)


def _moved(scene: _Scene, step: tuple[int, int], index: int) -> _Scene:
    """Give the scene at a frame: the shape crosses the middle half of the picture."""
    item = scene.items[0]
    way = 0.5 * index / (_CLIP_FRAMES - 1) - 0.25
    x, y = (0.5 + way * side for side in step)
    return _Scene(
        scene.height_px,
        scene.width_px,
        scene.background,
        (_Item(item.shape, item.colour, x, y, item.radius),),
    )


def _drawn(scene: _Scene, height: int, width: int) -> Pixels:
    """Draw, smoothed by supersampling; shape (height, width, 3)."""
    rows = (np.arange(height * _SUPERSAMPLING) + 0.5)[:, None] / _SUPERSAMPLING
    columns = (np.arange(width * _SUPERSAMPLING) + 0.5)[None, :] / _SUPERSAMPLING
    fine = np.empty((rows.size, columns.size, 3), np.uint8)
    fine[:] = scene.background
    for item in scene.items:
        radius = item.radius * min(height, width)
        inside = _SHAPES[item.shape]((columns - item.x * width) / radius, (rows - item.y * height) / radius)
        fine[inside] = _COLOURS[item.colour]
    blocks = fine.reshape(height, _SUPERSAMPLING, width, _SUPERSAMPLING, 3)
    smooth: Pixels = blocks.mean(axis=(1, 3)).round().astype(np.uint8)
    return smooth
