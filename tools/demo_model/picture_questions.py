"""Questions about one still picture and their only right answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tools.demo_model.world import SHAPES, Item, Scene, sample_kind

Rng = np.random.Generator
QuestionAnswer = tuple[str, str]

BOX_STEP = 20  # Boxes are rounded to it: finer digits cannot be seen at 16 px a patch.
NUMBERS = ("Zero.", "One.", "Two.", "Three.", "Four.")


def article(name: str) -> str:
    """Put ``a`` or ``an`` before a name."""
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def listed(names: Sequence[str]) -> str:
    """Make the sentence ``A red circle, a blue square and a green star.``."""
    phrases = [article(name) for name in names]
    joined = " and ".join([", ".join(phrases[:-1]), phrases[-1]] if len(phrases) > 1 else phrases)
    return joined[0].upper() + joined[1:] + "."


def relative_to_1000(scene: Scene, item: Item) -> list[int]:
    """Box of an item in the family's coordinates, rounded."""
    return [round(side * 1000 / BOX_STEP) * BOX_STEP for side in scene.relative_box(item)]


def box_json(scene: Scene, items: Sequence[Item]) -> str:
    """Qwen3-VL's grounding answer."""
    return json.dumps([{"bbox_2d": relative_to_1000(scene, item), "label": item.name} for item in items])


def one_of(rng: Rng, *phrasings: str) -> str:
    """Draw a phrasing; the first, the canonical one, most often."""
    return phrasings[0] if rng.random() < 0.4 else str(rng.choice(phrasings))


def unique_by(items: Sequence[Item], key: Callable[[Item], str]) -> list[Item]:
    """Items that ``key`` alone singles out."""
    keys = [key(item) for item in items]
    return [item for item in items if keys.count(key(item)) == 1]


def pick(rng: Rng, items: Sequence[Item]) -> Item:
    """Draw one item."""
    return items[int(rng.integers(len(items)))]


# --- Questions about one picture: None where the scene leaves no clear answer ---------------------


def ask_caption(rng: Rng, scene: Scene) -> QuestionAnswer | None:
    """Ask for all items, from left to right."""
    question = one_of(
        rng, "Describe this image.", "Describe the image.", "What is in this image?", "What do you see?"
    )
    return question, listed([item.name for item in scene.left_to_right()])


def ask_colour(rng: Rng, scene: Scene) -> QuestionAnswer | None:
    """Ask for the colour of an item that its shape singles out."""
    items = unique_by(scene.items, lambda item: item.shape)
    if not items:
        return None
    item = pick(rng, items)
    question = one_of(
        rng,
        f"What color is the {item.shape}?",
        f"What colour is the {item.shape}?",
        f"Which color has the {item.shape}?",
    )
    return question, f"{item.colour.capitalize()}."


def ask_shape(rng: Rng, scene: Scene) -> QuestionAnswer | None:
    """Ask for the shape of an item that its colour singles out."""
    items = unique_by(scene.items, lambda item: item.colour)
    if not items:
        return None
    item = pick(rng, items)
    question = one_of(rng, f"What shape is {item.colour}?", f"Which shape is {item.colour}?")
    return question, f"{item.shape.capitalize()}."


def ask_count(rng: Rng, scene: Scene) -> QuestionAnswer | None:
    """Ask how many items there are."""
    question = one_of(rng, "How many shapes are there?", "How many shapes do you see?", "Count the shapes.")
    return question, NUMBERS[len(scene.items)]


def ask_count_of(rng: Rng, scene: Scene) -> QuestionAnswer | None:
    """Ask how many items of one shape there are; sometimes none."""
    word = pick(rng, scene.items).shape if rng.random() < 0.7 else str(rng.choice(SHAPES))
    n = sum(item.shape == word for item in scene.items)
    plural = "crosses" if word == "cross" else f"{word}s"
    return f"How many {plural} are there?", NUMBERS[n]


def ask_yes_no(rng: Rng, scene: Scene) -> QuestionAnswer | None:
    """Ask for an item; half are there, the others differ from the scene in one word or in both."""
    names = {item.name for item in scene.items}
    name = pick(rng, scene.items).name
    if rng.random() < 0.5:
        name = _absent_name(rng, scene)
    question = one_of(
        rng,
        f"Is there {article(name)}?",
        f"Do you see {article(name)}?",
        f"Does this image show {article(name)}?",
    )
    return question, "Yes." if name in names else "No."


def _absent_name(rng: Rng, scene: Scene) -> str:
    names = {item.name for item in scene.items}
    name = pick(rng, scene.items).name
    while name in names:
        item, (colour, shape) = pick(rng, scene.items), sample_kind(rng)
        variants = (f"{item.colour} {shape}", f"{colour} {item.shape}", f"{colour} {shape}")
        name = variants[int(rng.integers(3))]
    return name


def ask_box(rng: Rng, scene: Scene) -> QuestionAnswer | None:
    """Ask for the box of one item."""
    items = unique_by(scene.items, lambda item: item.name)
    if not items:
        return None
    item = pick(rng, items)
    question = one_of(rng, f"Detect the {item.name}.", f"Locate the {item.name}.", f"Find the {item.name}.")
    return question, box_json(scene, [item])


def ask_all_boxes(rng: Rng, scene: Scene) -> QuestionAnswer | None:
    """Ask for the boxes of one or two items, from left to right."""
    if len(scene.items) > 2:
        return None
    return one_of(rng, "Detect all shapes.", "Detect every shape."), box_json(scene, scene.left_to_right())


PICTURE_QUESTIONS: Mapping[str, Callable[[Rng, Scene], QuestionAnswer | None]] = {
    "caption": ask_caption,
    "colour": ask_colour,
    "shape": ask_shape,
    "count": ask_count,
    "count_of": ask_count_of,
    "yes_no": ask_yes_no,
    "box": ask_box,
    "all_boxes": ask_all_boxes,
}
