from hypothesis import given
from hypothesis import strategies as st

from qwen3vl_edge.runtime.parallelism import best_of


def test_rounds_that_cost_the_same_are_filled() -> None:
    assert best_of([1, 2, 4, 8], [1.0, 1.0, 1.0, 1.0], prompt_s=0.0, n_answer=10) == 8


def test_rounds_that_cost_by_the_sequence_gain_nothing() -> None:
    assert best_of([1, 2, 4, 8], [1.0, 2.0, 4.0, 8.0], prompt_s=0.0, n_answer=10) == 1


def test_a_gain_of_less_than_a_twentieth_is_not_worth_the_memory() -> None:
    assert best_of([4, 8], [1.0, 1.92], prompt_s=0.0, n_answer=10) == 4
    assert best_of([4, 8], [1.0, 1.88], prompt_s=0.0, n_answer=10) == 8


def test_long_prompts_make_the_rounds_matter_less() -> None:
    rounds_s = [1.0, 1.5]
    assert best_of([1, 2], rounds_s, prompt_s=0.0, n_answer=10) == 2
    assert best_of([1, 2], rounds_s, prompt_s=100.0, n_answer=10) == 1


@given(
    st.lists(st.floats(1e-4, 10), min_size=1, max_size=6),
    st.floats(0, 100),
    st.integers(1, 1000),
)
def test_the_choice_is_nearly_the_fastest(rounds_s: list[float], prompt_s: float, n_answer: int) -> None:
    tried = [2**number for number in range(len(rounds_s))]
    answer_s = {n: prompt_s + n_answer * s / n for n, s in zip(tried, rounds_s, strict=True)}
    chosen = best_of(tried, rounds_s, prompt_s, n_answer)
    assert answer_s[chosen] * 0.95 <= min(answer_s.values()) * 1.0001
