from pathlib import Path

import pytest
from PIL import Image

from qwen3vl_edge.clips import Clip, ClipOptions
from qwen3vl_edge.errors import MediaError
from qwen3vl_edge.limits import VideoLimits
from qwen3vl_edge.video import load_clip, load_frames
from tests.damaged_clips import write_animation

LIMITS = VideoLimits()


def levels(clip: Clip) -> list[int]:
    """Tell the frames of `write_animation` and `write_stills` apart by their brightness."""
    return [round((float(frame.mean()) - 10) / 20) for pair in clip.pairs for frame in pair]


def write_stills(folder: Path, names: list[str]) -> list[Path]:
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(names):
        Image.new("RGB", (96, 64), (20 * number + 10,) * 3).save(folder / name)
    return [folder / name for name in names]


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_an_animation_is_a_clip(tmp_path: Path, suffix: str) -> None:
    clip = load_clip(write_animation(tmp_path / f"a{suffix}", [100] * 10), LIMITS)
    assert (clip.footage.n_frames, clip.footage.fps) == (10, 10.0)
    assert clip.plan.indices == (0, 3, 6, 9)
    assert levels(clip) == [0, 3, 6, 9]
    assert clip.plan.stamps_s == (0.15, 0.75)


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_frames_of_an_animation_are_seen_as_long_as_they_say(tmp_path: Path, suffix: str) -> None:
    clip = load_clip(
        write_animation(tmp_path / f"a{suffix}", [200, 1000, 300]), LIMITS, ClipOptions(fps=10.0)
    )
    assert (clip.footage.n_frames, clip.footage.fps) == (15, 10.0)
    assert levels(clip) == [0] * 2 + [1] * 10 + [2] * 4  # the last one twice: their number is odd


def test_an_animation_is_known_by_its_bytes_not_by_its_name(tmp_path: Path) -> None:
    path = write_animation(tmp_path / "a.gif", [100] * 6).rename(tmp_path / "a.mp4")
    assert load_clip(path, LIMITS).footage.n_frames == 6


def test_transparency_in_an_animation_is_laid_on_white(tmp_path: Path) -> None:
    frames = [Image.new("RGBA", (64, 64), (255, 0, 0, alpha)) for alpha in (0, 255)]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:], duration=500, lossless=True)
    clip = load_clip(tmp_path / "a.webp", LIMITS)
    assert clip.pairs[0][0].min() == 255
    assert clip.pairs[0][1][..., 1].max() == 0


def test_frames_behind_damage_are_left_out_and_that_is_said(tmp_path: Path) -> None:
    path = write_animation(tmp_path / "a.gif", [100] * 20)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    clip = load_clip(path, LIMITS)
    assert 5 <= clip.footage.n_frames < 20
    assert len(clip.pairs) == len(clip.plan.stamps_s)


def test_a_folder_is_a_clip_in_the_order_of_its_numbers(tmp_path: Path) -> None:
    write_stills(tmp_path / "film", [f"frame {number}.png" for number in range(12)])
    (tmp_path / "film" / "notes.txt").write_text("no frame")
    clip = load_clip(tmp_path / "film", LIMITS)
    assert levels(clip) == list(range(12))
    assert clip.plan.stamps_s == (0.25, 1.25, 2.25, 3.25, 4.25, 5.25)  # two a second


def test_the_pictures_of_a_folder_come_as_fast_as_is_said(tmp_path: Path) -> None:
    write_stills(tmp_path / "film", [f"{number}.png" for number in range(10)])
    clip = load_clip(tmp_path / "film", LIMITS, ClipOptions(fps=10.0))
    assert levels(clip) == list(range(10))
    assert clip.plan.stamps_s == pytest.approx((0.05, 0.25, 0.45, 0.65, 0.85))


def test_hidden_files_are_no_frames(tmp_path: Path) -> None:
    """``._1.png`` is what macOS writes beside ``1.png``."""
    write_stills(tmp_path / "film", [f"{number}.png" for number in range(4)])
    for number in range(4):
        (tmp_path / "film" / f"._{number}.png").write_bytes(b"\0\5\x16\7" + bytes(100))
    clip = load_clip(tmp_path / "film", LIMITS)
    assert levels(clip) == [0, 1, 2, 3]
    assert clip.notes == ()


