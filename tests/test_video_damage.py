import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qwen3vl_edge.errors import MediaError
from qwen3vl_edge.limits import VideoLimits
from qwen3vl_edge.video import load_clip
from tests.damaged_clips import write_damaged, write_film

_N_FILES, _LONGEST_S = 300, 10.0


def test_damaged_files_are_shown_as_far_as_they_go_or_refused(tmp_path: Path) -> None:
    """No crash (they are read in a child process), no error that is not ours, no long wait."""
    paths = write_damaged(tmp_path, _N_FILES, seed=0)
    command = [sys.executable, "-m", "tests.damaged_clips", *map(str, paths)]
    folder = Path(__file__).resolve().parents[1]
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    reports = [json.loads(line) for line in done.stdout.splitlines()]
    crashed = [path.name for path in paths[len(reports) :]][:1]
    assert (done.returncode, crashed) == (0, []), done.stderr[-500:]
    assert [report for report in reports if report["bug"]] == []
    assert [report for report in reports if report["seconds"] > _LONGEST_S] == []
    assert sum(report["pairs"] > 0 for report in reports) > _N_FILES // 3
    assert all(report["pairs"] or str(tmp_path) in report["error"] for report in reports)
    assert [report for report in reports if "\n" in report["error"]] == []


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".mkv"])
def test_a_hole_in_the_middle_is_passed_over(tmp_path: Path, suffix: str) -> None:
    path = write_film(tmp_path / f"hole{suffix}", 400, 25.0, (320, 240))
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 600] = bytes(600)
    path.write_bytes(data)
    clip = load_clip(path, VideoLimits())
    assert clip.footage.n_frames > 390
    levels = [round((float(frame.mean()) - 8) / 5) for pair in clip.pairs for frame in pair]
    # an AVI has no clock: behind the hole its frames are counted on, without the lost one
    near = [abs(level - index % 40) <= 1 for level, index in zip(levels, clip.plan.indices, strict=True)]
    assert all(near[: len(near) // 3])
    assert sum(near[-len(near) // 3 :]) >= len(near) // 3 - 1


@pytest.mark.filterwarnings("ignore::UserWarning")  # of Pillow, at damage
@pytest.mark.parametrize("seed", range(8))
def test_folders_of_damaged_pictures_are_shown_as_far_as_they_go(tmp_path: Path, seed: int) -> None:
    """Real pictures of every kind, cut off, spoiled or swapped; some whole ones among them."""
    random = np.random.default_rng(seed)
    suffixes = [".png", ".jpg", ".webp", ".gif", ".bmp", ".tif"]
    for number in range(40):
        path = tmp_path / f"{number}{random.choice(suffixes)}"
        Image.fromarray(random.integers(0, 256, (48, 64, 3), np.uint8)).save(path)
        raw = bytearray(path.read_bytes())
        if number % 4:
            for place in random.integers(len(raw), size=20):
                raw[place] ^= 1 << int(random.integers(8))
            del raw[int(random.integers(len(raw))) :]
        path.write_bytes(raw)
    clip = load_clip(tmp_path, VideoLimits())
    assert len(clip.pairs) == 20
    (note,) = clip.notes
    assert " more cannot be read; the picture beside is shown in its place" in note


def test_a_clip_of_8k_is_shown(tmp_path: Path) -> None:
    clip = load_clip(write_film(tmp_path / "wide.avi", 3, 2.0, (7680, 4320)), VideoLimits())
    assert (clip.footage.width, clip.footage.height, clip.notes) == (7680, 4320, ())
    assert clip.pairs[0][0].shape == (clip.plan.height, clip.plan.width, 3)
    assert clip.plan.n_tokens(32) <= 2 * 768


@pytest.mark.parametrize("claimed", [10**12, 2**31 - 1])
def test_a_container_that_claims_to_be_endless_is_measured(
    tmp_path: Path, claimed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qwen3vl_edge.video.capture import Capture  # noqa: PLC0415 -- for this test alone

    path = write_film(tmp_path / "endless.avi", 40, 25.0)
    init = Capture.__init__

    def with_claim(self: Capture, path: Path) -> None:
        init(self, path)
        self.n_claimed = claimed

    monkeypatch.setattr(Capture, "__init__", with_claim)
    clip = load_clip(path, VideoLimits())
    assert clip.plan.indices[-1] == 39
    assert "only 1.6 s" in clip.notes[0]


def test_a_file_without_one_whole_frame_is_refused(tmp_path: Path) -> None:
    path = write_film(tmp_path / "shell.mkv", 20)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 10])
    with pytest.raises(MediaError, match=r"shell\.mkv: "):
        load_clip(path, VideoLimits())
