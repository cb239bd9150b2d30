"""Text files that are not the picture's own."""

from pathlib import Path

import pytest

from qwen3vl_edge.captions.modes import MODES, Mode
from qwen3vl_edge.errors import UsageError
from tests.captions.run_cases import Case, item_of, settings_for, write_pictures


@pytest.mark.parametrize("suffix", [".png", ".JPG", ".webp", ".mp4"])
def test_text_is_not_written_under_a_suffix_of_pictures(suffix: str, tmp_path: Path) -> None:
    write_pictures(tmp_path / "p", ["a.jpg", "a.png"])
    with pytest.raises(UsageError, match="a suffix of pictures and clips; give one such as"):
        Case(tmp_path / "p", suffix).run()


@pytest.mark.parametrize("mode", MODES)
def test_a_picture_is_not_its_own_caption(mode: Mode, tmp_path: Path) -> None:
    [odd] = write_pictures(tmp_path / "p", ["a.raw"])
    summary = Case(tmp_path / "p", ".raw").run(settings_for(mode=mode), [item_of(odd)])
    assert summary.failures == [f"{odd}: its captions would be written over it; choose another suffix"]
    assert odd.read_bytes() == b"picture a.raw"


@pytest.mark.parametrize("mode", MODES)
def test_what_was_written_for_another_picture_is_no_caption_of_this_one(mode: Mode, tmp_path: Path) -> None:
    case = Case(tmp_path / "p")
    write_pictures(case.folder, ["c.jpg"])
    case.run(settings_for(mode=mode))
    [late] = write_pictures(case.folder, ["c.png"])
    summary = case.run(settings_for(mode=mode))
    assert summary.failures == [f"{late}: c.txt belongs to c.jpg already; rename one, or use -o FILE"]
    assert "c.png" not in case.asked
    assert case.texts() == {"c": "Describe. c.jpg"}


def test_a_text_file_of_the_user_is_that_of_both(tmp_path: Path) -> None:
    case = Case(tmp_path / "p")
    write_pictures(case.folder, ["c.jpg", "c.png"])
    (case.folder / "c.txt").write_text("by hand")
    assert case.run().skipped == {"has a caption": 2}
    assert case.texts() == {"c": "by hand"}
