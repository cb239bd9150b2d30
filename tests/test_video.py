import os
import struct
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from qwen3vl_edge.clips import ClipOptions
from qwen3vl_edge.errors import MediaError, UsageError
from qwen3vl_edge.images import Pixels
from qwen3vl_edge.limits import VideoLimits
from qwen3vl_edge.video import load_clip
from qwen3vl_edge.video.capture import Capture
from tests.mp4_boxes import with_hold, with_rotation

LIMITS = VideoLimits()
CODECS = {".mp4": "mp4v", ".avi": "MJPG", ".webm": "VP80", ".mkv": "VP90"}
_N_LEVELS = 40


def write_clip(path: Path, n_frames: int, fps: float = 8.0, size: tuple[int, int] = (96, 64)) -> Path:
    """A real file whose frames get brighter by 5 levels each, 40 times over."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*CODECS[path.suffix]), fps, size)
    assert writer.isOpened()
    for index in range(n_frames):
        writer.write(np.full((size[1], size[0], 3), 5 * (index % _N_LEVELS) + 10, np.uint8))
    writer.release()
    return path


def numbers(frames: list[Pixels]) -> list[int]:
    """Tell frames of `write_clip` apart by their brightness; codecs make them a little darker."""
    return [round((float(frame.mean()) - 8) / 5) for frame in frames]


def frames_of(path: Path, options: ClipOptions | None = None) -> list[Pixels]:
    clip = load_clip(path, LIMITS, options or ClipOptions())
    return [frame for pair in clip.pairs for frame in pair]


@pytest.mark.parametrize("name", ["clip.mp4", "clip.avi", "clip.webm", "clip.mkv", "Umlaut ö — 50%02d.mp4"])
def test_frames_are_the_planned_ones(tmp_path: Path, name: str) -> None:
    clip = load_clip(write_clip(tmp_path / name, 33), LIMITS)
    assert clip.plan.indices == (0, 5, 9, 14, 18, 23, 27, 32)
    assert clip.plan.stamps_s == (0.3125, 1.4375, 2.5625, 3.6875)
    frames = [frame for pair in clip.pairs for frame in pair]
    assert {frame.shape for frame in frames} == {(clip.plan.height, clip.plan.width, 3)}
    assert numbers(frames) == list(clip.plan.indices)
    assert clip.notes == ()


@pytest.mark.parametrize("suffix", CODECS)
def test_seeking_leads_to_the_same_frames_as_decoding_all(tmp_path: Path, suffix: str) -> None:
    path = write_clip(tmp_path / f"long{suffix}", 900, 29.97)
    clip = load_clip(path, LIMITS, ClipOptions(n_frames=12))
    sought = [frame for pair in clip.pairs for frame in pair]
    assert numbers(sought) == [index % _N_LEVELS for index in clip.plan.indices]
    backwards = [moment.frames for moment in reversed(clip.moments)]
    assert numbers([frame for pair in reversed(backwards) for frame in pair]) == numbers(sought)


def test_far_frames_are_not_reached_by_decoding_all_before_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_clip(tmp_path / "long.mp4", 3000, 25.0)
    n_grabbed = []
    grab = Capture.grab
    monkeypatch.setattr(Capture, "grab", lambda self: n_grabbed.append(1) or grab(self))
    frames_of(path, ClipOptions(start_s=100.0, n_frames=2))
    assert len(n_grabbed) < 600


def test_channels_are_in_rgb_order(tmp_path: Path) -> None:
    writer = cv2.VideoWriter(str(tmp_path / "red.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 4.0, (64, 64))
    for _ in range(4):
        writer.write(np.full((64, 64, 3), (0, 0, 255), np.uint8))  # OpenCV writes blue first
    writer.release()
    frame = frames_of(tmp_path / "red.avi")[0]
    assert frame[..., 0].min() > 200
    assert frame[..., 2].max() < 50


def test_one_frame_is_shown_as_a_pair(tmp_path: Path) -> None:
    clip = load_clip(write_clip(tmp_path / "one.mp4", 1), LIMITS)
    assert clip.plan.indices == (0, 0)
    assert len(clip.pairs) == 1


@pytest.mark.parametrize("size", [(98, 66), (34, 30), (640, 34)])
def test_odd_sizes_are_fitted(tmp_path: Path, size: tuple[int, int]) -> None:
    path = write_clip(tmp_path / "odd.avi", 6, size=size)
    assert numbers(frames_of(path)) == [0, 1, 2, 3, 4, 5] or len(frames_of(path)) == 4


def test_a_clip_recorded_on_its_side_is_turned_upright(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "side.mp4", 8, size=(96, 64))
    path.write_bytes(with_rotation(path.read_bytes()))
    clip = load_clip(path, LIMITS)
    assert (clip.footage.width, clip.footage.height) == (64, 96)
    assert clip.plan.width < clip.plan.height
    assert clip.pairs[0][0].shape == (clip.plan.height, clip.plan.width, 3)


def test_frames_that_do_not_come_evenly_are_taken_by_their_time(tmp_path: Path) -> None:
    """Frame 9 is held for two seconds: what is seen at 1.5 s is still frame 9, and stamps are true."""
    path = write_clip(tmp_path / "uneven.mp4", 20, 10.0)
    path.write_bytes(with_hold(path.read_bytes(), 9, 2.0))
    clip = load_clip(path, LIMITS, ClipOptions(fps=4.0))
    shown = numbers([frame for pair in clip.pairs for frame in pair])
    times = [index / clip.plan.fps for index in clip.plan.indices]
    assert times[-1] == pytest.approx(3.8, abs=0.3)
    for time, number in zip(times, shown, strict=True):
        half = 0.5 / clip.plan.fps
        starts = [0.1 * n if n <= 9 else 2.8 + 0.1 * (n - 9) for n in range(20)]
        seen = {n for n in range(20) for t in (time - half, time, time + half) if _seen(starts, t) == n}
        assert number in seen, (time, number)


def _seen(starts: list[float], time: float) -> int:
    return max(sum(start <= time + 1e-6 for start in starts) - 1, 0)


def test_a_moment_is_known_before_it_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_clip(tmp_path / "clip.mp4", 33)
    first = load_clip(path, LIMITS)
    twin = tmp_path / "elsewhere.avi"
    twin.write_bytes(path.read_bytes())
    monkeypatch.setattr(Capture, "retrieve", _only_first(Capture.retrieve))
    second = load_clip(twin, LIMITS)
    assert [moment.digest for moment in first.moments] == [moment.digest for moment in second.moments]
    assert len({moment.digest for moment in first.moments}) == len(first.moments)


def _only_first(retrieve: Callable[[Capture], Image.Image | None]) -> Callable[[Capture], Image.Image | None]:
    def retrieve_once(self: Capture) -> Image.Image | None:
        assert self.number == 0, "decoded before it is asked for"
        return retrieve(self)

    return retrieve_once


@pytest.mark.parametrize(
    "options", [ClipOptions(max_frame_tokens=2), ClipOptions(start_s=0.5), ClipOptions(n_frames=2)]
)
def test_what_looks_different_has_another_digest(tmp_path: Path, options: ClipOptions) -> None:
    path = write_clip(tmp_path / "clip.mp4", 33)
    ours = {moment.digest for moment in load_clip(path, LIMITS).moments}
    assert ours.isdisjoint(moment.digest for moment in load_clip(path, LIMITS, options).moments)


def test_another_file_has_other_digests(tmp_path: Path) -> None:
    one, other = write_clip(tmp_path / "a.mp4", 20), write_clip(tmp_path / "b.mp4", 20, size=(96, 96))
    digests = {moment.digest for path in (one, other) for moment in load_clip(path, LIMITS).moments}
    assert len(digests) == 2 * len(load_clip(one, LIMITS).moments)


def test_a_file_that_changes_after_it_was_planned_is_not_shown(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", 33)
    clip = load_clip(path, LIMITS)
    write_clip(path, 20, size=(128, 64))
    with pytest.raises(MediaError, match="has changed"):
        _ = clip.pairs


def test_a_container_that_promises_too_much_is_shown_up_to_where_it_goes(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "short.mkv", 600, 25.0, size=(320, 240))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    clip = load_clip(path, LIMITS)
    assert 100 < clip.footage.n_frames < 500
    assert clip.plan.indices[-1] == clip.footage.n_frames - 1
    assert numbers([clip.moments[-1].frames[-1]]) == [clip.plan.indices[-1] % _N_LEVELS]
    assert len(clip.notes) == 1
    assert "short.mkv: only" in clip.notes[0]
    assert "of the 24.0 s" in clip.notes[0]


def test_a_clip_recorded_live_has_its_frames_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such containers state no length; OpenCV then reports a large negative number of frames."""
    path = write_clip(tmp_path / "live.mp4", 300)
    init = Capture.__init__

    def without_length(self: Capture, path: Path) -> None:
        init(self, path)
        self.n_claimed = 0

    monkeypatch.setattr(Capture, "__init__", without_length)
    clip = load_clip(path, LIMITS)
    assert clip.plan.indices[-1] == 299
    assert numbers([frame for pair in clip.pairs for frame in pair]) == [
        index % _N_LEVELS for index in clip.plan.indices
    ]


