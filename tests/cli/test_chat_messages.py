"""What a typed line becomes in the chat, on the scripted engine."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qwen3vl_edge.chat import load_session
from qwen3vl_edge.clips import Clip, ClipOptions
from qwen3vl_edge.errors import EngineError
from qwen3vl_edge.prompt import Part, VisionPart
from qwen3vl_edge.runtime.engine import GenerateOptions
from qwen3vl_edge.sampling import GREEDY
from tests.cli.chat_fakes import Talk, scripted_talk
from tests.test_video import write_clip

SAMPLES = Path(__file__).parents[2] / "samples"
RED = SAMPLES / "red_circle.png"


def test_a_question_is_answered_and_kept(talk: Talk) -> None:
    assert talk("Hello") == ["answer answer 1"]
    assert talk.asked() == "[user]Hello[assistant]"
    kept = talk.chat.keeper.file
    assert kept is not None
    again, notes = load_session(kept, talk.engine, GenerateOptions(GREEDY))
    assert ([turn.answer for turn in again.turns], notes) == (["answer 1"], ())


def test_attachments_are_listed_with_their_cost_before_they_are_sent(talk: Talk, picture: Path) -> None:
    assert talk(f"/image '{picture}'") == [
        "note [1] grey picture.png: 320×256 px, 80 tokens",
        "picture (256, 320, 3)",
    ]
    cost, answer = talk("What is it?")
    assert cost.startswith("note ")
    assert "80 of pictures and clips" in cost
    assert "80 to be encoded" in cost
    assert answer == "answer answer 1"
    assert "#What is it?[assistant]" in talk.asked()
    assert talk.chat.attachments == []


def test_dropped_paths_become_attachments(talk: Talk, picture: Path) -> None:
    escaped = str(picture).replace(" ", "\\ ")
    for dropped in (f"'{picture}'", f'"{picture}"', escaped, picture.as_uri()):
        talk(f"{dropped} What is it?")
        assert talk.asked().endswith("#What is it?[assistant]")
        talk(f"What is it? {dropped}")
        assert talk.asked().endswith("#What is it?[assistant]")
    talk(f"Compare {escaped} with '{RED}' now")
    assert talk.asked().endswith("[user]Compare#with#now[assistant]")


def test_a_line_of_files_alone_attaches_them(talk: Talk, picture: Path) -> None:
    assert talk(f"'{picture}' {RED}")[-1] == "note attached; now ask about it"
    assert talk.engine.prompts == []
    talk("And?")
    assert talk.asked().count("#") == 2


@pytest.mark.parametrize("line", ["/", "/ image", "/nonsense", "/home/nobody/no.png what?"])
def test_what_looks_like_a_command_and_is_none(talk: Talk, line: str) -> None:
    assert talk(line)[0].startswith("fault no command /")
    assert talk.engine.prompts == []


def test_a_slash_can_be_said(talk: Talk) -> None:
    talk(" /help me")
    assert talk.asked() == "[user]/help me[assistant]"


def test_messages_of_several_lines(talk: Talk) -> None:
    assert talk('"""', "/undo", "", "over") == []
    talk('and out"""')
    assert talk.asked() == "[user]/undo\n\nover\nand out[assistant]"
    talk('"""one line"""')
    assert talk.asked().endswith("[user]one line[assistant]")
    talk('"""never closed')
    talk.loop.end()
    assert talk.asked().endswith("[user]never closed[assistant]")


def test_an_open_message_can_be_given_up(talk: Talk) -> None:
    talk('"""one', "two")
    assert talk.loop.give_up()
    assert not talk.loop.give_up()
    talk("three")
    assert talk.asked() == "[user]three[assistant]"


def test_special_tokens_are_text(talk: Talk) -> None:
    talk("<|im_end|> <|vision_start|>", "/system <|im_end|>", "\udcff?")
    assert talk.screen.shown == []
    assert talk.asked().endswith("[user]??[assistant]")


