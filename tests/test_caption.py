from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from qwen3vl_edge.caption import Caption, Failure, caption, find_pictures
from qwen3vl_edge.errors import ContextFullError, EngineError, UsageError
from qwen3vl_edge.prompt import Part, TextPart
from qwen3vl_edge.runtime.engine import GenerateOptions
from qwen3vl_edge.runtime.fake import ScriptedEngine
from qwen3vl_edge.sampling import GREEDY

OPTIONS = GenerateOptions(GREEDY, max_tokens=20)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    for name in ("b.PNG", "a.jpg", "sub/c.webp"):
        Image.new("RGB", (64, 64), "red").save(tmp_path / name)
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    (tmp_path / "notes.txt").write_text("notes")
    return tmp_path


def test_folders_are_searched_and_files_taken_as_they_are(folder: Path) -> None:
    assert find_pictures([folder]) == [folder / "a.jpg", folder / "b.PNG", folder / "bad.png"]
    assert folder / "sub/c.webp" in find_pictures([folder], recursive=True)
    assert find_pictures([folder / "notes.txt", folder / "a.jpg", folder]) == [
        folder / "notes.txt",
        folder / "a.jpg",
        folder / "b.PNG",
        folder / "bad.png",
    ]


def test_nothing_to_do_is_said_before_any_work(folder: Path) -> None:
    with pytest.raises(UsageError, match="no such file or folder: .*absent"):
        find_pictures([folder, folder / "absent"])
    (folder / "empty").mkdir()
    with pytest.raises(UsageError, match="no pictures in .*--recursive"):
        find_pictures([folder / "empty"])


def test_a_bad_picture_does_not_stop_the_rest(folder: Path) -> None:
    engine = ScriptedEngine(lambda _: " A red square. ")
    results = list(caption(engine, [folder / "bad.png", folder / "a.jpg"], OPTIONS, prompt="What?"))
    assert isinstance(results[0], Failure)
    assert "bad.png" in results[0].error
    assert results[1] == Caption(folder / "a.jpg", "A red square.", "stop")
    assert any("What?" in part.text for part in engine.prompts[0] if isinstance(part, TextPart))


def test_a_picture_too_large_for_the_context_does_not_stop_the_rest(folder: Path) -> None:
    def answer(_: Sequence[Part]) -> str:
        raise ContextFullError("the prompt is 9000 tokens and the context 4096")

    assert list(caption(ScriptedEngine(answer), [folder / "a.jpg"], OPTIONS)) == [
        Failure(folder / "a.jpg", "the prompt is 9000 tokens and the context 4096")
    ]


def test_a_failing_engine_stops_the_run(folder: Path) -> None:
    def answer(_: Sequence[Part]) -> str:
        raise EngineError("gone")

    with pytest.raises(EngineError, match="gone"):
        list(caption(ScriptedEngine(answer), [folder / "a.jpg"], OPTIONS))


def test_captions_come_one_by_one(folder: Path) -> None:
    engine = ScriptedEngine(lambda _: "x")
    next(caption(engine, [folder / "a.jpg", folder / "b.PNG"], OPTIONS))
    assert len(engine.prompts) == 1
