"""The conversations on which the reference and the engine are compared."""

import numpy as np

from qwen3vl_edge.clips import Clip, Footage, clip_of, plan_clip
from qwen3vl_edge.images import Picture, Pixels
from qwen3vl_edge.limits import VideoLimits
from qwen3vl_edge.messages import Content, Message

__all__ = ["conversations", "synthetic_clip", "synthetic_picture"]

_LONG = "The red circle is left of the blue square, and the green star is small. " * 14
"""More than 300 tokens in any tokenizer: positions must still be right far behind the media."""


def synthetic_pixels(seed: int, height: int, width: int) -> Pixels:
    """Smooth seeded colours with a disc, shape (height, width, 3): more like a picture than noise is."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x / random.uniform(5, 40) + y / random.uniform(5, 40) + phase) for phase in range(3)]
    pixels = (np.stack(waves, axis=-1) * 100 + 128).astype(np.uint8)
    inside = (x - random.uniform(0, width)) ** 2 + (y - random.uniform(0, height)) ** 2 < (height / 4) ** 2
    pixels[inside] = random.integers(0, 256, 3)
    return pixels


def synthetic_picture(seed: int, height: int, width: int) -> Picture:
    """A picture already of a size that the model takes; sides multiples of 32 px."""
    return Picture(synthetic_pixels(seed, height, width), f"seed {seed}")


def synthetic_clip(seed: int, n_frames: int, fps: float = 2.0, height: int = 64, width: int = 96) -> Clip:
    """A clip of `n_frames` frames at `fps`, planned as a real one."""
    plan = plan_clip(Footage(n_frames, fps, width, height), VideoLimits())
    shown = {i: synthetic_pixels(1000 * seed + i, plan.height, plan.width) for i in set(plan.indices)}
    return clip_of(plan, [shown[index] for index in plan.indices], f"clip {seed}")


def conversations() -> dict[str, list[Message]]:
    """Name -> messages: text, one and several pictures, clips, mixtures, long text after media."""
    picture, clip = synthetic_picture, synthetic_clip
    asked: dict[str, tuple[Content, ...]] = {
        "text": ("What is a circle?",),
        "text, other script": ("Héllo wörld — 你好, ¿qué? 12345 \t\n  x",),
        "decomposed accents": ("Cafe\u0301 and A\u030angstro\u0308m",),
        "long text": (_LONG,),
        "64x64": (picture(1, 64, 64), "Describe this image."),
        "32x32": (picture(2, 32, 32), "Describe this image."),
        "64x96": (picture(3, 64, 96), "Describe this image."),
        "256x32": (picture(4, 256, 32), "Describe this image."),
        "192x224": (picture(5, 192, 224), "What color is the circle?"),
        "256x256": (picture(6, 256, 256), "How many shapes are there?"),
        "picture after text": ("Look at this: ", picture(7, 96, 128), " What is it?"),
        "two pictures": (picture(8, 128, 96), picture(9, 96, 160), "Which image shows a red star?"),
        "three pictures between text": (
            "First ",
            picture(10, 64, 96),
            " second ",
            picture(11, 160, 64),
            " third ",
            picture(12, 96, 96),
            " ?",
        ),
        "picture, long text": (picture(13, 160, 96), _LONG),
        "clip of 2": (clip(1, 2), "When does the star appear?"),
        "clip of 5": (clip(2, 5), "Which direction does the circle move?"),
        "clip of 12": (clip(3, 12), "Which direction does the circle move?"),
        "clip at 25 fps": (clip(4, 90, fps=25.0), "When does the star appear?"),
        "clip, long text": (clip(5, 4), _LONG),
        "two clips": (clip(6, 4), clip(7, 6, height=96, width=64), "Which clip is longer?"),
        "picture and clip": (picture(14, 96, 96), "then: ", clip(8, 4), "What changed?"),
    }
    named = {name: [Message("user", content)] for name, content in asked.items()}
    named["system and turns"] = [
        Message("system", ("You are brief.",)),
        Message("user", (picture(15, 96, 128), "Describe this image.")),
        Message("assistant", ("A red circle.",)),
        Message("user", ("And this?", picture(16, 64, 64))),
    ]
    return named
