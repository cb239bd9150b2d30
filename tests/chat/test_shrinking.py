"""What a conversation shows when its pictures and clips are to take fewer tokens."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from qwen3vl_edge.chat.shrinking import shrink
from qwen3vl_edge.clip_fitting import n_prompt_tokens
from qwen3vl_edge.clips import DEFAULT_OPTIONS, Clip, ClipOptions, Footage, plan_clip
from qwen3vl_edge.images import Frames, Picture, VisionPart
from qwen3vl_edge.limits import ImageLimits, VideoLimits, smart_resize
from qwen3vl_edge.messages import Content, Message

IMAGES, VIDEOS = ImageLimits(), VideoLimits()
MINUTE = Footage(1800, 30.0, 640, 480)
UNTIMED = Footage(120, 10.0, 640, 480, is_untimed=True)


def never() -> Frames:
    raise AssertionError("frames are not needed to reckon with them")


def clip(footage: Footage, options: ClipOptions = DEFAULT_OPTIONS) -> Clip:
    """A clip of which nothing can be decoded."""
    plan = plan_clip(footage, VIDEOS, options)
    moments = tuple(VisionPart(plan.height, plan.width, b"", never) for _ in plan.stamps_s)
    return Clip(plan, moments, "film.mp4", footage, options, resample=lambda other: clip(footage, other))


def picture(height: int, width: int) -> Picture:
    return Picture(np.zeros((*smart_resize(height, width, IMAGES), 3), np.uint8), "no such file")


def tokens(item: Content) -> int:
    if isinstance(item, Clip):
        return n_prompt_tokens(item.plan, VIDEOS)
    return item.pixels.shape[0] * item.pixels.shape[1] // 1024 if isinstance(item, Picture) else 0


def shrunk(items: list[Content], n_over: int) -> list[Content]:
    messages = [Message("user", (item,)) for item in items]
    return [message.content[0] for message in shrink(messages, n_over, IMAGES, VIDEOS)]


FOOTAGES = st.builds(Footage, st.integers(1, 5000), st.floats(1, 60), *[st.integers(64, 1500)] * 2)
PICTURES = st.builds(picture, *[st.integers(64, 900)] * 2)


@given(st.lists(FOOTAGES.map(clip) | PICTURES, min_size=1, max_size=4), st.floats(0.0, 1.0))
@settings(deadline=None, max_examples=80)
def test_what_is_shown_takes_as_many_tokens_less_or_as_few_as_can_be(
    items: list[Content], share: float
) -> None:
    before = sum(map(tokens, items))
    n_over = int(share * before)
    now = shrunk(items, n_over)
    if sum(map(tokens, now)) > before - n_over:
        assert [item for item in now if isinstance(item, Clip) and len(item.moments) > 1] == []
        assert [item for item in now if isinstance(item, Picture) and tokens(item) > 64] == []
    for old, new in zip(items, now, strict=True):
        assert tokens(new) <= tokens(old)
        assert type(old) is type(new)


def test_frames_get_smaller_before_they_get_fewer() -> None:
    before = tokens(clip(MINUTE))
    (now,) = shrunk([clip(MINUTE)], 5000)
    assert isinstance(now, Clip)
    assert len(now.moments) == 60
    assert now.options == ClipOptions(max_frame_tokens=now.options.max_frame_tokens)
    assert before - 5000 - 60 * 40 < tokens(now) <= before - 5000
    (now,) = shrunk([clip(MINUTE)], before - 2000)
    assert isinstance(now, Clip)
    assert 1800 < tokens(now) <= 2000
    assert now.options == ClipOptions(n_frames=now.options.n_frames, max_frame_tokens=64)


def test_what_is_small_already_is_left_alone() -> None:
    small, film = picture(256, 256), clip(Footage(4, 2.0, 64, 64))
    first, second, third = shrunk([small, film, picture(900, 900)], 300)
    assert first is small
    assert second is film
    assert tokens(third) < 784 - 300 + 60


def test_pictures_whose_rate_was_given_stay_as_many() -> None:
    """Fewer of them, without --fps, would be taken for others' times."""
    given = clip(UNTIMED, ClipOptions(fps=10.0))
    (now,) = shrunk([given], 17_000)
    assert isinstance(now, Clip)
    assert now.plan.stamps_s == given.plan.stamps_s
    assert now.options == ClipOptions(fps=10.0, max_frame_tokens=64)
    (fewer,) = shrunk([clip(Footage(120, 2.0, 640, 480, is_untimed=True))], 17_000)
    assert isinstance(fewer, Clip)
    assert fewer.options.n_frames is not None
