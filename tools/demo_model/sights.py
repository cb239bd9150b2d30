"""What each token of a picture ought to see, from the geometry of its scene.

These targets teach the vision tower; the language model then only has to read what the tokens say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tools.demo_model.picture_questions import BOX_STEP, relative_to_1000
from tools.demo_model.pixels import MERGE, TEMPORAL_PATCH, Patches, frame_indices
from tools.demo_model.world import COLOURS, SHAPES, Box, Clip, Item, Scene

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

# A token whose cell an item covers less than this, yet touches, is neither background nor item.
CLEARLY_COVERED = 0.3
BACKGROUND, UNCLEAR = 0, -1
MAX_ITEMS = 4
DIGITS = (11, 100 // BOX_STEP)  # classes of the hundreds and of the rest of one box coordinate
# Number of classes of each column of ``Sight.classes``.
ITEM_CLASSES = (1 + len(COLOURS), 1 + len(SHAPES), 1 + MAX_ITEMS)  # colour, shape, place from the left
SEEN_CLASSES = (5, *DIGITS * 4)  # motion, digits of the box: known where an item is
SCENE_CLASSES = (1 + MAX_ITEMS,)  # number of items: known everywhere
# Which picture of the conversation, seconds and tenths of the stamp.
CONTEXT_CLASSES = (3, 10, 10)
CLASSES = ITEM_CLASSES + SEEN_CLASSES + SCENE_CLASSES


@dataclass(frozen=True)
class Sight:
    """Classes (n, len(CLASSES)) and boxes (n, 4) in 0..1 of n tokens."""

    classes: Ints
    box: Floats


def picture_sight(scene: Scene, patches: Patches, *, before: Scene | None = None) -> Sight:
    """Sight of a still, or of a pair of frames whose first one is ``before``."""
    rows, columns = patches.grid[1] // MERGE, patches.grid[2] // MERGE
    classes = np.full((rows * columns, len(CLASSES)), UNCLEAR)
    classes[:, : len(ITEM_CLASSES)] = BACKGROUND
    classes[:, -1] = len(scene.items)
    box = np.zeros((rows * columns, 4), np.float32)
    most = np.zeros(rows * columns)
    for place, item in enumerate(scene.left_to_right(), start=1):
        relative = scene.relative_box(item)
        covered = _covered(relative, rows, columns).reshape(-1)  # (rows, columns) -> (n,)
        nearer = covered > most
        most = np.maximum(most, covered)
        classes[nearer, :-1] = _item_classes(scene, item, place, before)
        box[nearer] = relative
    classes[(most > 0) & (most < CLEARLY_COVERED), :-1] = UNCLEAR
    return Sight(classes, box)


def clip_sight(clip: Clip, patches: Patches) -> Sight:
    """Sight of all pairs of frames of a clip, one after the other."""
    if clip.scene_at is None:
        raise ValueError("nothing is known of the scenes of this clip")
    indices = frame_indices(clip.n_frames, clip.fps)
    indices += indices[-1:] * (len(indices) % TEMPORAL_PATCH)
    scenes = [clip.scene_at(index) for index in indices]
    pairs = zip(scenes[::2], scenes[1::2], strict=True)
    return joined([picture_sight(after, patches, before=before) for before, after in pairs])


def joined(sights: Sequence[Sight]) -> Sight:
    """Put the tokens of several pictures in a row."""
    return Sight(np.concatenate([s.classes for s in sights]), np.concatenate([s.box for s in sights]))


def _item_classes(scene: Scene, item: Item, place: int, before: Scene | None) -> list[int]:
    digits = [
        digit for side in relative_to_1000(scene, item) for digit in (side // 100, side % 100 // BOX_STEP)
    ]
    return [
        1 + list(COLOURS).index(item.colour),
        1 + SHAPES.index(item.shape),
        place,
        _motion(item, before),
        *digits,
    ]


def _motion(item: Item, before: Scene | None) -> int:
    """0 at rest, then left, right, up, down."""
    if before is None or not before.items:
        return 0
    dx, dy = item.x_px - before.items[0].x_px, item.y_px - before.items[0].y_px
    if max(abs(dx), abs(dy)) < 1:
        return 0
    return (1 if dx < 0 else 2) if abs(dx) > abs(dy) else (3 if dy < 0 else 4)


def _covered(box: Box, rows: int, columns: int) -> npt.NDArray[np.float64]:
    """Share of each cell of a rows x columns grid that the box covers."""
    x1, y1, x2, y2 = box
    return np.outer(_covered_along(y1, y2, rows), _covered_along(x1, x2, columns))


def _covered_along(low: float, high: float, n_cells: int) -> npt.NDArray[np.float64]:
    edges = np.arange(n_cells + 1) / n_cells
    return (np.minimum(high, edges[1:]) - np.maximum(low, edges[:-1])).clip(0) * n_cells
