from hypothesis import given
from hypothesis import strategies as st

from qwen3vl_edge.runtime.parallelism import fewest


def test_rounds_that_cost_the_same_are_filled() -> None:
    assert fewest(8, lambda n: 1.0 / n) == 8


def test_rounds_that_cost_by_the_sequence_gain_nothing() -> None:
    assert fewest(12, lambda _: 1.0) == 1


def test_a_gain_of_less_than_a_fiftieth_is_not_worth_the_memory() -> None:
    assert fewest(8, {8: 1.0, 4: 1.01, 2: 1.5}.__getitem__) == 4
    assert fewest(8, {8: 1.0, 4: 1.03}.__getitem__) == 8


def test_small_losses_do_not_add_up() -> None:
    assert fewest(16, {16: 1.0, 8: 1.015, 4: 1.03}.__getitem__) == 8


def test_a_dent_below_a_number_that_gains_is_not_looked_into() -> None:
    assert fewest(32, {32: 1.0, 16: 1.01, 8: 1.4}.__getitem__) == 16


@given(st.integers(1, 100), st.dictionaries(st.integers(1, 100), st.floats(1e-4, 10), min_size=100))
def test_the_choice_is_nearly_the_fastest_of_what_was_tried(most: int, seconds: dict[int, float]) -> None:
    tried: list[int] = []

    def answer_s(number: int) -> float:
        tried.append(number)
        return seconds[number]

    chosen = fewest(most, answer_s)
    assert tried[0] == most
    assert tried == sorted(set(tried), reverse=True)
    assert all(number & (number - 1) == 0 for number in tried[1:])
    assert seconds[chosen] * 0.98 <= min(seconds[number] for number in tried)
