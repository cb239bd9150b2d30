"""What is collected, from what, and that nothing of it is lost."""

import dataclasses
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from qwen3vl_edge.bundle import Bundle
from qwen3vl_edge.clips import ClipOptions
from qwen3vl_edge.converters import convert
from qwen3vl_edge.errors import EdgeError, GGUFError, UsageError
from qwen3vl_edge.gguf_info import GGUFInfo
from qwen3vl_edge.limits import ImageLimits
from qwen3vl_edge.progress import SILENT, Progress, Task
from qwen3vl_edge.quant.calibration import calibrate as calibrating
from qwen3vl_edge.quant.calibration import collect as collecting
from qwen3vl_edge.quant.calibration.calibrate import CalibrationOptions, Sources, calibrate
from qwen3vl_edge.quant.calibration.collect import Collected
from qwen3vl_edge.quant.calibration.own_data import chunks_of, clips_in, pictures_in, read_text
from qwen3vl_edge.quant.calibration.pieces import TextChunk, in_turn
from qwen3vl_edge.quant.calibration.state import alone
from qwen3vl_edge.quant.gguf_facts import unpadded
from qwen3vl_edge.quant.imatrix import Imatrix
from qwen3vl_edge.quant.imatrix_sums import merge_imatrices
from qwen3vl_edge.runtime.engine_settings import EngineSettings
from tests.damaged_clips import write_film
from tests.prompts import synthetic_pixels
from tests.tiny_checkpoint import TinyShape, write_tiny_checkpoint

SETTINGS = EngineSettings(n_threads=2)
FEW = CalibrationOptions(n_pieces=7, n_answer=2)


def run(
    bundle: Bundle,
    target: Path,
    options: CalibrationOptions = FEW,
    sources: Sources | None = None,
    progress: Progress = SILENT,
) -> Collected:
    return calibrate(bundle, sources or Sources(), target, options, settings=SETTINGS, progress=progress)


class Stopping:
    """Progress that raises `error` once so many pieces are done."""

    def __init__(self, after: int, error: type[BaseException] = KeyboardInterrupt) -> None:
        self._left, self._error = after, error

    @contextmanager
    def task(self, description: str, total: int | None, unit: str) -> Iterator[Task]:
        self._counts = description == "collecting"
        yield self

    def advance(self, amount: int = 1) -> None:
        self._left -= self._counts
        if self._counts and self._left == 0:
            raise self._error


