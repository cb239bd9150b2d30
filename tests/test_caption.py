from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from qwen3vl_edge.caption import Caption, Failure, caption, find_media
from qwen3vl_edge.clips import ClipOptions
from qwen3vl_edge.errors import ContextFullError, EngineError, UsageError
from qwen3vl_edge.prompt import Part, TextPart, VisionPart
from qwen3vl_edge.runtime.engine import GenerateOptions
from qwen3vl_edge.runtime.fake import ScriptedEngine
from qwen3vl_edge.sampling import GREEDY
from tests.test_video import write_clip

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
    assert find_media([folder]) == [folder / "a.jpg", folder / "b.PNG", folder / "bad.png"]
    assert folder / "sub/c.webp" in find_media([folder], recursive=True)
    assert find_media([folder / "notes.txt", folder / "a.jpg", folder]) == [
        folder / "notes.txt",
        folder / "a.jpg",
        folder / "b.PNG",
        folder / "bad.png",
    ]


def test_nothing_to_do_is_said_before_any_work(folder: Path) -> None:
    with pytest.raises(UsageError, match="no such file or folder: .*absent"):
        find_media([folder, folder / "absent"])
    (folder / "empty").mkdir()
    with pytest.raises(UsageError, match="no pictures and no clips in .*--recursive"):
        find_media([folder / "empty"])


def test_clips_are_found_among_pictures(folder: Path) -> None:
    write_clip(folder / "c.mp4", 3).rename(folder / "c.MP4")
    write_clip(folder / "sub" / "d.webm", 3)
    pictures = [folder / "a.jpg", folder / "b.PNG", folder / "bad.png"]
    assert find_media([folder]) == [*pictures, folder / "c.MP4"]
    assert folder / "sub/d.webm" in find_media([folder], recursive=True)
    (folder / "empty").mkdir()
    with pytest.raises(UsageError, match="no pictures and no clips in .*--recursive"):
        find_media([folder / "empty"])


def test_a_clip_is_described_as_one_unless_something_else_is_asked(folder: Path) -> None:
    film, still = write_clip(folder / "film.mp4", 40), folder / "a.jpg"
    engine = ScriptedEngine(lambda _: " It moves. ")
    shown = ClipOptions(n_frames=4)
    (first, _) = caption(engine, [film, still], OPTIONS, clip_options=shown)
    assert first == Caption(film, "It moves.", "stop")
    assert [asked(prompt)[-1] for prompt in engine.prompts] == [
        "Describe this video.[assistant]",
        "Describe this image.[assistant]",
    ]
    assert [len(part.frames) for part in engine.prompts[0] if isinstance(part, VisionPart)] == [2, 2]
    list(caption(engine, [film], OPTIONS, prompt="What?"))
    assert asked(engine.prompts[2])[-1] == "What?[assistant]"


def test_clips_that_cannot_be_shown_do_not_stop_the_rest(folder: Path) -> None:
    (folder / "bad.mp4").write_bytes(b"nothing")
    short, film = write_clip(folder / "short.mp4", 3), write_clip(folder / "film.mp4", 40)
    engine = ScriptedEngine(lambda _: "x")
    from_there = ClipOptions(start_s=2)
    bad, outside, good = caption(engine, [folder / "bad.mp4", short, film], OPTIONS, clip_options=from_there)
    assert isinstance(bad, Failure)
    assert "bad.mp4" in bad.error
    assert isinstance(outside, Failure)
    assert "short.mp4: there is no frame in the range" in outside.error
    assert good == Caption(film, "x", "stop")


def test_what_of_a_clip_could_not_be_used_is_noted(folder: Path) -> None:
    film = write_clip(folder / "half.mkv", 600, 25.0, size=(320, 240))
    film.write_bytes(film.read_bytes()[: film.stat().st_size // 2])
    (result,) = caption(ScriptedEngine(lambda _: "x"), [film], OPTIONS)
    assert isinstance(result, Caption)
    (note,) = result.notes
    assert note.startswith("half.mkv: only ")


def asked(prompt: Sequence[Part]) -> list[str]:
    return [part.text for part in prompt if isinstance(part, TextPart)]


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
