"""The demo model's world, without a model: determinism, held-out seeds, true answers, scores."""

import json
import re

import numpy as np
import pytest

from tools.demo_model.clips import DIRECTIONS, appearing_clip, moving_clip
from tools.demo_model.picture_questions import NUMBERS, PICTURE_QUESTIONS, QuestionAnswer, article, listed
from tools.demo_model.pixels import (
    clip_patches,
    clip_size,
    frame_indices,
    image_patches,
    smart_resize,
    stamps,
)
from tools.demo_model.questions import EVALUATED, EXTRA, ask_which, picture_turns, sample_picture, single
from tools.demo_model.score import boxes_score, exact, iou, parse_boxes
from tools.demo_model.sights import BACKGROUND, CLASSES, clip_sight, picture_sight
from tools.demo_model.world import (
    COLOURS,
    FIRST_HELD_OUT_SEED,
    SHAPES,
    Clip,
    Item,
    Scene,
    held_out_rng,
    sample_kinds,
    sample_scene,
    training_rng,
)

PAPER = (240, 240, 240)
RED_CIRCLE = Item("circle", "red", 40, 60, 30)
BLUE_STAR = Item("star", "blue", 110, 50, 30)
SCENE = Scene(150, 120, PAPER, (BLUE_STAR, RED_CIRCLE))


def test_held_out_seeds_cannot_be_drawn_in_training() -> None:
    with pytest.raises(ValueError, match="not a training seed"):
        training_rng(FIRST_HELD_OUT_SEED)
    with pytest.raises(ValueError, match="negative"):
        held_out_rng(-1)
    assert held_out_rng(0).integers(1 << 60) != training_rng(0).integers(1 << 60)


@pytest.mark.parametrize("task", [*EVALUATED, *EXTRA])
def test_a_seed_gives_one_sample(task: str) -> None:
    first, again, other = (single(task, held_out_rng(seed)) for seed in (5, 5, 6))
    assert first.scenes == again.scenes
    assert [turn.answer for turn in first.turns] == [turn.answer for turn in again.turns]
    assert (
        first.turns[0].parts[-1] == again.turns[0].parts[-1]
        or first.turns[0].parts[0] == again.turns[0].parts[0]
    )
    assert first.turns[0].parts != other.turns[0].parts


def test_pictures_are_drawn_alike_twice() -> None:
    scene = sample_picture(training_rng(3), 3)
    assert np.array_equal(np.asarray(scene.draw()), np.asarray(scene.draw()))


@pytest.mark.parametrize(
    "item", [Item(shape, "red", 60, 60, 40) for shape in ("circle", "square", "triangle", "star", "cross")]
)
def test_boxes_enclose_what_is_drawn(item: Item) -> None:
    pixels = np.asarray(Scene(120, 120, PAPER, (item,)).draw()).astype(int)
    ys, xs = np.nonzero(np.abs(pixels - PAPER).sum(axis=-1) > 150)
    assert item.box_px() == pytest.approx((xs.min(), ys.min(), xs.max() + 1, ys.max() + 1), abs=1.5)


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_items_lie_inside_and_apart(n: int) -> None:
    for seed in range(20):
        rng = training_rng(seed)
        scene = sample_scene(rng, sample_kinds(rng, n))
        boxes = [scene.relative_box(item) for item in scene.items]
        assert len(boxes) == n
        assert all(0 <= side <= 1 for box in boxes for side in box)
        assert all(iou(a, b) < 0.2 for i, a in enumerate(boxes) for b in boxes[:i])


def test_sentences() -> None:
    assert article("orange star") == "an orange star"
    assert listed(["red circle"]) == "A red circle."
    assert listed(["orange star", "red circle"]) == "An orange star and a red circle."
    assert (
        listed(["red circle", "blue star", "green cross"]) == "A red circle, a blue star and a green cross."
    )


def _asked(task: str, rng: np.random.Generator) -> QuestionAnswer:
    answered = PICTURE_QUESTIONS[task](rng, SCENE)
    assert answered is not None
    return answered


