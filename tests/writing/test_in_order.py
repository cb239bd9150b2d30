import threading
from functools import partial

import pytest

from qwen3vl_edge.writing.in_order import Job, in_order


def test_results_come_in_order_whatever_ends_first() -> None:
    later = threading.Event()

    def first() -> int:
        assert later.wait(10)  # until the second is done
        return 0

    def second() -> int:
        later.set()
        return 1

    assert list(in_order([Job(first, 1), Job(second, 1), Job(lambda: 2, 1)], 2, 10)) == [0, 1, 2]


def test_no_more_is_begun_than_the_budget_allows() -> None:
    begun: list[int] = []

    def job(i: int) -> int:
        begun.append(i)
        return i

    results = in_order((Job(partial(job, i), 4) for i in range(9)), 3, 10)
    for i in range(9):
        assert next(results) == i
        assert len(begun) <= i + 2  # two of four bytes fit


def test_a_job_larger_than_the_budget_runs_alone() -> None:
    assert list(in_order([Job(lambda: 1, 99), Job(lambda: 2, 99)], 2, 10)) == [1, 2]


def test_a_failure_comes_in_its_place() -> None:
    def fail() -> int:
        raise KeyError("here")

    results = in_order([Job(lambda: 1, 1), Job(fail, 1), Job(lambda: 3, 1)], 2, 10)
    assert next(results) == 1
    with pytest.raises(KeyError, match="here"):
        next(results)


def test_leaving_early_begins_nothing_more() -> None:
    begun: list[int] = []
    results = in_order((Job(partial(begun.append, i), 5) for i in range(100)), 1, 10)
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert len(begun) <= 3
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("convert")]