def test_a_picture_that_is_missing_sends_nothing(talk: Talk, tmp_path: Path) -> None:
    talk(f"/image {RED}")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    for line in (
        f"/image {tmp_path}/none.png",
        f"/image {tmp_path}/broken.png",
        f"{tmp_path}/broken.png What?",
    ):
        (fault,) = talk(line)
        assert fault.startswith("fault ")
    assert talk("/image") == ["fault /image names no file; write e.g. /image FILE"]
    assert len(talk.chat.attachments) == 1
    assert talk.engine.prompts == []


def test_addresses_can_be_switched_off(talk: Talk) -> None:
    talk.chat.urls = False
    talk("What is at http://127.0.0.1:9/a.png ?")
    assert talk.asked() == "[user]What is at http://127.0.0.1:9/a.png ?[assistant]"
    assert talk("/image http://127.0.0.1:9/a.png")[0].startswith(
        "fault http://127.0.0.1:9/a.png: addresses are"
    )


def test_a_question_that_does_not_fit_is_told_before_it_is_sent(tmp_path: Path) -> None:
    talk = scripted_talk(tmp_path, n_ctx=64)
    talk(f"/image {RED}")
    *_, fault = talk("What?")
    assert fault.startswith("fault the question does not fit; /media drop N")
    assert talk.engine.prompts == []
    assert len(talk.chat.attachments) == 1


def test_damage_that_shows_when_a_clip_is_read_is_said_once(talk: Talk, tmp_path: Path) -> None:
    (tmp_path / "film").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    for number in range(4):
        Image.fromarray(noise).save(tmp_path / "film" / f"{number}.png")
    cut = tmp_path / "film" / "2.png"
    cut.write_bytes(cut.read_bytes()[:6000])

    def look(parts: Sequence[Part]) -> str:
        return str(sum(len(part.frames) for part in parts if isinstance(part, VisionPart)))

    talk.engine.answer = look
    listed = talk(f"/video {tmp_path}/film")
    assert not any("cannot be read" in line for line in listed)
    *_, answer, note = talk("What?")
    assert answer == "answer 4"
    assert note == "note film: 2.png cannot be read; the picture beside is shown in its place"
    assert talk("And?")[-1] == "answer 4"


@pytest.mark.parametrize("first", ["/set fps 2", "/set frames default"])
def test_a_clip_that_does_not_fit_is_told_with_the_setting_that_helps(tmp_path: Path, first: str) -> None:
    film = write_clip(tmp_path / "clip.mp4", 81)
    talk = scripted_talk(tmp_path, n_ctx=150)
    talk("/set max-tokens 10", first, f"/video {film}")
    *_, fault = talk("What?")
    assert fault.startswith(
        "fault the question does not fit; /media drop all, and attach again: clip.mp4 with "
    )
    assert "--" not in fault
    setting = re.search(r"/set frames \d+", fault)
    assert setting is not None
    talk("/media drop all", setting[0], f"/video {film}")
    assert talk("What?")[-1] == "answer answer 1"


def test_a_clip_that_does_not_fit_is_shrunk_where_that_is_set(tmp_path: Path) -> None:
    film = write_clip(tmp_path / "clip.mp4", 81)
    talk = scripted_talk(tmp_path, n_ctx=150)
    talk("/set max-tokens 10", "/set when-full shrink", f"/video {film}")
    cost, *notes, answer = talk("What?")
    assert cost.startswith("note ")
    assert notes[0].startswith("note the context is full: clip.mp4 is shown in ")
    assert answer == "answer answer 1"
    talk("/clear", f"/video {film}")
    *_, fault = talk("x" * 150)
    assert fault.startswith("fault ")
    assert "shrink" not in fault  # it is what was done
    assert len(talk.chat.attachments) == 1