@pytest.fixture(scope="module")
def whole(demo_f32: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The matrix of an uninterrupted run."""
    path = tmp_path_factory.mktemp("whole") / "m.gguf"
    collected = run(demo_f32, path)
    assert collected.n_resumed == 0
    assert set(collected.n_pieces) == {"text", "picture", "clip"}
    assert sum(collected.n_pieces.values()) == FEW.n_pieces
    return path


def test_both_halves_stand_in_one_file(whole: Path) -> None:
    matrix = Imatrix.read(whole)
    halves = [name.split(".")[0] for name in matrix.entries]
    assert halves.count("blk") == 35
    assert halves.count("v") + halves.count("mm") == 32
    assert matrix.datasets == ("qwen3vl-edge default set 1",)
    assert matrix.n_chunks >= 3


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_interrupted_and_gone_on_with_is_the_same(
    demo_f32: Bundle, tmp_path: Path, whole: Path, error: type[BaseException]
) -> None:
    """To the last byte, wherever it was interrupted, even in its last piece."""
    target = tmp_path / "m.gguf"
    for after in (1, 4, 2):
        with pytest.raises(error):
            run(demo_f32, target, progress=Stopping(after, error))
        assert [file.name for file in tmp_path.iterdir()] == ["m.gguf.unfinished"]
    collected = run(demo_f32, target)
    assert collected.n_resumed == 7
    assert target.read_bytes() == whole.read_bytes()
    assert [file.name for file in tmp_path.iterdir()] == ["m.gguf"]


def test_the_state_is_saved_on_the_way(
    demo_f32: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[int] = []
    monkeypatch.setattr(collecting, "_SAVE_EVERY_S", 0.0)
    monkeypatch.setattr(
        "qwen3vl_edge.quant.calibration.state.StateFile.save", lambda _, done: saved.append(done.n_done)
    )
    run(demo_f32, tmp_path / "m.gguf", CalibrationOptions(n_pieces=2, n_answer=0))
    assert saved == [1, 2, 2]


def test_a_full_disk_leaves_the_state_that_was_there(
    demo_f32: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "m.gguf"
    with pytest.raises(KeyboardInterrupt):
        run(demo_f32, target, progress=Stopping(2))
    state = tmp_path / "m.gguf.unfinished"
    before = state.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(OSError, match="No space left") as full:
            run(demo_f32, target, progress=Stopping(2))
    assert full.value.filename == str(state)
    assert state.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["m.gguf.unfinished"]


def test_the_state_of_another_run_is_not_taken(demo_f32: Bundle, tiny_bundle: Bundle, tmp_path: Path) -> None:
    target = tmp_path / "m.gguf"
    with pytest.raises(KeyboardInterrupt):
        run(demo_f32, target, progress=Stopping(2))
    for others in (dataclasses.replace(FEW, n_answer=5), dataclasses.replace(FEW, process_output=True)):
        with pytest.raises(UsageError, match=r"m.gguf.unfinished: was begun with another model, other data"):
            run(demo_f32, target, others)
    with pytest.raises(UsageError, match="was begun with another model"):
        run(tiny_bundle, target)
    assert run(demo_f32, target, dataclasses.replace(FEW, restart=True)).n_resumed == 0


@pytest.mark.parametrize("damage", ["cut", "zip", "text", "pickle"])
def test_a_damaged_state_is_an_error(demo_f32: Bundle, tmp_path: Path, damage: str) -> None:
    target, state = tmp_path / "m.gguf", tmp_path / "m.gguf.unfinished"
    with pytest.raises(KeyboardInterrupt):
        run(demo_f32, target, progress=Stopping(1))
    raw = state.read_bytes()
    if damage == "pickle":
        np.savez(tmp_path / "p.npz", settings=np.array([object()], dtype=object))
        raw = (tmp_path / "p.npz").read_bytes()
    state.write_bytes(
        {"cut": raw[: len(raw) // 2], "zip": raw[:4] + raw[200:], "text": b"x"}.get(damage, raw)
    )
    with pytest.raises(GGUFError, match=r"unfinished: damaged .*; begin anew with --restart"):
        run(demo_f32, target)


def test_what_is_there_is_not_written_over(demo_f32: Bundle, tmp_path: Path) -> None:
    target = tmp_path / "m.gguf"
    target.write_text("mine")
    with pytest.raises(UsageError, match="exists; choose another name"):
        run(demo_f32, target)
    assert target.read_text() == "mine"


def test_own_pictures_clips_and_text(demo_f32: Bundle, tmp_path: Path) -> None:
    pictures, films = tmp_path / "pictures" / "deep", tmp_path / "films"
    pictures.mkdir(parents=True)
    films.mkdir()
    for seed in range(3):
        Image.fromarray(synthetic_pixels(seed, 64, 96)).save(pictures / f"{seed}.png")
    (pictures / "broken.png").write_bytes(b"no picture")
    write_film(films / "a.mp4", 16)
    text = tmp_path / "text.txt"
    text.write_text("One, two, three, and so on it goes. " * 60)
    sources = Sources(pictures.parent, films, text, clip_options=ClipOptions(n_frames=4))
    options = CalibrationOptions(n_answer=2)
    collected = run(demo_f32, tmp_path / "m.gguf", options, sources)
    assert collected.n_pieces["picture"] == 3
    assert collected.n_pieces["clip"] == 1
    assert collected.n_pieces["text"] >= 1
    assert len(collected.notes) == 1
    assert "broken.png" in collected.notes[0]
    assert Imatrix.read(tmp_path / "m.gguf").datasets == ("text.txt", "pictures", "films")


def test_a_folder_of_damaged_pictures_is_an_error(demo_f32: Bundle, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(UsageError, match=r"nothing could be shown to the model: not a picture.*broken.png"):
        run(demo_f32, tmp_path / "m.gguf", FEW, Sources(images=tmp_path))
    assert [file.name for file in tmp_path.iterdir()] == ["broken.png"]


def test_merged_matrices_are_added(demo_f32: Bundle, tmp_path: Path, whole: Path) -> None:
    options = dataclasses.replace(FEW, merged=(whole,))
    run(demo_f32, tmp_path / "m.gguf", options)
    once, twice = (merge_imatrices([path]).entries for path in (whole, tmp_path / "m.gguf"))
    for name, entry in once.items():
        assert (twice[name].counts == 2 * entry.counts).all()
        np.testing.assert_allclose(twice[name].sums, 2 * entry.sums, rtol=1e-6)


def test_pictures_are_shown_no_larger_than_wanted(tmp_path: Path, demo_f32: Bundle) -> None:
    Image.new("RGB", (1600, 1200)).save(tmp_path / "large.jpg")
    (piece,) = pictures_in(tmp_path, max_tokens=24)
    assert not isinstance(piece, TextChunk)
    info = type("Info", (), {"image_limits": ImageLimits(min_pixels=1024)})
    shown = piece.load(info)  # type: ignore[arg-type]
    assert shown.pixels.shape[0] * shown.pixels.shape[1] <= 24 * 32**2  # type: ignore[union-attr]


def test_sources_that_hold_nothing_are_errors(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_bytes(b"caf\xe9")
    with pytest.raises(UsageError, match="no pictures in it"):
        pictures_in(tmp_path, 99)
    with pytest.raises(UsageError, match="no clips in it"):
        clips_in(tmp_path, ClipOptions())
    with pytest.raises(UsageError, match="no such folder; give one with pictures"):
        pictures_in(tmp_path / "none", 99)
    with pytest.raises(UsageError, match=r"not UTF-8 \(.* at byte 3\)"):
        read_text(tmp_path / "text.txt")
    with pytest.raises(UsageError, match="text.txt: has 511 tokens, and a chunk is 512"):
        chunks_of(range(511), "text.txt")


def test_text_is_cut_as_llama_imatrix_cuts_it(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_bytes(b"a\r\nb\n\n")
    assert read_text(tmp_path / "text.txt") == "a\r\nb\n"
    chunks = chunks_of(range(1300), "text")
    assert [chunk.tokens for chunk in chunks if isinstance(chunk, TextChunk)] == [
        tuple(range(512)),
        tuple(range(512, 1024)),
    ]


@given(st.lists(st.integers(0, 20), min_size=1, max_size=4))
def test_groups_are_mixed_evenly(sizes: list[int]) -> None:
    groups = [[TextChunk((number, i)) for i in range(size)] for number, size in enumerate(sizes)]
    mixed = in_turn(*groups)
    assert sorted(piece.tokens for piece in mixed if isinstance(piece, TextChunk)) == sorted(
        piece.tokens for group in groups for piece in group
    )
    for number, group in enumerate(groups):
        placed = [i for i, piece in enumerate(mixed) if piece.tokens[0] == number]  # type: ignore[union-attr]
        assert [mixed[i] for i in placed] == group
        for done, place in enumerate(placed):  # of whatever is cut off, a like share of each
            assert abs((done + 0.5) / len(group) - (place + 0.5) / len(mixed)) < len(groups) / len(
                mixed
            ) + 0.5 / len(group)


def test_numbers_out_of_range_are_refused() -> None:
    with pytest.raises(UsageError, match="0 pieces make no matrix"):
        CalibrationOptions(n_pieces=0)
    with pytest.raises(UsageError, match="an answer cannot have -1 tokens"):
        CalibrationOptions(n_answer=-1)


def test_a_padded_projector_gives_the_matrix_of_the_unpadded_one(tmp_path: Path) -> None:
    """Rows of 27 layers of vision have 4304 values, padded for blocks; the matrix is of the checkpoint's."""
    shape = TinyShape(vision_ffn=TinyShape().vision_ffn + 3)
    checkpoint = write_tiny_checkpoint(tmp_path / "Tiny", shape=shape)
    plain = convert(checkpoint, tmp_path / "plain", type="f32", projector_type="f32", name="tiny")
    padded = convert(checkpoint, tmp_path / "padded", type="f32", projector_type="Q8_0", name="tiny")
    name = "v.blk.0.ffn_down.weight"
    widths = [
        next(tensor.shape[-1] for tensor in GGUFInfo.read(bundle.projector).tensors if tensor.name == name)
        for bundle in (plain, padded)
    ]
    assert widths[0] < widths[1], "the test needs a width that is padded"
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.fromarray(synthetic_pixels(1, 64, 96)).save(folder / "1.png")
    for bundle in (plain, padded):
        target = tmp_path / f"{bundle.folder.name}.gguf"
        run(bundle, target, CalibrationOptions(n_answer=0), Sources(images=folder))
        assert Imatrix.read(target).entries[name].shape == (1, widths[0])
        Imatrix.read(target).for_tensors(unpadded([GGUFInfo.read(bundle.projector)]))


def test_two_runs_do_not_make_one_file(demo_f32: Bundle, tmp_path: Path) -> None:
    with alone(tmp_path / "m.gguf"):
        with pytest.raises(EdgeError, match=r"m.gguf: another run is making this file; wait for it"):
            run(demo_f32, tmp_path / "m.gguf")
        with alone(tmp_path / "other.gguf"):
            pass
    assert list(tmp_path.iterdir()) == []
    with alone(tmp_path / "m.gguf"):
        pass


def test_a_lock_that_was_left_is_free(demo_f32: Bundle, tmp_path: Path) -> None:
    (tmp_path / "m.gguf.unfinished.lock").touch()
    run(demo_f32, tmp_path / "m.gguf", CalibrationOptions(n_pieces=1, n_answer=0))
    assert [file.name for file in tmp_path.iterdir()] == ["m.gguf"]


def test_a_model_is_never_written_over(demo_f32: Bundle, tmp_path: Path) -> None:
    target = tmp_path / "model.gguf"
    target.write_bytes(demo_f32.model.read_bytes())
    before = target.read_bytes()
    with pytest.raises(UsageError, match=r"model.gguf: is a model, not an importance matrix"):
        run(demo_f32, target, dataclasses.replace(FEW, overwrite=True))
    assert target.read_bytes() == before


def test_sources_are_looked_for_before_a_model_is_opened(
    demo_f32: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibrating, "LlamaEngine", lambda *_, **__: pytest.fail("a model was opened"))
    missing = tmp_path / "none"
    for sources in (Sources(images=missing), Sources(videos=missing), Sources(text=missing)):
        with pytest.raises(UsageError, match="none"):
            run(demo_f32, tmp_path / "m.gguf", FEW, sources)


def test_pictures_shown_otherwise_are_another_run(demo_f32: Bundle, tmp_path: Path) -> None:
    for seed in range(3):
        Image.fromarray(synthetic_pixels(seed, 64, 96)).save(tmp_path / f"{seed}.png")
    write_film(tmp_path / "a.mp4", 16)
    sources = Sources(tmp_path, tmp_path, clip_options=ClipOptions(n_frames=4))
    with pytest.raises(KeyboardInterrupt):
        run(demo_f32, tmp_path / "m.gguf", FEW, sources, Stopping(1))
    for other in (
        dataclasses.replace(sources, picture_tokens=4),
        dataclasses.replace(sources, clip_options=ClipOptions(n_frames=2)),
    ):
        with pytest.raises(UsageError, match="was begun with another model, other data or other options"):
            run(demo_f32, tmp_path / "m.gguf", FEW, other)


def test_what_does_not_fit_is_passed_over_by_name(demo_f32: Bundle, tmp_path: Path) -> None:
    """A picture larger than the context, and a clip that ends before the range begins."""
    pictures, films = tmp_path / "pictures", tmp_path / "films"
    pictures.mkdir()
    films.mkdir()
    Image.fromarray(synthetic_pixels(1, 64, 96)).save(pictures / "small.png")
    Image.new("RGB", (800, 800)).save(pictures / "large.png")
    write_film(films / "short.mp4", 16)
    sources = Sources(pictures, films, clip_options=ClipOptions(n_frames=4, start_s=1000))
    collected = calibrate(
        demo_f32,
        sources,
        tmp_path / "m.gguf",
        CalibrationOptions(n_answer=185),
        settings=dataclasses.replace(SETTINGS, n_ctx=256),
    )
    assert collected.n_pieces == {"picture": 1, "clip": 0}
    large, short = sorted(collected.notes, key=lambda note: "short.mp4" in note)
    assert large.startswith(f"{pictures / 'large.png'}: takes ")
    assert short.startswith(f"{films / 'short.mp4'}: there is no frame in the range asked for")
