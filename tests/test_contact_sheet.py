from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qwen3vl_edge.clips import Clip, ClipOptions
from qwen3vl_edge.contact_sheet import contact_sheet, save_contact_sheet
from qwen3vl_edge.errors import MediaError
from qwen3vl_edge.limits import VideoLimits
from qwen3vl_edge.video import load_clip
from tests.test_video import write_clip


@pytest.fixture
def clip(tmp_path: Path) -> Clip:
    return load_clip(write_clip(tmp_path / "a clip.mp4", 33), VideoLimits())


def test_every_frame_is_drawn_in_its_place(clip: Clip) -> None:
    sheet = np.asarray(contact_sheet([clip], 32)).astype(int)
    strip = sheet[46 + 50]  # a row of pixels through the first row of thumbnails, 160 px wide
    frames = [frame for pair in clip.pairs for frame in pair]
    lefts = [16 + moment * (2 * 160 + 4 + 16) + place * 164 for moment in range(4) for place in range(2)]
    drawn = [strip[left + 80].mean() for left in lefts]
    assert drawn == pytest.approx([frame.mean() for frame in frames], abs=2)


def test_stamps_and_tokens_are_written_below(clip: Clip) -> None:
    sheet = np.asarray(contact_sheet([clip], 32))
    other = np.asarray(contact_sheet([clip], 16))  # four times the tokens
    height = round(160 * clip.plan.height / clip.plan.width)
    below, lines = 46 + height, slice(16, 16 + 320)
    assert sheet[below + 2 : below + 19, lines].min() < 100
    assert sheet[below + 19 : below + 36, lines].min() < 200
    assert np.array_equal(sheet[below + 2 : below + 19], other[below + 2 : below + 19])
    assert not np.array_equal(sheet[below + 19 : below + 36, lines], other[below + 19 : below + 36, lines])


def test_white_frames_can_be_told_from_the_paper(tmp_path: Path) -> None:
    Image.new("RGB", (64, 64), (255, 255, 255)).save(tmp_path / "white.png")
    white = load_clip(tmp_path / "white.png", VideoLimits())
    sheet = np.asarray(contact_sheet([white], 32))
    row = sheet[46 + 80, :, 0]
    assert np.flatnonzero(row < 230).tolist() == [15, 16 + 160, 16 + 164 - 1, 16 + 164 + 160]


def test_several_clips_stand_below_each_other(clip: Clip) -> None:
    one, two = contact_sheet([clip], 32), contact_sheet([clip, clip], 32)
    assert (two.width, two.height) == (one.width, 2 * one.height)


def test_a_kind_of_file_that_cannot_be_written_is_said(clip: Clip, tmp_path: Path) -> None:
    save_contact_sheet(tmp_path / "sheet.png", [clip], 32)
    assert (tmp_path / "sheet.png").stat().st_size > 1000
    for name, reason in (
        ("sheet.xyz", "unknown file extension; try a .png"),
        ("absent/a.png", "No such file.*y"),
    ):
        with pytest.raises(MediaError, match=rf"{name}: the contact sheet cannot be written \({reason}\)$"):
            save_contact_sheet(tmp_path / name, [clip], 32)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a clip.mp4", "sheet.png"]


def test_a_sheet_that_cannot_be_written_leaves_the_old_one(
    clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "sheet.png"
    save_contact_sheet(path, [clip], 32)
    before = path.read_bytes()

    def fill_the_disk(_: Image.Image, to: Path) -> None:
        to.write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", fill_the_disk)
    with pytest.raises(MediaError, match="No space left"):
        save_contact_sheet(path, [clip], 32)
    assert path.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a clip.mp4", "sheet.png"]


def test_too_many_frames_for_a_sheet_are_said(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "long.avi", 768, size=(32, 96))
    clip = load_clip(path, VideoLimits(), ClipOptions(n_frames=768))
    with pytest.raises(MediaError, match="--frames"):
        contact_sheet([clip] * 4, 32)
