"""Conversations about the world and their only right answers.

``single`` asks one question of a given task; the askers it draws from also make up the training data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from PIL import Image

from tools.demo_model.clips import appearing_clip, moving_clip
from tools.demo_model.picture_questions import PICTURE_QUESTIONS, QuestionAnswer, Rng, article, one_of
from tools.demo_model.world import COLOURS, SHAPES, Clip, Scene, sample_kind, sample_kinds, sample_scene

Part = str | Image.Image | Clip

LOOK_UPS = ("colour", "shape", "box")  # questions about one item that is there
ORDINALS = ("first", "second", "third")


@dataclass(frozen=True)
class Turn:
    """What the user shows and says, and the right answer."""

    parts: tuple[Part, ...]
    answer: str


@dataclass(frozen=True)
class Sample:
    """A conversation; ``scenes`` describes its still pictures in the order they are shown."""

    task: str
    turns: tuple[Turn, ...]
    scenes: tuple[Scene, ...] = ()
    system: str | None = None


def sample_picture(rng: Rng, n_items: int) -> Scene:
    """Sample a scene whose items may share a shape or a colour, or, rarely, both."""
    kinds = sample_kinds(rng, n_items)
    if n_items > 1 and rng.random() < 0.1:
        kinds[1] = kinds[0]
    return sample_scene(rng, kinds)


def with_media(rng: Rng, media: Sequence[Part], question: str) -> tuple[Part, ...]:
    """Put pictures before the words, as usual, or now and then after them."""
    return (question, *media) if rng.random() < 0.1 else (*media, question)


def picture_turns(rng: Rng, scene: Scene, tasks: Sequence[str]) -> tuple[Turn, ...]:
    """Make one turn per answerable task; only the first shows the picture."""
    asked: dict[str, str] = {}
    told: set[str] = set()
    for task in tasks:
        answered = PICTURE_QUESTIONS[task](rng, scene)
        # The same thing asked in other words could be answered from the words before, without a look.
        if answered is not None and not (task in LOOK_UPS and answered[1] in told):
            asked.setdefault(*answered)
            told.add(answered[1])
    image = scene.draw()
    return tuple(
        Turn(with_media(rng, [image], question) if index == 0 else (question,), answer)
        for index, (question, answer) in enumerate(asked.items())
    )


# --- Several pictures ----------------------------------------------------------------------------


def ask_which(rng: Rng) -> Sample:
    """Ask which of several pictures in one turn shows an item; exactly one does.

    One question only: after its answer, the others could be answered by exclusion.
    """
    n = int(rng.integers(2, 4))
    target = sample_kind(rng)
    kinds = [target]
    while len(kinds) < n:
        colour, shape = sample_kind(rng)
        # The others share no word with what is asked for: where they did, one answer in five was wrong.
        if colour != target[0] and shape != target[1] and (colour, shape) not in kinds:
            kinds.append((colour, shape))
    order = rng.permutation(n)
    scenes = tuple(sample_scene(rng, [kinds[int(k)]]) for k in order)
    name = " ".join(target)
    question = one_of(
        rng,
        f"Which image shows {article(name)}?",
        f"Which image contains {article(name)}?",
        f"Where is the {name}?",
    )
    answer = f"The {ORDINALS[order.tolist().index(0)]} image."
    images = [scene.draw() for scene in scenes]
    return Sample("which_image", (Turn((*images, question), answer),), scenes)


def ask_in_turns(rng: Rng, tasks: Sequence[str]) -> Sample:
    """Show a new picture in each of two turns."""
    scenes = tuple(sample_picture(rng, int(rng.integers(1, 3))) for _ in range(2))
    turns = tuple(
        turn
        for scene in scenes
        for turn in picture_turns(rng, scene, [str(rng.choice(tasks)), "caption"])[:1]
    )
    return Sample("in_turns", turns, scenes)


# --- Clips ---------------------------------------------------------------------------------------


def ask_motion(rng: Rng, *, follow_up: bool = False) -> Sample:
    """Ask for the direction of motion in a clip, and more about it in further turns."""
    clip, item, direction = moving_clip(rng)
    question = one_of(
        rng,
        f"Which direction does the {item.shape} move?",
        f"In which direction does the {item.shape} move?",
        f"Where does the {item.shape} move?",
    )
    turns = [Turn((clip, question), f"{direction.capitalize()}.")]
    if follow_up:
        phrase = article(f"{item.name} moves {direction}.")
        turns.append(Turn(("Describe this video.",), phrase[0].upper() + phrase[1:]))
        turns.append(Turn((f"What color is the {item.shape}?",), f"{item.colour.capitalize()}."))
    return Sample("motion", _shuffled(rng, clip, turns))


def ask_appearance(rng: Rng, *, follow_up: bool = False) -> Sample:
    """Ask when an item appears in a clip, and more about it in further turns."""
    clip, item, stamp = appearing_clip(rng)
    question = one_of(
        rng, f"When does the {item.shape} appear?", f"At what time does the {item.shape} appear?"
    )
    turns = [Turn((clip, question), f"At {stamp} seconds.")]
    if follow_up:
        phrase = article(f"{item.name} appears at {stamp} seconds.")
        turns.append(Turn(("Describe this video.",), phrase[0].upper() + phrase[1:]))
        turns.append(Turn((f"What color is the {item.shape}?",), f"{item.colour.capitalize()}."))
    return Sample("appearance", _shuffled(rng, clip, turns))


def _shuffled(rng: Rng, clip: Clip, turns: Sequence[Turn]) -> tuple[Turn, ...]:
    """Ask the same questions in any order, the clip always in the first of them."""
    questions = [(turn.parts[-1], turn.answer) for turn in turns]
    order = rng.permutation(len(questions))
    return tuple(
        Turn((clip, questions[int(k)][0]) if index == 0 else (questions[int(k)][0],), questions[int(k)][1])
        for index, k in enumerate(order)
    )


# --- Words only ----------------------------------------------------------------------------------

SMALL_TALK: tuple[QuestionAnswer, ...] = (
    ("Hello!", "Hello! Show me an image."),
    ("Hi", "Hello! Show me an image."),
    ("Who are you?", "I am a small model that sees shapes."),
    ("What can you do?", "I can describe, count and locate shapes."),
    ("Which colors do you know?", f"I know {', '.join(COLOURS)}."),
    ("Which shapes do you know?", f"I know {', '.join(SHAPES)}."),
    ("Thank you.", "You are welcome."),
    ("Bye", "Goodbye!"),
)


def ask_small_talk(rng: Rng) -> Sample:
    """Say one or two things without a picture."""
    picked = rng.choice(len(SMALL_TALK), size=int(rng.integers(1, 3)), replace=False)
    return Sample("small_talk", tuple(Turn((SMALL_TALK[k][0],), SMALL_TALK[k][1]) for k in picked))


# --- One question, for evaluation ----------------------------------------------------------------


def _single_picture(rng: Rng, task: str, n_items: int) -> Sample:
    while True:
        scene = sample_picture(rng, n_items)
        answered = PICTURE_QUESTIONS[task](rng, scene)
        if answered is not None:
            return Sample(task, (Turn((scene.draw(), answered[0]), answered[1]),), (scene,))


EVALUATED: Mapping[str, Callable[[Rng], Sample]] = {
    "caption": lambda rng: _single_picture(rng, "caption", 1),
    # of one or two shapes: among three, one answer in four was wrong
    "colour": lambda rng: _single_picture(rng, "colour", int(rng.integers(1, 3))),
    "yes_no": lambda rng: _single_picture(rng, "yes_no", int(rng.integers(1, 4))),
    "which_image": ask_which,
    "count": lambda rng: _single_picture(rng, "count", int(rng.integers(1, 5))),
    "motion": ask_motion,
    "appearance": ask_appearance,
    "box": lambda rng: _single_picture(rng, "box", 1),
}
EXTRA: Mapping[str, Callable[[Rng], Sample]] = {
    "caption_two": lambda rng: _single_picture(rng, "caption", 2),
    "caption_three": lambda rng: _single_picture(rng, "caption", 3),
    "shape": lambda rng: _single_picture(rng, "shape", int(rng.integers(1, 4))),
    "count_of": lambda rng: _single_picture(rng, "count_of", int(rng.integers(1, 5))),
    "box_of_several": lambda rng: _single_picture(rng, "box", int(rng.integers(2, 4))),
    "all_boxes": lambda rng: _single_picture(rng, "all_boxes", 2),
}


def single(task: str, rng: Rng) -> Sample:
    """Sample a conversation of one question; tasks are the keys of ``EVALUATED`` and ``EXTRA``."""
    return replace({**EVALUATED, **EXTRA}[task](rng), task=task)
