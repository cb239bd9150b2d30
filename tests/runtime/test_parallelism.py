from hypothesis import given
from hypothesis import strategies as st

from qwen3vl_edge.runtime.parallelism import fewest


def _fewest(most: int, rounds_s: dict[int, float]) -> int:
    return fewest(most, rounds_s.__getitem__, prompt_s=0.0, n_answer=10)


def test_rounds_that_cost_the_same_are_filled() -> None:
    assert fewest(8, lambda _: 1.0, prompt_s=0.0, n_answer=10) == 8


def test_rounds_that_cost_by_the_sequence_gain_nothing() -> None:
    assert fewest(12, float, prompt_s=0.0, n_answer=10) == 1


def test_a_gain_of_less_than_a_fiftieth_is_not_worth_the_memory() -> None:
    assert _fewest(8, {8: 8.0, 4: 4.04, 2: 3.0}) == 4
    assert _fewest(8, {8: 8.0, 4: 4.12}) == 8


def test_small_losses_do_not_add_up() -> None:
    assert _fewest(16, {16: 16.0, 8: 8.12, 4: 4.12}) == 8


def test_a_dent_below_a_number_that_gains_is_not_looked_into() -> None:
    assert _fewest(32, {32: 32.0, 16: 16.1, 8: 11.2}) == 16


def test_long_prompts_make_the_rounds_matter_less() -> None:
    rounds_s = {1: 1.0, 2: 1.5}
    assert fewest(2, rounds_s.__getitem__, prompt_s=0.0, n_answer=10) == 2
    assert fewest(2, rounds_s.__getitem__, prompt_s=1000.0, n_answer=10) == 1
    assert fewest(2, rounds_s.__getitem__, prompt_s=100.0, n_answer=10) == 2


@given(
    st.integers(1, 100),
    st.lists(st.floats(1e-4, 10), min_size=100, max_size=100),
    st.floats(0, 100),
    st.integers(1, 1000),
)
def test_the_choice_is_nearly_the_fastest_of_what_was_tried(
    most: int, rounds_s: list[float], prompt_s: float, n_answer: int
) -> None:
    answers_s: dict[int, float] = {}

    def round_s(number: int) -> float:
        answers_s[number] = prompt_s + n_answer * rounds_s[number - 1] / number
        return rounds_s[number - 1]

    chosen = fewest(most, round_s, prompt_s, n_answer)
    tried = list(answers_s)
    assert tried[0] == most
    assert tried == sorted(tried, reverse=True)
    assert all(number & (number - 1) == 0 for number in tried[1:])
    assert answers_s[chosen] * 0.98 <= min(answers_s.values())