def test_frames_are_let_go_once_they_are_read(tmp_path: Path) -> None:
    clip = load_clip(write_clip(tmp_path / "clip.mp4", 33), LIMITS)
    once, again = clip.moments[0].frames, clip.moments[0].frames
    assert once[0] is not again[1]
    assert np.array_equal(once[0], again[0])


def _sound(path: Path) -> None:
    path.write_bytes(b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0" + bytes(300))


def _sound_in_a_container(path: Path) -> None:
    track = struct.pack(">I4s", 24, b"hdlr") + bytes(8) + b"soun" + bytes(4)
    path.write_bytes(struct.pack(">I4s", 16, b"ftyp") + b"isom" + bytes(4))
    with path.open("ab") as file:
        file.write(struct.pack(">I4s", 8 + len(track), b"moov") + track)


def _without_index(path: Path) -> None:
    write_clip(path, 20)
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"moov") - 4])


def _playlist(path: Path) -> None:
    path.write_text("#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: None, "no such clip"),
        (lambda path: path.write_text("no clip"), "not a clip"),
        (lambda path: path.write_bytes(b""), "empty"),
        (lambda path: path.write_bytes(bytes(5000)), "empty"),
        (lambda path: path.mkdir(), "folder without pictures"),
        (_sound, "only sound"),
        (_sound_in_a_container, "only sound"),
        (_without_index, r"index \(the moov box\) is missing"),
        (_playlist, "playlist"),
    ],
)
def test_what_is_wrong_and_where_is_said(tmp_path: Path, make: Callable[[Path], object], said: str) -> None:
    path = tmp_path / "clip.mp4"
    make(path)
    with pytest.raises(MediaError, match=said) as caught:
        load_clip(path, LIMITS)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_name_that_is_no_text_is_read(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", 4)
    odd = Path(os.fsdecode(bytes(tmp_path) + b"/\xff.mp4"))
    path.rename(odd)
    assert numbers(frames_of(odd)) == [0, 1, 2, 3]


def test_a_range_outside_the_clip_is_said_with_its_name(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", 16)
    with pytest.raises(UsageError, match=r"clip\.mp4: .* from 0\.00 s to 2\.00 s"):
        load_clip(path, LIMITS, ClipOptions(start_s=60.0))


def test_stamps_rise(tmp_path: Path) -> None:
    stamps = load_clip(write_clip(tmp_path / "clip.mp4", 90), LIMITS).plan.stamps_s
    assert all(a < b for a, b in pairwise(stamps))


def test_more_frames_a_second_than_the_model_takes_are_said(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", 80)
    few = VideoLimits(max_frames=16)
    assert load_clip(path, few, ClipOptions(fps=1.0)).notes == ()
    clip = load_clip(path, few, ClipOptions(fps=8.0))
    assert len(clip.plan.indices) == 16
    assert "8 frames a second would be 80; the model takes 16" in clip.notes[0]
    assert len(load_clip(path, few, ClipOptions(n_frames=80)).plan.indices) == 80
