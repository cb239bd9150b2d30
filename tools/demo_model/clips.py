"""Clips of the world: something moves, or something appears."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from tools.demo_model.pixels import TEMPORAL_PATCH, frame_indices, stamps
from tools.demo_model.world import (
    Clip,
    Item,
    Scene,
    moved,
    sample_background,
    sample_finish,
    sample_item,
    sample_kind,
)

NATIVE_FPS = (2, 4, 8, 10, 24, 25, 30)
MIN_SIDE_PX, MAX_SIDE_PX = 120, 176
MIN_DURATION_S, MAX_DURATION_S = 2.0, 5.0
MAX_RADIUS_PX = 30.0
DIRECTIONS: dict[str, tuple[int, int]] = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}


def moving_clip(rng: np.random.Generator) -> tuple[Clip, Item, str]:
    """Sample a clip, the item that crosses part of it in a straight line, and the direction."""
    scene, fps, n_frames = _stage(rng)
    direction = str(rng.choice(list(DIRECTIONS)))
    unit_x, unit_y = DIRECTIONS[direction]
    start = sample_item(rng, sample_kind(rng), (scene.width_px, scene.height_px), MAX_RADIUS_PX)
    room = scene.width_px if unit_x else scene.height_px
    margin = start.radius_px + 2
    travel = float(rng.uniform(0.6, 1.0)) * (room - 2 * margin)
    first = float(rng.uniform(margin, room - margin - travel))
    if unit_x + unit_y < 0:
        first = room - first
    start = replace(start, x_px=first) if unit_x else replace(start, y_px=first)

    def items_at(index: int) -> tuple[Item, ...]:
        step = travel * index / (n_frames - 1)
        return (moved(start, unit_x * step, unit_y * step),)

    return _clip(fps, n_frames, scene, items_at), start, direction


def appearing_clip(rng: np.random.Generator) -> tuple[Clip, Item, str]:
    """Sample a clip, the item that appears in it, and the stamp of the first pair of frames that shows it."""
    scene, fps, n_frames = _stage(rng)
    item = sample_item(rng, sample_kind(rng), (scene.width_px, scene.height_px), MAX_RADIUS_PX)
    indices = frame_indices(n_frames, fps)
    position = int(rng.integers(1, len(indices)))  # among the sampled frames
    first_frame = int(rng.integers(indices[position - 1] + 1, indices[position] + 1))

    def items_at(index: int) -> tuple[Item, ...]:
        return (item,) if index >= first_frame else ()

    return (
        _clip(fps, n_frames, scene, items_at),
        item,
        stamps(indices, fps)[position // TEMPORAL_PATCH],
    )


def _stage(rng: np.random.Generator) -> tuple[Scene, float, int]:
    """Sample an empty scene, a native frame rate and a number of frames."""
    width, height = (int(side) for side in rng.integers(MIN_SIDE_PX, MAX_SIDE_PX + 1, 2))
    scene = Scene(width, height, sample_background(rng), (), sample_finish(rng))
    fps = float(rng.choice(NATIVE_FPS))
    return scene, fps, round(fps * float(rng.uniform(MIN_DURATION_S, MAX_DURATION_S)))


def _clip(fps: float, n_frames: int, stage: Scene, items_at: Callable[[int], tuple[Item, ...]]) -> Clip:
    def scene_at(index: int) -> Scene:
        # Noise flickers from frame to frame, as it does in a real recording.
        finish = replace(stage.finish, noise_seed=stage.finish.noise_seed + index)
        return replace(stage, items=items_at(index), finish=finish)

    return Clip(fps, n_frames, lambda index: scene_at(index).draw(), scene_at)