def test_answers_agree_with_the_scene() -> None:
    rng = training_rng(0)
    assert _asked("caption", rng)[1] == "A red circle and a blue star."
    assert _asked("count", rng)[1] == "Two."
    question, answer = _asked("colour", rng)
    assert answer == ("Red." if "circle" in question else "Blue.")
    question, answer = _asked("shape", rng)
    assert answer == ("Circle." if "red" in question else "Star.")


def test_boxes_are_relative_to_1000_and_rounded() -> None:
    boxes = parse_boxes(_asked("all_boxes", training_rng(0))[1])
    assert boxes is not None
    assert [entry.label for entry in boxes] == ["red circle", "blue star"]
    assert boxes[0].box == (60.0, 240.0, 460.0, 760.0)  # 10..70 of 150 and 30..90 of 120, to the nearest 20
    question, answer = _asked("box", training_rng(0))
    assert json.loads(answer)[0]["label"] in question


def test_yes_and_no_are_balanced_and_true() -> None:
    rng = training_rng(1)
    answers = []
    for _ in range(300):
        question, answer = _asked("yes_no", rng)
        answers.append(answer)
        assert (answer == "Yes.") == any(item.name in question for item in SCENE.items)
    assert 100 < answers.count("Yes.") < 200


def test_ambiguous_questions_are_not_asked() -> None:
    twins = Scene(200, 120, PAPER, (RED_CIRCLE, Item("circle", "red", 140, 60, 30)))
    rng = training_rng(2)
    assert PICTURE_QUESTIONS["colour"](rng, twins) is None
    assert PICTURE_QUESTIONS["box"](rng, twins) is None
    assert len(picture_turns(rng, twins, ["colour", "box", "caption"])) == 1


def test_which_image_has_one_answer() -> None:
    for seed in range(30):
        sample = ask_which(training_rng(seed))
        turn = sample.turns[0]
        question = next(part for part in turn.parts if isinstance(part, str))
        showing = [scene for scene in sample.scenes if scene.items[0].name in question]
        assert len(showing) == 1
        ordinal = ("first", "second", "third")[sample.scenes.index(showing[0])]
        assert turn.answer == f"The {ordinal} image."


def test_every_picture_question_can_be_answered() -> None:
    asked = {
        task
        for seed in range(20)
        for task in PICTURE_QUESTIONS
        if PICTURE_QUESTIONS[task](training_rng(seed), SCENE)
    }
    assert asked == set(PICTURE_QUESTIONS)
    assert NUMBERS[4] == "Four."


def _centre(image: np.ndarray) -> tuple[float, float]:
    """Mean column and row of the pixels far from the background."""
    pixels = image.astype(int)
    ys, xs = np.nonzero(np.abs(pixels - pixels[0, 0]).sum(axis=-1) > 100)
    return float(xs.mean()), float(ys.mean())


def test_things_move_where_the_answer_says() -> None:
    for seed in range(20):
        clip, _, direction = moving_clip(training_rng(seed))
        (x1, y1), (x2, y2) = (_centre(np.asarray(clip.frame_at(index))) for index in (0, clip.n_frames - 1))
        unit_x, unit_y = DIRECTIONS[direction]
        assert (x2 - x1) * unit_x + (y2 - y1) * unit_y > 10


