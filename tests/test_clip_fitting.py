import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen3vl_edge.clip_fitting import n_prompt_tokens, option_text, plan_that_fits, plans_that_fit
from qwen3vl_edge.clips import ClipOptions, Footage, plan_clip
from qwen3vl_edge.errors import ContextFullError
from qwen3vl_edge.limits import VideoLimits

LIMITS = VideoLimits()
MINUTE = Footage(1800, 30.0, 1920, 1080)


def tokens(footage: Footage, options: ClipOptions) -> int:
    return n_prompt_tokens(plan_clip(footage, LIMITS, options), LIMITS)


@given(
    st.integers(1, 200_000),
    st.floats(1, 120),
    st.tuples(st.integers(32, 4000), st.integers(32, 4000)),
    st.integers(100, 30_000),
    st.sampled_from(
        [ClipOptions(), ClipOptions(fps=1.0), ClipOptions(n_frames=33), ClipOptions(start_s=0.0)]
    ),
)
def test_what_is_proposed_fits(
    n_frames: int, fps: float, size: tuple[int, int], room: int, options: ClipOptions
) -> None:
    footage = Footage(n_frames, fps, *size)
    try:
        proposed = plans_that_fit(footage, LIMITS, options, room)
    except ContextFullError:
        assert tokens(footage, ClipOptions(n_frames=1, start_s=options.start_s)) > room
        return
    assert [option for option in proposed if tokens(footage, option) > room] == []


def test_each_gives_up_one_thing_and_no_more_than_it_must() -> None:
    smaller, fewer, shorter = plans_that_fit(MINUTE, LIMITS, ClipOptions(), 6000)
    assert smaller == ClipOptions(max_frame_tokens=smaller.max_frame_tokens)
    assert fewer == ClipOptions(n_frames=fewer.n_frames)
    assert shorter == ClipOptions(end_s=shorter.end_s)
    assert all(tokens(MINUTE, option) > 4500 for option in (smaller, fewer, shorter))


def test_a_clip_that_fits_is_left_as_it_is() -> None:
    options = ClipOptions(n_frames=4)
    assert plan_that_fits(MINUTE, LIMITS, options, 100_000) == options


def test_frames_too_small_to_see_anything_are_not_proposed() -> None:
    assert plan_that_fits(MINUTE, LIMITS, ClipOptions(), 1000).n_frames is not None


def test_what_cannot_fit_is_said() -> None:
    with pytest.raises(ContextFullError, match="10 tokens"):
        plan_that_fits(MINUTE, LIMITS, ClipOptions(), 10)


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        (ClipOptions(), ClipOptions(max_frame_tokens=90), "--frame-max-tokens 90"),
        (ClipOptions(), ClipOptions(n_frames=8), "--frames 8"),
        (ClipOptions(fps=4.0), ClipOptions(n_frames=8), "--frames 8 in place of --fps"),
        (ClipOptions(), ClipOptions(end_s=12.5), "--end 12.5"),
    ],
)
def test_options_have_the_names_of_the_command_line(
    before: ClipOptions, after: ClipOptions, text: str
) -> None:
    assert option_text(before, after) == text