def test_a_frame_that_cannot_be_opened_is_replaced_like_a_damaged_one(tmp_path: Path) -> None:
    write_stills(tmp_path / "film", ["0.png"])
    (tmp_path / "film" / "1.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "film" / "2.png").mkdir()
    clip = load_clip(tmp_path / "film", LIMITS)
    assert levels(clip) == [0, 0]
    (note,) = clip.notes
    assert "1.png cannot be read" in note


def test_a_frame_that_is_a_program_for_a_printer_is_not_run(tmp_path: Path) -> None:
    """Pillow would have Ghostscript run what is EPS by its content."""
    write_stills(tmp_path / "film", [f"{number}.png" for number in range(4)])
    program = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 96 64\n%%EndComments\nshowpage\n%%EOF\n"
    (tmp_path / "film" / "2.png").write_bytes(program)
    clip = load_clip(tmp_path / "film", LIMITS)
    assert levels(clip) == [0, 1, 1, 3]
    (note,) = clip.notes
    assert "2.png cannot be read" in note


@pytest.mark.parametrize(
    "names",
    [
        ["shot 62.5s.png", "shot 60s.png", "shot 64s.png"],
        ["a_62500ms.png", "a_60000ms.png", "a_64000ms.png"],
        ["cam 00-01-02.500.png", "cam 00-01-00.png", "cam 00-01-04.png"],
    ],
)
def test_pictures_with_their_time_in_their_name_are_shown_at_that_time(
    tmp_path: Path, names: list[str]
) -> None:
    write_stills(tmp_path / "film", names)
    clip = load_clip(tmp_path / "film", LIMITS, ClipOptions(fps=2.0))
    assert clip.footage.start_s == 60.0
    shown = dict(zip(clip.plan.indices, levels(clip), strict=True))
    times = {60.0 + index / clip.plan.fps: level for index, level in shown.items()}
    assert all(level == (1 if time < 62.5 else 0 if time < 64.0 else 2) for time, level in times.items())
    assert min(times) == 60.0
    assert max(times) == 64.0
    assert 60.0 < clip.plan.stamps_s[0] < 62.0


def test_two_pictures_of_one_time_are_refused(tmp_path: Path) -> None:
    write_stills(tmp_path / "film", ["a 1s.png", "b 1.0s.png"])
    with pytest.raises(MediaError, match="same time"):
        load_clip(tmp_path / "film", LIMITS)


def test_a_list_of_pictures_is_a_clip_in_its_order(tmp_path: Path) -> None:
    paths = write_stills(tmp_path, ["c.png", "a.png", "b.png"])
    assert levels(load_frames(paths, LIMITS)) == [0, 1, 2, 2]
    with pytest.raises(MediaError, match="no pictures"):
        load_frames([], LIMITS)


def test_the_same_pictures_elsewhere_are_the_same_to_the_encoder(tmp_path: Path) -> None:
    ours, theirs = (
        load_clip(write_stills(tmp_path / name, ["1.png", "2.png", "3.png", "4.png"])[0].parent, LIMITS)
        for name in ("ours", "theirs")
    )
    assert [moment.digest for moment in ours.moments] == [moment.digest for moment in theirs.moments]


def spoil(path: Path, how: str) -> None:
    """Damage a picture: before its first bytes end, behind them, or altogether."""
    noise = Image.effect_noise((96, 64), 80).convert("RGB")
    noise.save(path)
    whole = path.read_bytes()
    path.write_bytes({"body": whole[: len(whole) // 2], "head": whole[:20], "empty": b""}[how])


@pytest.mark.parametrize("how", ["body", "head", "empty"])
@pytest.mark.parametrize(
    ("damaged", "shown"), [([2], [0, 1, 1, 3]), ([0], [1, 1, 2, 3]), ([0, 1, 3], [2, 2, 2, 2])]
)
def test_damaged_pictures_in_a_folder_are_used_around(
    tmp_path: Path, how: str, damaged: list[int], shown: list[int]
) -> None:
    paths = write_stills(tmp_path / "film", ["1.png", "2.png", "3.png", "4.png"])
    for number in damaged:
        spoil(paths[number], how)
    clip = load_clip(tmp_path / "film", LIMITS)
    assert levels(clip) == shown
    (note,) = clip.notes
    others = f" and {len(damaged) - 1} more" if len(damaged) > 1 else ""
    assert note == (
        f"film: {damaged[0] + 1}.png{others} cannot be read; the picture beside is shown in its place"
    )
    again = load_clip(tmp_path / "film", LIMITS)
    assert [moment.digest for moment in again.moments] == [moment.digest for moment in clip.moments]


@pytest.mark.parametrize("how", ["body", "head", "empty"])
def test_what_is_shown_for_the_same_damage_elsewhere_is_told_apart(tmp_path: Path, how: str) -> None:
    """Encoder outputs are kept by the digest: it must tell what stands in for a damaged picture."""
    clips = []
    for name, brighter in (("ours", 0), ("theirs", 60)):
        paths = write_stills(tmp_path / name, ["1.png", "2.png", "3.png", "4.png"])
        Image.new("RGB", (96, 64), (brighter,) * 3).save(paths[1])
        for path in paths[2:]:
            spoil(paths[2], how)
            path.write_bytes(paths[2].read_bytes())
        clips.append(load_clip(tmp_path / name, LIMITS))
    digests, frames = zip(*((clip.moments[1].digest, clip.pairs[1][0].mean()) for clip in clips), strict=True)
    assert frames[0] != frames[1]
    assert digests[0] != digests[1]


def test_a_folder_in_which_nothing_can_be_read_is_refused(tmp_path: Path) -> None:
    for number, path in enumerate(write_stills(tmp_path / "film", ["1.png", "2.png", "3.png"])):
        spoil(path, ["body", "head", "empty"][number])
    with pytest.raises(MediaError, match="film: none of its 3 pictures can be read"):
        load_clip(tmp_path / "film", LIMITS)


def test_pictures_of_other_sizes_take_the_first_one_s(tmp_path: Path) -> None:
    write_stills(tmp_path / "film", ["1.png", "2.png"])
    Image.new("RGB", (300, 200)).save(tmp_path / "film" / "2.png")
    clip = load_clip(tmp_path / "film", LIMITS)
    assert clip.pairs[0][0].shape == clip.pairs[0][1].shape == (clip.plan.height, clip.plan.width, 3)
