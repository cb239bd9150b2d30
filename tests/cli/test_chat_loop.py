"""Every command of the chat, and what a typed line becomes, on the scripted engine."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageGrab

from qwen3vl_edge.chat import load_session
from qwen3vl_edge.cli.terminal.commands import COMMANDS
from qwen3vl_edge.cli.terminal.settings import SETTINGS
from qwen3vl_edge.cli.terminal.status import status_line
from qwen3vl_edge.errors import EngineError
from qwen3vl_edge.images import Picture
from qwen3vl_edge.runtime.engine import GenerateOptions
from qwen3vl_edge.sampling import GREEDY
from tests.cli.chat_fakes import Talk, scripted_talk

SAMPLES = Path(__file__).parents[2] / "samples"
RED, CLIP = SAMPLES / "red_circle.png", SAMPLES / "blue_circle_moves_right.mp4"


@pytest.fixture
def talk(tmp_path: Path) -> Talk:
    return scripted_talk(tmp_path)


@pytest.fixture
def picture(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "grey picture.png"
    Image.new("RGB", (320, 256), "grey").save(path)
    yield path


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
    assert load_session(kept, talk.engine, GenerateOptions(GREEDY))[0].turns == []


def test_edit_brings_the_question_back_into_the_line(talk: Talk) -> None:
    talk(f"{RED} What color?", "/edit")
    assert talk.chat.draft == "What color?"
    assert talk("") == []
    assert [turn.answer for turn in talk.chat.conversation.turns] == ["answer 1"]
    talk("/edit", "/undo is no command here")
    assert talk.asked().endswith("#/undo is no command here[assistant]")


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


SET = {
    "temperature": ("0.5", lambda talk: talk.chat.conversation.options.sampling.temperature == 0.5),
    "top-p": ("0.3", lambda talk: talk.chat.conversation.options.sampling.top_p == 0.3),
    "top-k": ("7", lambda talk: talk.chat.conversation.options.sampling.top_k == 7),
    "min-p": ("0.1", lambda talk: talk.chat.conversation.options.sampling.min_p == 0.1),
    "presence-penalty": ("1.5", lambda talk: talk.chat.conversation.options.sampling.presence_penalty == 1.5),
    "frequency-penalty": ("1", lambda talk: talk.chat.conversation.options.sampling.frequency_penalty == 1),
    "repetition-penalty": (
        "1.1",
        lambda talk: talk.chat.conversation.options.sampling.repetition_penalty == 1.1,
    ),
    "seed": ("42", lambda talk: talk.chat.conversation.options.sampling.seed == 42),
    "max-tokens": ("99", lambda talk: talk.chat.conversation.options.max_tokens == 99),
    "think-budget": ("64", lambda talk: talk.chat.conversation.options.think_budget == 64),
    "loop-guard": ("off", lambda talk: not talk.chat.conversation.options.loop_guard),
    "stop": (r"'a b' \n\n", lambda talk: talk.chat.conversation.options.stop == ("a b", "\n\n")),
    "reasoning": ("hidden", lambda talk: talk.chat.view.reasoning == "hidden"),
    "when-full": ("drop", lambda talk: talk.chat.conversation.policy == "drop"),
    "preview": ("off", lambda talk: not talk.chat.view.preview),
    "markdown": ("off", lambda talk: not talk.chat.view.markdown),
}


def test_every_setting_is_tried() -> None:
    assert SET.keys() == {item.name for item in SETTINGS}


@pytest.mark.parametrize("name", SET)
def test_set(talk: Talk, name: str) -> None:
    value, holds = SET[name]
    check: Callable[[Talk], bool] = holds
    assert not check(talk)
    before = talk.chat.conversation.options, talk.chat.view, talk.chat.conversation.policy
    (wrong,) = talk(f"/set {name} 'x")
    assert wrong.startswith("fault ")
    assert "\n" not in wrong
    assert (talk.chat.conversation.options, talk.chat.view, talk.chat.conversation.policy) == before
    (said,) = talk(f"/set {name.replace('-', '_')}   {value} ")
    assert said.startswith(f"say {name} is ")
    assert check(talk)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("/set temperature -1", "out of range: temperature (0 or more)"),
        ("/set top-p 2", "out of range: top-p (above 0, at most 1)"),
        ("/set max-tokens 0", "0 tokens cannot be generated; ask for 1 or more"),
        ("/set max-tokens 1.5", "max-tokens is a whole number, not '1.5'"),
        ("/set when-full never", "when-full is stop, drop or shrink, not 'never'"),
    ],
)
def test_values_out_of_range_change_nothing(talk: Talk, line: str, fault: str) -> None:
    before = talk.chat.conversation.options
    assert talk(line) == [f"fault {fault}"]
    assert talk.chat.conversation.options == before


def test_set_knows_defaults_and_lists_itself(talk: Talk) -> None:
    assert talk("/set temperature") == ["say temperature is 0.0"]
    assert talk("/set temperature default") == ["say temperature is 0.7"]
    assert talk("/set think-budget 5", "/set think-budget off")[-1] == "say think-budget is off"
    (listed,) = talk("/set")
    assert all(item.name in listed and item.help in listed for item in SETTINGS)
    assert talk("/set volume 11")[0].startswith("fault no setting 'volume'; there are temperature, ")


def test_max_tokens_cuts_off(talk: Talk) -> None:
    assert talk("/set max-tokens 3", "one")[1:] == [
        "answer ans",
        "note (cut off; /set max-tokens allows more)",
    ]


def test_show_and_stats(talk: Talk) -> None:
    talk(f"{RED} one", "/system Brief.")
    (shown,) = talk("/show")
    assert re.search(r"^model +scripted$", shown[4:], re.MULTILINE)
    assert re.search(r"^system prompt +Brief\.$", shown, re.MULTILINE)
    assert f"kept in             {talk.chat.keeper.file}" in shown
    (stats,) = talk("/stats")
    assert "0 of them stood in the context already" in stats
    assert re.search(r"^turns +1, 0 of them", stats, re.MULTILINE)
    assert re.search(r"^of which pictures and clips +\d\d+ tokens$", stats, re.MULTILINE)


def test_the_status_line_follows_the_conversation(talk: Talk) -> None:
    assert status_line(talk.chat).startswith("scripted · context ")
    talk(f"/image {RED}")
    assert re.search(r"1 attached \(\+\d+\)$", status_line(talk.chat))
    talk("one")
    assert talk.chat.used is not None
    used = talk.chat.used
    assert used.vision > 0
    assert f"context {used.prompt}/65536 (0%) · {used.vision} vision tokens" in status_line(talk.chat)


def test_schema(talk: Talk) -> None:
    assert talk("/schema")[0].startswith("say answers are free")
    talk("/schema 'name, count int'")
    assert talk.chat.conversation.options.grammar is not None
    assert talk("one")[1].startswith("note the answer does not follow the schema: ")
    assert talk("/schema {")[0].startswith("fault ")
    assert talk.chat.constraint is not None
    talk("/schema off")
    assert talk.chat.conversation.options.grammar is None
    assert talk("two") == ["answer answer 2"]


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


def test_an_engine_that_fails_leaves_the_chat_as_it_was(talk: Talk) -> None:
    def fail(_: object) -> str:
        raise EngineError("the native library died")

    talk(f"/image {RED}")
    talk.engine.answer, before = fail, talk.engine.answer
    assert talk("one")[-1] == "fault the native library died"
    assert (talk.chat.conversation.turns, len(talk.chat.attachments)) == ([], 1)
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


def test_a_conversation_that_cannot_be_kept_goes_on(talk: Talk, tmp_path: Path) -> None:
    (tmp_path / "chats").write_text("no folder")
    answer, fault = talk("one")
    assert answer == "answer answer 1"
    assert fault.startswith("fault this turn is not kept: ")
    assert talk("two")[0] == "answer answer 2"


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


def test_previews_can_be_switched_off(talk: Talk) -> None:
    talk.chat.view = replace(talk.chat.view, preview=False)
    assert len(talk(f"/image {RED}")) == 1
