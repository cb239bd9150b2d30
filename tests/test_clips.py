import json

import pytest

from qwen3vl_edge.clips import ClipOptions, Footage, frame_count, plan_clip
from qwen3vl_edge.errors import EdgeError, MediaError, UsageError
from qwen3vl_edge.limits import VideoLimits
from tests.clip_cases import N_CASES, random_clip
from tests.goldens import GOLDEN, digest

LIMITS = VideoLimits()


def planned(footage: Footage, options: ClipOptions) -> list[object] | None:
    try:
        plan = plan_clip(footage, LIMITS, options)
    except EdgeError:
        return None
    count = frame_count(_n_in_range(footage, options), footage.fps, LIMITS, options)
    told = digest([f"{stamp:.1f}" for stamp in plan.stamps_s])
    return [count, plan.width, plan.height, digest(list(plan.indices[:count]))[:8], told[:8]]


def _n_in_range(footage: Footage, options: ClipOptions) -> int:
    """Count the frames of the range, by looking at each."""
    start = 0.0 if options.start_s is None else min(options.start_s, footage.duration_s)
    end = footage.duration_s if options.end_s is None else min(options.end_s, footage.duration_s)
    return sum(start * footage.fps <= index <= end * footage.fps for index in range(footage.n_frames))


def test_plans_are_those_of_the_reference() -> None:
    expected = json.loads((GOLDEN / "clips.json").read_text())
    assert len(expected) == N_CASES
    accepted = [seed for seed, row in enumerate(expected) if row is not None]
    assert len(accepted) > 0.8 * N_CASES
    wrong = {
        seed: (planned(*random_clip(seed)), expected[seed])
        for seed in accepted
        if planned(*random_clip(seed)) != expected[seed]
    }
    assert wrong == {}


def test_an_odd_last_frame_is_repeated() -> None:
    plan = plan_clip(Footage(5, 2.0, 64, 64), LIMITS)
    assert plan.indices == (0, 1, 2, 3, 4, 4)
    assert plan.stamps_s == (0.25, 1.25, 2.0)


def test_a_clip_that_begins_later_has_stamps_that_do() -> None:
    plan = plan_clip(Footage(5, 2.0, 64, 64, start_s=100.0), LIMITS, ClipOptions(start_s=101.0))
    assert plan.indices == (2, 3, 4, 4)
    assert plan.stamps_s == (101.25, 102.0)


def test_more_frames_than_there_are_are_not_shown_twice() -> None:
    assert plan_clip(Footage(6, 2.0, 64, 64), LIMITS, ClipOptions(n_frames=50)).indices == (0, 1, 2, 3, 4, 5)


def test_one_frame_of_a_range_is_enough() -> None:
    plan = plan_clip(Footage(100, 10.0, 64, 64), LIMITS, ClipOptions(start_s=3.0, end_s=3.0))
    assert (plan.indices, plan.stamps_s) == ((30, 30), (3.0,))


@pytest.mark.parametrize("bounds", [(50.0, None), (None, 0.5), (3.01, 3.09)])
def test_an_empty_range_is_refused_with_what_there_is(bounds: tuple[float | None, float | None]) -> None:
    footage, options = (
        Footage(100, 10.0, 64, 64, start_s=1.0),
        ClipOptions(start_s=bounds[0], end_s=bounds[1]),
    )
    with pytest.raises(UsageError, match=r"from 1\.00 s to 11\.00 s"):
        plan_clip(footage, LIMITS, options)


def test_no_frames_are_refused() -> None:
    with pytest.raises(MediaError, match="no frames"):
        plan_clip(Footage(0, 25.0, 64, 64), LIMITS)


@pytest.mark.parametrize(
    "wrong",
    [
        {"fps": 1.0, "n_frames": 3},
        {"fps": 0.0},
        {"fps": float("nan")},
        {"n_frames": 0},
        {"max_tokens": 0},
        {"max_frame_tokens": -1},
        {"start_s": 5.0, "end_s": 4.0},
        {"start_s": float("inf")},
        {"end_s": float("nan")},
    ],
)
def test_options_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        ClipOptions(**wrong)  # type: ignore[arg-type]
