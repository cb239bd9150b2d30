import pytest

from qwen3vl_edge.errors import MediaError
from qwen3vl_edge.limits import ImageLimits, VideoLimits, clip_size, smart_resize


def test_sides_are_multiples_of_the_factor_and_the_area_is_within_the_limits() -> None:
    limits = ImageLimits(min_pixels=65_536, max_pixels=131_072)
    for height, width in ((1, 1), (33, 4000), (3000, 2000), (256, 256)):
        tall, wide = smart_resize(height, width, limits)
        assert tall % 32 == wide % 32 == 0
        assert 65_536 <= tall * wide <= 131_072


def test_only_ratios_up_to_200_are_accepted() -> None:
    assert smart_resize(200, 1, ImageLimits()) == (3648, 32)
    with pytest.raises(MediaError, match="longer than 200:1"):
        smart_resize(201, 1, ImageLimits())


def test_an_empty_picture_is_refused() -> None:
    with pytest.raises(MediaError, match="empty"):
        smart_resize(0, 10, ImageLimits())


def test_a_frame_never_costs_more_than_its_cap() -> None:
    height, width = clip_size(4, 2160, 3840, VideoLimits())
    assert height * width <= 768 * 32 * 32


def test_a_single_frame_is_sized_as_the_pair_it_becomes() -> None:
    assert clip_size(1, 480, 640, VideoLimits()) == clip_size(2, 480, 640, VideoLimits())
