import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwen3vl_edge.clip_fitting import common_plans, n_prompt_tokens, option_text, plan_that_fits
from qwen3vl_edge.clips import ClipOptions, Footage, plan_clip
from qwen3vl_edge.errors import ContextFullError
from qwen3vl_edge.limits import VideoLimits

LIMITS = VideoLimits()
MINUTE = Footage(1800, 30.0, 1920, 1080)


def tokens(options: ClipOptions, *clips: Footage) -> int:
    return sum(n_prompt_tokens(plan_clip(footage, LIMITS, options), LIMITS) for footage in clips)


FOOTAGES = st.builds(
    Footage, st.integers(1, 100_000), st.floats(1, 120), st.integers(32, 4000), st.integers(32, 4000)
)


@given(
    st.lists(FOOTAGES, min_size=1, max_size=3),
    st.integers(20, 30_000),
    st.sampled_from(
        [ClipOptions(), ClipOptions(fps=1.0), ClipOptions(n_frames=33), ClipOptions(start_s=0.0)]
    ),
)
@settings(deadline=None, max_examples=60)  # of long clips thousands of plans are tried
def test_what_is_proposed_fits(clips: list[Footage], room: int, options: ClipOptions) -> None:
    try:
        proposed = common_plans(clips, LIMITS, options, room)
    except ContextFullError:
        assert tokens(ClipOptions(n_frames=1, start_s=options.start_s), *clips) > room
        return
    assert [option for option in proposed if tokens(option, *clips) > room] == []


def test_each_gives_up_one_thing_and_no_more_than_it_must() -> None:
    smaller, fewer, shorter = common_plans((MINUTE,), LIMITS, ClipOptions(), 6000)
    assert smaller == ClipOptions(max_frame_tokens=smaller.max_frame_tokens)
    assert fewer == ClipOptions(n_frames=fewer.n_frames)
    assert shorter == ClipOptions(end_s=shorter.end_s)
    assert all(tokens(option, MINUTE) > 4500 for option in (smaller, fewer, shorter))


def test_several_clips_are_made_to_fit_by_one_option_for_all() -> None:
    """A short clip beside a long one can give up nothing; the long one gives it all."""
    short = Footage(2, 30.0, 1920, 1080)
    found = common_plans((MINUTE, short), LIMITS, ClipOptions(), 6000)
    smaller, bounded, fewer, slower = found
    assert smaller == ClipOptions(max_frame_tokens=smaller.max_frame_tokens)
    assert bounded == ClipOptions(max_tokens=bounded.max_tokens)
    assert fewer == ClipOptions(n_frames=fewer.n_frames)
    assert slower == ClipOptions(fps=slower.fps)
    assert [option for option in found if not 4500 < tokens(option, MINUTE, short) <= 6000] == []


def test_pictures_whose_rate_was_given_keep_it() -> None:
    """With another number of frames they would have other times."""
    folder = Footage(400, 10.0, 640, 480, is_untimed=True)
    options = ClipOptions(fps=10.0)
    for clips in ((folder,), (folder, MINUTE)):
        found = common_plans(clips, LIMITS, options, 16_000)
        assert {option.fps for option in found} == {10.0}
        assert found


def test_where_nothing_else_helps_several_clips_are_cut_short() -> None:
    folder = Footage(40, 10.0, 64, 64, is_untimed=True)
    options = ClipOptions(fps=10.0)
    long = Footage(2400, 10.0, 96, 64)
    (found,) = common_plans((folder, long), LIMITS, options, 2000)
    assert found == ClipOptions(fps=10.0, end_s=found.end_s)
    assert 1900 < tokens(found, folder, long) <= 2000


def test_a_rate_that_cannot_be_kept_is_named() -> None:
    folder = Footage(4, 10.0, 640, 480, is_untimed=True)
    with pytest.raises(ContextFullError, match="at --fps 10, which pictures without times need"):
        common_plans((folder, folder), LIMITS, ClipOptions(fps=10.0), 20)


def test_a_clip_that_fits_is_left_as_it_is() -> None:
    options = ClipOptions(n_frames=4)
    assert plan_that_fits(MINUTE, LIMITS, options, 100_000) == options


def test_frames_too_small_to_see_anything_are_not_proposed() -> None:
    assert plan_that_fits(MINUTE, LIMITS, ClipOptions(), 1000).n_frames is not None


def test_what_cannot_fit_is_said() -> None:
    with pytest.raises(ContextFullError, match="10 tokens"):
        plan_that_fits(MINUTE, LIMITS, ClipOptions(), 10)
    with pytest.raises(ContextFullError, match="a frame of each in the 0 tokens"):
        common_plans((MINUTE, MINUTE), LIMITS, ClipOptions(), -5)


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        (ClipOptions(), ClipOptions(max_frame_tokens=90), "--frame-max-tokens 90"),
        (ClipOptions(), ClipOptions(n_frames=8), "--frames 8"),
        (ClipOptions(fps=4.0), ClipOptions(n_frames=8), "--frames 8 in place of --fps"),
        (ClipOptions(), ClipOptions(end_s=12.5), "--end 12.5"),
        (ClipOptions(), ClipOptions(fps=0.25), "--fps 0.25"),
        (ClipOptions(fps=4.0), ClipOptions(fps=4.0, max_tokens=900), "--video-max-tokens 900"),
    ],
)
def test_options_have_the_names_of_the_command_line(
    before: ClipOptions, after: ClipOptions, text: str
) -> None:
    assert option_text(before, after) == text
