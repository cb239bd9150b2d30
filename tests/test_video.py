from pathlib import Path

import cv2
import numpy as np
import pytest

from qwen3vl_edge.clips import Footage
from qwen3vl_edge.errors import MediaError
from qwen3vl_edge.limits import VideoLimits
from qwen3vl_edge.video import load_clip

LIMITS = VideoLimits()


def write_clip(path: Path, n_frames: int, fps: float = 8.0, size: tuple[int, int] = (96, 64)) -> Path:
    """A real file whose frames get brighter by 5 levels each."""
    codec = cv2.VideoWriter.fourcc(*("MJPG" if path.suffix == ".avi" else "mp4v"))
    writer = cv2.VideoWriter(str(path), codec, fps, size)
    for index in range(n_frames):
        writer.write(np.full((size[1], size[0], 3), 5 * index + 10, np.uint8))
    writer.release()
    return path


@pytest.mark.parametrize("name", ["clip.mp4", "clip.avi", "Umlaut ö — clip.mp4"])
def test_frames_are_the_planned_ones(tmp_path: Path, name: str) -> None:
    clip = load_clip(write_clip(tmp_path / name, 33), LIMITS)
    assert clip.plan.indices == (0, 5, 9, 14, 18, 23, 27, 32)
    for (first, second), a, b in zip(
        clip.pairs, clip.plan.indices[::2], clip.plan.indices[1::2], strict=True
    ):
        assert first.shape == (clip.plan.height, clip.plan.width, 3)
        assert abs(float(first.mean()) - (5 * a + 10)) < 4
        assert abs(float(second.mean()) - (5 * b + 10)) < 4


def test_channels_are_in_rgb_order(tmp_path: Path) -> None:
    writer = cv2.VideoWriter(str(tmp_path / "red.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 4.0, (64, 64))
    for _ in range(4):
        writer.write(np.full((64, 64, 3), (0, 0, 255), np.uint8))  # OpenCV writes blue first
    writer.release()
    frame = load_clip(tmp_path / "red.avi", LIMITS).pairs[0][0]
    assert frame[..., 0].min() > 200
    assert frame[..., 2].max() < 50


def test_one_frame_is_shown_as_a_pair(tmp_path: Path) -> None:
    clip = load_clip(write_clip(tmp_path / "one.mp4", 1), LIMITS)
    assert clip.plan.indices == (0, 0)
    assert len(clip.pairs) == 1


def test_a_container_that_promises_too_much_is_planned_by_what_it_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_clip(tmp_path / "short.mp4", 17)
    monkeypatch.setattr("qwen3vl_edge.video._footage", lambda _: Footage(80, 8.0, 96, 64))
    assert load_clip(path, LIMITS).plan.indices[-1] == 16


def test_a_clip_recorded_live_has_its_frames_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such containers state no length; OpenCV then reports a large negative number of frames."""
    path = write_clip(tmp_path / "live.mp4", 17)
    monkeypatch.setattr("qwen3vl_edge.video._footage", lambda _: Footage(-(2**63), 8.0, 96, 64))
    assert load_clip(path, LIMITS).plan.indices[-1] == 16


def test_what_is_wrong_and_where_is_said(tmp_path: Path) -> None:
    (tmp_path / "notes.mp4").write_text("no clip")
    for name, said in {"absent.mp4": "no such clip", "notes.mp4": "not a clip"}.items():
        with pytest.raises(MediaError, match=said) as caught:
            load_clip(tmp_path / name, LIMITS)
        assert str(tmp_path / name) in str(caught.value)
