from collections.abc import Iterable

import numpy as np
import pytest

from qwen3vl_edge.bundle import Bundle
from qwen3vl_edge.runtime.loops import LoopDetector
from qwen3vl_edge.runtime.model import TextModel


def first_alarm(tokens: Iterable[int]) -> int | None:
    """How many tokens were read when the alarm came."""
    detector = LoopDetector()
    return next((count for count, token in enumerate(tokens, 1) if detector.push(token)), None)


@pytest.fixture(scope="module")
def model(demo_f32: Bundle) -> Iterable[TextModel]:
    opened = TextModel(demo_f32.model)
    yield opened
    opened.close()


BOX = '{{"bbox_2d": [{0}, {1}, {2}, {3}], "label": "person"}},\n'

SENSIBLE = {
    "a row of dashes": "Before\n" + "-" * 60 + "\n" + "=" * 60 + "\nAfter",
    "a list of numbers": ", ".join(map(str, range(500))),
    "similar boxes": "".join(BOX.format(n, n * 7 % 31, n + 40, n * 7 % 31 + 20) for n in range(60)),
    "a table": "| n | square | even |\n|---|---|---|\n"
    + "".join(f"| {n} | {n * n} | {'yes' if n % 2 == 0 else 'no'} |\n" for n in range(60)),
    "a table's separator of 20 columns": "|" + " --- |" * 20,
    "blank rows of a form": "| Name | Date |\n" + "| | |\n" * 12,
    "indented code": "".join(f"{' ' * 16}value_{n} = read({n})\n" for n in range(40)),
    "an 8 by 8 matrix of zeros": "\n".join(["[0, 0, 0, 0, 0, 0, 0, 0],"] * 8),
    "a chorus": "La la la, hey hey hey!\n" * 6 + "Then the verse comes.\n" + "La la la, hey hey hey!\n" * 6,
    "a numbered list with one wording": "".join(f"{n}. A person walks.\n" for n in range(1, 120)),
}

LOOPS = {
    "one word": "the " * 400,
    "one line end": "\n" * 700,
    "one digit": "0." + "3" * 600,
    "a sentence": "The image shows a red circle on a white ground. " * 60,
    "a paragraph": (
        "The picture shows a street at night. Cars stand on both sides, and lamps light them. " * 3
    )
    + "\n",
    "one box for ever": BOX.format(10, 20, 30, 40) * 60,
}
LOOPS["a paragraph"] *= 12


@pytest.mark.parametrize("name", SENSIBLE)
def test_sensible_answers_are_let_through(name: str, model: TextModel) -> None:
    assert first_alarm(model.tokenize(SENSIBLE[name], parse_special=False)) is None


@pytest.mark.parametrize("name", LOOPS)
def test_loops_are_noticed_after_a_sensible_beginning(name: str, model: TextModel) -> None:
    opening = model.tokenize("There are three people in this picture.", parse_special=False)
    loop = model.tokenize(LOOPS[name], parse_special=False)
    alarm = first_alarm([*opening, *loop])
    assert alarm is not None
    assert alarm > 300


@pytest.mark.parametrize("period", [1, 2, 3, 10, 75, 76, 100, 511, 512])
@pytest.mark.parametrize("opening", [0, 5, 7600, 9000])
def test_the_alarm_comes_at_300_tokens_and_four_times(period: int, opening: int) -> None:
    before = list(range(1000, 1000 + opening))
    covered = max(300, 4 * period)
    assert first_alarm([*before, *(n % period for n in range(3000))]) == opening + covered


def test_a_period_beyond_512_is_no_loop() -> None:
    assert first_alarm(n % 513 for n in range(6000)) is None


def test_what_is_repeated_can_be_cut() -> None:
    detector = LoopDetector()
    tokens = [50, 51, *([1, 2, 3] * 100)]
    alarms = [detector.push(token) for token in tokens]
    assert alarms == [False] * (len(tokens) - 1) + [True]
    assert tokens[: len(tokens) - detector.n_repeated] == [50, 51, 1, 2, 3]


def test_a_loop_that_ends_is_none_any_more() -> None:
    detector = LoopDetector()
    assert [detector.push(7) for _ in range(301)][-1]
    assert not detector.push(8)
    assert detector.n_repeated == 0


def test_it_agrees_with_counting_afresh() -> None:
    """Random answers of few tokens with stretches that repeat: compare with the definition."""
    random = np.random.default_rng(1)
    for _ in range(20):
        tokens: list[int] = []
        while len(tokens) < 1500:
            piece = random.integers(0, 3, random.integers(1, 120)).tolist()
            tokens += piece * int(random.integers(1, 9))
        detector = LoopDetector()
        for count, token in enumerate(tokens, 1):
            alarm = detector.push(token)
            if count % 97 == 0 or alarm:
                assert alarm == any(_ends_in_loop(tokens[:count], period) for period in range(1, 513))


def _ends_in_loop(tokens: list[int], period: int) -> bool:
    covered = max(300, 4 * period)
    end = tokens[-covered:]
    return len(end) == covered and end[period:] == end[:-period]
