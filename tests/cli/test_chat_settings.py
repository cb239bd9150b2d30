"""The chat's settings, and how it says how it stands."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from qwen3vl_edge.cli.terminal.settings import SETTINGS
from qwen3vl_edge.cli.terminal.status import status_line
from qwen3vl_edge.clips import ClipOptions
from tests.cli.chat_fakes import Talk, scripted_talk

SAMPLES = Path(__file__).parents[2] / "samples"
RED = SAMPLES / "red_circle.png"


@pytest.fixture
def talk(tmp_path: Path) -> Talk:
    return scripted_talk(tmp_path)


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
    "fps": ("0.5", lambda talk: talk.chat.clip_options.fps == 0.5),
    "frames": ("6", lambda talk: talk.chat.clip_options.n_frames == 6),
    "start": ("1.5", lambda talk: talk.chat.clip_options.start_s == 1.5),
    "end": ("20", lambda talk: talk.chat.clip_options.end_s == 20),
    "video-max-tokens": ("300", lambda talk: talk.chat.clip_options.max_tokens == 300),
    "frame-max-tokens": ("64", lambda talk: talk.chat.clip_options.max_frame_tokens == 64),
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
        ("/set frames 0", "a clip cannot be shown with n_frames 0; ask for 1 or more"),
        ("/set end -1", "there is nothing from 0 s to -1 s; give a start before the end"),
        ("/set when-full never", "when-full is stop, drop or shrink, not 'never'"),
    ],
)
def test_values_out_of_range_change_nothing(talk: Talk, line: str, fault: str) -> None:
    before = talk.chat.conversation.options, talk.chat.clip_options
    assert talk(line) == [f"fault {fault}"]
    assert (talk.chat.conversation.options, talk.chat.clip_options) == before


def test_fps_and_frames_lift_each_other(talk: Talk) -> None:
    talk("/set end 9", "/set fps 4", "/set frames 3")
    assert talk.chat.clip_options == ClipOptions(n_frames=3, end_s=9)
    talk("/set fps 1")
    assert talk.chat.clip_options == ClipOptions(fps=1, end_s=9)
    talk("/set frames default", "/set end default")
    assert talk.chat.clip_options == ClipOptions(fps=1)
    assert talk("/set fps default") == ["say fps is default"]


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
    assert talk.chat.conversation.options.constraint is not None
    assert talk("one")[1].startswith("note the answer does not follow the schema: ")
    assert talk("/schema {")[0].startswith("fault ")
    assert talk.chat.constraint is not None
    talk("/schema off")
    assert talk.chat.conversation.options.constraint is None
    assert talk("two") == ["answer answer 2"]
