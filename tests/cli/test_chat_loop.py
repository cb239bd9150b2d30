"""The commands of the chat, on the scripted engine."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageGrab

from qwen3vl_edge.chat import load_session
from qwen3vl_edge.cli.terminal.commands import COMMANDS
from qwen3vl_edge.images import Picture
from qwen3vl_edge.runtime.engine import GenerateOptions
from qwen3vl_edge.sampling import GREEDY
from tests.cli.chat_fakes import Talk, scripted_talk

SAMPLES = Path(__file__).parents[2] / "samples"
RED, CLIP = SAMPLES / "red_circle.png", SAMPLES / "blue_circle_moves_right.mp4"


def test_clips(talk: Talk) -> None:
    listed, shown = talk(f"/video {CLIP}")
    assert re.fullmatch(
        r"note \[1\] blue_circle_moves_right.mp4: \d+ frames of \d+×\d+ px, \d+ tokens", listed
    )
    assert shown.startswith("picture ")
    talk("Where to?")
    assert "#" in talk.asked()


def test_media_lists_and_drops(talk: Talk, picture: Path) -> None:
    assert talk("/media") == ["say no pictures and no clips; /image FILE attaches one"]
    talk(f"{RED} one?", f"/image '{picture}' {RED}")
    red = f"red_circle.png: {_size(talk)}"
    assert talk("/media drop 1") == [f"say     {red}, in question 1\n[1] {red}, to be sent"]
    assert talk("/media drop 2") == ["fault no attachment 2; /media lists those that can be dropped"]
    assert len(talk.chat.attachments) == 1
    talk("/media drop all")
    assert talk.chat.attachments == []
    assert talk("/media drop")[0].startswith("fault /media drop: write ")


def _size(talk: Talk) -> str:
    shown = talk.chat.conversation.turns[0].question.content[0]
    assert isinstance(shown, Picture)
    height, width, _ = shown.pixels.shape
    return f"{width}×{height} px, {height * width // 1024} tokens"


def test_undo_regen_and_edit(talk: Talk) -> None:
    talk("one", "two")
    assert talk("/regen") == ["answer answer 3"]
    assert talk("/edit zwei") == ["answer answer 4"]
    assert talk.asked().endswith("[user]zwei[assistant]")
    assert talk("/undo") == ["note taken back: zwei"]
    talk("/undo")
    for command in ("/undo", "/regen", "/edit"):
        assert talk(command)[0].startswith("fault there is nothing to ")
    kept = talk.chat.keeper.file
    assert kept is not None
    assert load_session(kept, talk.engine, GenerateOptions(GREEDY))[0].turns == ()


def test_edit_brings_the_question_back_into_the_line(talk: Talk) -> None:
    talk(f"{RED} What color?", "/edit")
    assert talk.chat.draft == "What color?"
    assert talk("") == []
    assert [turn.answer for turn in talk.chat.conversation.turns] == ["answer 1"]
    talk("/edit", " /undo is no command here")
    assert talk.asked().endswith("# /undo is no command here[assistant]")


def test_commands_stay_commands_while_a_question_is_edited(talk: Talk) -> None:
    talk("one", "two", "/edit", "/undo", "three")
    assert talk.asked().endswith("[user]one[assistant]answer 1[user]three[assistant]")


def test_saving_never_takes_the_place_of_another_conversation(talk: Talk, tmp_path: Path) -> None:
    kept = tmp_path / "kept.q3vl"
    talk("alpha", f"/save {kept}", "/clear", "beta")
    assert "is there already" in talk(f"/save {kept}")[-1]
    talk(f"/load {kept}")
    assert talk.chat.conversation.turns[0].question.content == ("alpha",)


@pytest.mark.parametrize("argument", ["''", '""', "'", "'one two", "\"it's.q3vl", "'x'y"])
def test_odd_quotes_name_no_file(
    talk: Talk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, argument: str
) -> None:
    monkeypatch.chdir(tmp_path)
    talk("one")
    before = sorted(tmp_path.iterdir())
    for command in ("save", "load", "export"):
        (said,) = talk(f"/{command} {argument}")
        assert said.startswith("fault ")
    assert sorted(tmp_path.iterdir()) == before


def test_a_folder_with_a_space_is_a_clip(talk: Talk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my frames").mkdir()
    for number in range(4):
        Image.new("RGB", (64, 64), (60 * number, 0, 0)).save(tmp_path / "my frames" / f"{number}.png")
    assert talk("/video my frames")[0].startswith("note [1] my frames: 4 frames of 64×64 px")


def test_clear_keeps_what_was_said(talk: Talk) -> None:
    talk("one")
    before = talk.chat.keeper.file
    assert talk("/clear") == [
        f"note a new conversation begins; what was said stays in {before}, and /load brings it back"
    ]
    talk("two")
    assert talk.asked() == "[user]two[assistant]"
    assert talk.chat.keeper.file != before
    assert talk("/load last")[-1] == "say > one\nanswer 1"
    assert talk.chat.keeper.file == before


def test_clear_leaves_a_named_session_alone(tmp_path: Path) -> None:
    talk = scripted_talk(tmp_path, session=tmp_path / "mine.q3vl")
    talk("one", "/clear", "two")
    talk.loop.end()
    again, _ = load_session(tmp_path / "mine.q3vl", talk.engine, GenerateOptions(GREEDY))
    assert [turn.answer for turn in again.turns] == ["answer 1"]


def test_system(talk: Talk) -> None:
    assert talk("/system") == ["say no system prompt; /system TEXT sets one"]
    talk("/system Be short.", "one")
    assert talk.asked() == "[system]Be short.[user]one[assistant]"
    assert talk("/system") == ["say Be short."]
    assert talk("/system off") == ["note the next question reads the whole conversation anew"]
    talk("two")
    assert talk.asked().startswith("[user]one")


def test_save_and_load(talk: Talk, tmp_path: Path) -> None:
    talk("one", f"/save '{tmp_path}/my talk.q3vl'", "two", "/clear", "three")
    assert talk(f"/load {tmp_path}/my\\ talk.q3vl")[-1] == "say > two\nanswer 2"
    talk("four")
    again, _ = load_session(tmp_path / "my talk.q3vl", talk.engine, GenerateOptions(GREEDY))
    assert [turn.answer for turn in again.turns] == ["answer 1", "answer 2", "answer 4"]
    assert talk("/save") == [f"say kept in {tmp_path}/my talk.q3vl"]


def test_nothing_is_overwritten(talk: Talk, tmp_path: Path) -> None:
    (tmp_path / "diary.md").write_text("dear diary")
    talk("one")
    for command in ("save", "export"):
        assert talk(f"/{command} {tmp_path}/diary.md")[0].startswith(
            f"fault {tmp_path}/diary.md is there already"
        )
    assert (tmp_path / "diary.md").read_text() == "dear diary"
    for _ in range(2):  # what this chat has written may be written again
        assert talk(f"/export {tmp_path}/talk.md")[0].startswith("say 1 turns written to ")


@pytest.mark.parametrize("line", ["/load no such file.q3vl", "/load nowhere.q3vl", "/load last", "/load"])
def test_a_session_that_is_not_there_changes_nothing(talk: Talk, line: str) -> None:
    talk("one")
    (said,) = talk(line)
    assert said.startswith("fault ")
    talk("two")
    assert talk.asked() == "[user]one[assistant]answer 1[user]two[assistant]"


def test_export(talk: Talk, tmp_path: Path) -> None:
    talk("/system Brief.", f"{RED} What?", f"/export {tmp_path}/talk.md", f"/export {tmp_path}/talk.json")
    text = (tmp_path / "talk.md").read_text()
    assert text == (
        "# A conversation with scripted\n\n## System\n\nBrief.\n\n## User\n\n"
        f"![red_circle.png](<{RED}>)\n\nWhat?\n\n## Assistant\n\nanswer 1\n"
    )
    document = json.loads((tmp_path / "talk.json").read_text())
    assert (document["model"], document["system"]) == ("scripted", "Brief.")
    (turn,) = document["turns"]
    assert turn["question"][0]["picture"] == str(RED)
    assert turn["question"][1] == {"text": "What?"}
    assert (turn["answer"], turn["stop_reason"]) == ("answer 1", "stop")
    assert talk(f"/export {tmp_path}/talk.txt")[0].startswith("fault talk.txt: end the name in .md")


def test_help(talk: Talk) -> None:
    (overview,) = talk("/help")
    for item in COMMANDS:
        assert f"/{item.name}" in overview or item.name == "quit"
        (told,) = talk(f"/help {item.name}")
        assert item.help in told
        assert item.example in told
    assert talk("/help imge") == [
        "fault no command /imge: did you mean /image?; a space before the slash makes it a message"
    ]


@pytest.mark.parametrize("line", ["/exit", "/quit", "/EXIT"])
def test_leaving(talk: Talk, line: str) -> None:
    talk(line)
    assert talk.chat.left


def test_the_sample_picture_is_a_red_circle(talk: Talk) -> None:
    talk("/image sample")
    (media,) = talk.chat.attachments
    assert isinstance(media, Picture)
    height, width, _ = media.pixels.shape
    assert tuple(media.pixels[height // 2, width // 2]) == (220, 30, 30)
    assert np.all(media.pixels[0, 0] == 255)


def test_paste(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[object] = [Image.new("RGB", (300, 300), "blue"), [str(RED)], None]
    monkeypatch.setattr(ImageGrab, "grabclipboard", lambda: held.pop(0))
    assert re.match(r"note \[1\] clipboard-\w+\.png: ", talk("/paste")[0])
    assert talk("/paste")[0].startswith("note [2] red_circle.png: ")
    assert talk("/paste")[0].startswith("fault there is no picture in the clipboard")
    assert len(talk.chat.attachments) == 2

    def refuse() -> None:
        raise NotImplementedError("wl-paste or xclip is required")

    monkeypatch.setattr(ImageGrab, "grabclipboard", refuse)
    assert talk("/paste")[0].startswith("fault the clipboard cannot be read (wl-paste or xclip is required)")