def test_clips_are_shown_as_they_are_set(talk: Talk, tmp_path: Path) -> None:
    film = write_clip(tmp_path / "clip.mp4", 81)
    talk("/set frames 4", "/set end 2", f"{film} What?", "/set frames default", f"/video {film}")
    assert "<0.3 seconds>#<1.7 seconds>#What?" in talk.asked()
    assert [item.options for item in talk.chat.attachments if isinstance(item, Clip)] == [
        ClipOptions(end_s=2)
    ]
    (fault,) = talk("/set end default", "/set start 60", f"/video {film}")[-1:]
    assert fault.startswith("fault ")
    assert len(talk.chat.attachments) == 1


def test_what_of_a_clip_cannot_be_read_is_said(talk: Talk, tmp_path: Path) -> None:
    film = write_clip(tmp_path / "short.mkv", 600, 25.0, size=(320, 240))
    film.write_bytes(film.read_bytes()[: film.stat().st_size // 2])
    assert talk(f"/video {film}")[-1].startswith("note short.mkv: only ")


def test_an_engine_that_fails_leaves_the_chat_as_it_was(talk: Talk) -> None:
    def fail(_: object) -> str:
        raise EngineError("the native library died")

    talk(f"/image {RED}")
    talk.engine.answer, before = fail, talk.engine.answer
    assert talk("one")[-1] == "fault the native library died"
    assert (talk.chat.conversation.turns, len(talk.chat.attachments)) == ((), 1)
    talk.engine.answer = before
    assert talk("one")[-1] == "answer answer 1"


def test_a_stopped_answer_stays_and_one_that_never_began_does_not(talk: Talk) -> None:
    class Stopped(str):
        def __iter__(self) -> Iterator[str]:
            for number, character in enumerate(str.__iter__(self)):
                if number == n_before:
                    talk.engine.cancel()
                yield character

    talk.engine.answer = lambda _: Stopped("half of it")
    n_before = 5
    assert talk("one") == ["answer half ", "note (stopped)"]
    assert [turn.answer for turn in talk.chat.conversation.turns] == ["half "]
    n_before = 0
    talk(f"/image {RED}")
    assert talk("two")[-1] == "note stopped before the answer began; nothing was asked"
    assert (talk.chat.draft, len(talk.chat.attachments)) == ("two", 1)
    assert talk("/regen") == ["note stopped before the answer began; nothing was asked"]
    assert [turn.answer for turn in talk.chat.conversation.turns] == ["half "]


@pytest.mark.parametrize("lines", [["/edit two"], ["/edit", "two"], ["/edit", '"""two"""']])
def test_an_edited_question_that_gets_no_answer_comes_back_into_the_line(
    talk: Talk, lines: list[str]
) -> None:
    class Stopped(str):
        def __iter__(self) -> Iterator[str]:
            talk.engine.cancel()
            return str.__iter__(self)

    talk("one")
    talk.engine.answer, answer = lambda _: Stopped("never seen"), talk.engine.answer
    assert talk(*lines)[-1] == "note stopped before the answer began; nothing was asked"
    assert (talk.chat.draft, talk.chat.editing) == ("/edit two", False)

    def fail(_: object) -> str:
        raise EngineError("the native library died")

    talk.engine.answer = fail
    assert talk(talk.chat.draft) == ["fault the native library died"]
    talk.engine.answer = answer
    talk(talk.chat.draft)
    assert talk.asked() == "[user]two[assistant]"
    assert talk.chat.draft == ""


def test_a_conversation_that_cannot_be_kept_goes_on(talk: Talk, tmp_path: Path) -> None:
    (tmp_path / "chats").write_text("no folder")
    answer, fault = talk("one")
    assert answer == "answer answer 1"
    assert fault.startswith("fault this turn is not kept: ")
    assert talk("two")[0] == "answer answer 2"


def test_previews_can_be_switched_off(talk: Talk) -> None:
    talk.chat.view = replace(talk.chat.view, preview=False)
    assert len(talk(f"/image {RED}")) == 1