def test_things_appear_when_the_answer_says() -> None:
    for seed in range(20):
        clip, item, stamp = appearing_clip(training_rng(seed))
        indices = frame_indices(clip.n_frames, clip.fps)
        x, y = int(item.x_px), int(item.y_px)
        shown = [
            np.abs(np.asarray(clip.frame_at(index))[y, x].astype(int) - COLOURS[item.colour]).sum() < 120
            for index in indices
        ]
        assert not shown[0]
        assert stamps(indices, clip.fps)[shown.index(True) // 2] == stamp


@pytest.mark.parametrize(
    ("n_frames", "fps", "indices", "times"),
    [
        (24, 8.0, [0, 5, 9, 14, 18, 23], ["0.3", "1.4", "2.6"]),
        (3, 30.0, [0, 1, 2], ["0.0", "0.1"]),
        (50, 10.0, [0, 5, 11, 16, 22, 27, 33, 38, 44, 49], ["0.2", "1.4", "2.5", "3.5", "4.7"]),
    ],
)
def test_sampled_frames_and_stamps(n_frames: int, fps: float, indices: list[int], times: list[str]) -> None:
    assert frame_indices(n_frames, fps) == indices
    assert stamps(indices, fps) == times


def test_sizes() -> None:
    assert smart_resize(150, 200, 16_384, 65_536) == (160, 192)
    assert smart_resize(600, 800, 16_384, 65_536) == (192, 288)
    assert smart_resize(40, 60, 16_384, 65_536) == (128, 160)
    assert clip_size(6, 128, 160) == (128, 160)
    assert clip_size(6, 480, 640) == (128, 192)


def test_patches_repeat_a_still_and_an_odd_last_frame() -> None:
    image = SCENE.draw()
    still = image_patches(image)
    assert still.grid == (1, 8, 10)
    assert still.values.shape == (80, 3 * 2 * 16 * 16)
    halves = still.values.reshape(80, 3, 2, 256)
    assert np.array_equal(halves[:, :, 0], halves[:, :, 1])
    clip = clip_patches([image] * 5)
    assert clip.grid == (3, 8, 10)
    assert clip.n_tokens == 60


def test_exact_ignores_case_space_and_full_stop() -> None:
    assert exact(" a red  circle", "A red circle.")
    assert not exact("A red square.", "A red circle.")


def test_boxes_are_scored_by_overlap_and_label() -> None:
    expected = json.dumps([{"bbox_2d": [0, 0, 100, 100], "label": "red circle"}])
    half = json.dumps([{"bbox_2d": [0, 0, 100, 50], "label": "red circle"}])
    assert boxes_score(expected, expected) == 1.0
    assert boxes_score(half, expected) == pytest.approx(0.5)
    assert boxes_score(half.replace("red", "blue"), expected) == 0.0
    assert boxes_score("A red circle.", expected) == 0.0
    assert boxes_score("[]", expected) == 0.0
    with pytest.raises(ValueError, match="not a grounding answer"):
        boxes_score(expected, "Yes.")


@pytest.mark.parametrize(
    "answer",
    ["{}", "[1]", '[{"bbox_2d": [1, 2], "label": "x"}]', '[{"bbox_2d": [1, 2, 3, "4"], "label": "x"}]'],
)
def test_malformed_boxes_are_no_answer(answer: str) -> None:
    assert parse_boxes(answer) is None


def test_grounding_answers_have_the_family_s_form() -> None:
    for seed in range(10):
        answer = single("box", held_out_rng(seed)).turns[0].answer
        assert re.fullmatch(r'\[\{"bbox_2d": \[\d+, \d+, \d+, \d+\], "label": "\w+ \w+"\}\]', answer)


def test_tokens_see_what_covers_them() -> None:
    scene = Scene(
        128, 128, PAPER, (Item("square", "blue", 32, 32, 32 / 0.85),)
    )  # exactly the upper left quarter
    sight = picture_sight(scene, image_patches(scene.draw()))
    assert sight.classes.shape == (16, len(CLASSES))
    seen = sight.classes[:, 0] > BACKGROUND
    assert np.flatnonzero(seen).tolist() == [0, 1, 4, 5]
    assert (
        sight.classes[seen, :4].tolist()
        == [[1 + list(COLOURS).index("blue"), 1 + SHAPES.index("square"), 1, 0]] * 4
    )
    assert sight.box[seen].tolist() == [pytest.approx([0, 0, 0.5, 0.5])] * 4
    assert set(sight.classes[:, -1]) == {1}


def test_tokens_of_a_clip_see_motion() -> None:
    clip, _, direction = moving_clip(training_rng(4))
    frames = [clip.frame_at(index) for index in frame_indices(clip.n_frames, clip.fps)]
    sight = clip_sight(clip, clip_patches(frames))
    motions = sight.classes[sight.classes[:, 0] > BACKGROUND, 3]
    assert set(motions) - {0} == {1 + list(DIRECTIONS).index(direction)}


def test_only_clips_of_this_world_have_sights() -> None:
    frame = SCENE.draw()
    with pytest.raises(ValueError, match="nothing is known"):
        clip_sight(Clip(2.0, 4, lambda _: frame), clip_patches([frame] * 4))
