"""The real command with the demo model, whatever happens to it: ``make proof`` runs the whole.

What runs with the other tests is the same with fewer pictures.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.captions.poisoned_files import put_odd_things, put_poison, put_unreadable
from tests.captions.proof_cases import Proof, captions_kept, killed_often, put_world, share_right
from tests.captions.small_disk import small_disk_at

_WHOLE = pytest.mark.proof
_N_PICTURES, _N_FEW = 300, 60
_DISK_BYTES = 8 << 20

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kills groups of processes, mounts disks")


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], dict[str, str]]:
    """What the pictures show, and what is said of them where nothing happens."""
    proof = Proof(tmp_path_factory.mktemp("calm"))
    shown = put_world(proof.pictures, _N_PICTURES)
    code, said = proof.run()
    assert code == 0, said
    return shown, captions_kept(proof, {})


def of_first(captions: dict[str, str], n_pictures: int) -> dict[str, str]:
    return {name: captions[name] for name in sorted(captions)[:n_pictures]}


def without_rights() -> list[str]:
    """Give how to start a program that may not read everything, though root starts it."""
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("root reads every file")
    return ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]


def test_what_is_said_is_right(calm: tuple[dict[str, str], dict[str, str]]) -> None:
    shown, captions = calm
    assert captions.keys() == shown.keys()
    assert share_right(captions, shown) >= 0.9


@pytest.mark.parametrize(("n_pictures", "n_kills"), [(_N_FEW, 4), pytest.param(300, 30, marks=_WHOLE)])
def test_killed_at_random_moments(
    n_pictures: int, n_kills: int, calm: tuple[dict[str, str], dict[str, str]], tmp_path: Path
) -> None:
    proof = Proof(tmp_path)
    put_world(proof.pictures, n_pictures)
    n_killed = killed_often(proof, n_kills, n_pictures, seed=n_kills)
    code, said = proof.run()
    assert code == 0, said
    assert captions_kept(proof, {}) == of_first(calm[1], n_pictures)
    assert n_killed >= 0.7 * n_kills


@pytest.mark.parametrize(("n_pictures", "n_kills"), [(_N_FEW, 0), pytest.param(300, 30, marks=_WHOLE)])
def test_among_poisoned_files(
    n_pictures: int, n_kills: int, calm: tuple[dict[str, str], dict[str, str]], tmp_path: Path
) -> None:
    proof = Proof(tmp_path, prefix=without_rights())
    put_world(proof.pictures, n_pictures)
    errors = put_poison(proof.pictures) | put_unreadable(proof.pictures)
    assert len(errors) >= 40
    put_odd_things(proof.pictures)
    killed_often(proof, n_kills, n_pictures + len(errors), seed=1)
    code, said = proof.run("--retry-failed")
    assert code == 1
    assert captions_kept(proof, errors) == of_first(calm[1], n_pictures)
    assert all(name in said for name in errors)
    assert f"{len(errors)} failed" in said


@pytest.mark.parametrize("n_pictures", [_N_FEW, pytest.param(300, marks=_WHOLE)])
def test_a_worker_that_aborts_every_25_pictures_and_files_that_vanish(
    n_pictures: int, calm: tuple[dict[str, str], dict[str, str]], tmp_path: Path
) -> None:
    hostile = (sys.executable, "-P", str(Path(__file__).with_name("hostile_command.py")))
    proof = Proof(tmp_path, hostile)
    put_world(proof.pictures, n_pictures)
    vanishing = [f"vanish{number}.png" for number in range(5)]
    for number, name in enumerate(vanishing):
        shutil.copyfile(proof.pictures / f"{10 * number:03}.png", proof.pictures / name)
    log = tmp_path / "log"
    code, said = proof.run("--log", str(log))
    assert code == 1, said
    errors = dict.fromkeys(vanishing, "cannot be read")
    assert captions_kept(proof, errors) == of_first(calm[1], n_pictures)
    assert log.read_text().count("GGML_ASSERT(n_pictures < 25) failed") >= n_pictures // 25


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of eight mebibytes; only root can make one."""
    with small_disk_at(tmp_path / "disk", _DISK_BYTES) as disk:
        yield disk


@pytest.mark.parametrize(
    ("n_pictures", "rooms"), [(_N_FEW, (150, 300)), pytest.param(300, range(0, 300, 12), marks=_WHOLE)]
)
def test_on_a_full_disk(
    n_pictures: int,
    rooms: tuple[int, ...],
    calm: tuple[dict[str, str], dict[str, str]],
    tmp_path: Path,
    small_disk: Path,
) -> None:
    """The disk is full again and again, each time a little later; the pictures lie on another one."""
    put_world(tmp_path / "elsewhere", n_pictures)
    proof = Proof(small_disk)
    proof.pictures.mkdir()
    for picture in (tmp_path / "elsewhere").iterdir():
        (proof.pictures / picture.name).symlink_to(picture)
    ballast = small_disk / "ballast"
    n_full = 0
    for room in rooms:
        used = sum(path.lstat().st_blocks for path in small_disk.rglob("*")) * 512
        ballast.write_bytes(bytes(max(0, _DISK_BYTES - used - (room << 10))))
        code, said = proof.run()
        if code:
            n_full += 1
            assert "cannot be written" in said and "run the same command again" in said
        ballast.unlink()
    assert n_full >= len(rooms) // 3
    code, said = proof.run()
    assert code == 0, said
    assert captions_kept(proof, {}) == of_first(calm[1], n_pictures)
