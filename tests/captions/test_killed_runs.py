import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from qwen3vl_edge.captions.modes import Mode
from tests.captions.killed_runs import case_in
from tests.captions.run_cases import settings_for, write_pictures
from tests.captions.test_record_file import captions_in

_N_KILLS = 30
_NAMES = [f"{'bad' if n % 50 == 7 else 'good'}{n:03}.jpg" for n in range(350)]
_ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forks")


def _kill_and_end(folder: Path, mode: Mode, seed: int) -> None:
    command = [
        sys.executable,
        "-m",
        "tests.captions.killed_runs",
        str(folder),
        mode,
        str(_N_KILLS),
        str(seed),
    ]
    said = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, timeout=240, check=True).stdout
    n_killed, most_asked = map(int, said.split())
    assert n_killed == _N_KILLS
    assert most_asked <= _N_KILLS


def _check(folder: Path, expected: dict[str, str]) -> None:
    """Every item is everywhere exactly once, and nothing else is anywhere."""
    for name in ("out.jsonl", "out.csv"):
        found = captions_in(folder / name)
        assert max(Counter(name for name, _ in found).values()) == 1
        assert {name: text for name, text in found if name.startswith("good")} == expected
        assert {name for name, text in found if "damaged" in text} == {
            n for n in _NAMES if n.startswith("bad")
        }
    texts = {f"{stem}.jpg": text for stem, text in case_in(folder).texts().items()}
    assert texts == expected
    assert not list(folder.rglob("*.part"))


def test_killed_at_thirty_moments_every_picture_is_captioned_once(tmp_path: Path) -> None:
    write_pictures(tmp_path / "p", _NAMES)
    _kill_and_end(tmp_path, "skip", 1)
    _check(tmp_path, {name: f"New {name}" for name in _NAMES if name.startswith("good")})


@pytest.mark.parametrize("mode", ["append", "prepend", "overwrite"])
def test_killed_at_thirty_moments_nothing_is_joined_twice(mode: Mode, tmp_path: Path) -> None:
    write_pictures(tmp_path / "p", _NAMES)
    case_in(tmp_path).run(settings_for("Old"))
    (tmp_path / "asked").unlink()
    _kill_and_end(tmp_path, mode, 3)
    form = {"append": "Old {0}, New {0}", "prepend": "New {0}, Old {0}", "overwrite": "New {0}"}[mode]
    _check(tmp_path, {name: form.format(name) for name in _NAMES if name.startswith("good")})
