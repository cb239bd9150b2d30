"""`--session` on the command line: settings stay, places are looked at first, nothing of others is lost."""

import re
import sys
from pathlib import Path

import pytest
from PIL import Image

from qwen3vl_edge.chat import Conversation, load_session, save_session
from qwen3vl_edge.cli import engine_options
from qwen3vl_edge.cli.session_options import SessionOptions
from qwen3vl_edge.errors import SessionError
from qwen3vl_edge.prompt import TextPart
from qwen3vl_edge.runtime.engine import GenerateOptions
from qwen3vl_edge.runtime.fake import ScriptedEngine
from qwen3vl_edge.sampling import GREEDY, Sampling
from tests.calls import Call
from tests.cli.test_commands import RecordingEngine, call, engine  # noqa: F401 -- fixtures

WISHES = (
    *("--temperature", 0.25, "--top-p", 0.5, "--top-k", 3, "--min-p", 0.125, "--seed", 7),
    *("--presence-penalty", 1, "--frequency-penalty", -1, "--repetition-penalty", 1.5),
    *("--logit-bias", "27=-100", "--max-tokens", 9, "--stop", "END", "--no-loop-guard", "--think-budget", 5),
)


def test_settings_stay_until_others_are_wanted(
    call: Call,  # noqa: F811
    engine: RecordingEngine,  # noqa: F811
    tmp_path: Path,
) -> None:
    kept = ("--session", tmp_path / "talk.q3vl")
    call("ask", "demo", "One?", *kept, *WISHES)
    call("ask", "demo", "Two?", *kept)
    call("ask", "demo", "Three?", *kept, "--temperature", 0, "--max-tokens", 1024, "--loop-guard")
    first, second, third = engine.options
    sampling = Sampling(0.25, 0.5, 3, 0.125, 1.5, 1.0, -1.0, ((27, -100.0),), 7)
    assert first == GenerateOptions(sampling, 9, stop=("END",), loop_guard=False, think_budget=5)
    assert second == first
    assert (third.sampling.temperature, third.sampling.top_k) == (0.0, 3)
    assert (third.max_tokens, third.loop_guard, third.stop) == (1024, True, ("END",))


def test_numbers_of_pictures_stay_until_they_are_not_wanted(
    call: Call,  # noqa: F811
    engine: RecordingEngine,  # noqa: F811
    tmp_path: Path,
) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    kept = ("-i", tmp_path / "a.png", "--session", tmp_path / "talk.q3vl")
    for more in ((), ("--vision-ids",), (), ("--no-vision-ids",)):
        call("ask", "demo", "?", *kept, *more)
    numbered = [
        [
            text
            for part in prompt
            if isinstance(part, TextPart)
            for text in re.findall(r"Picture \d: ", part.text)
        ]
        for prompt in engine.prompts
    ]
    one_to_three = ["Picture 1: ", "Picture 2: ", "Picture 3: "]
    assert numbered == [[], one_to_three[:2], one_to_three, []]


def test_the_form_of_an_answer_is_asked_for_each_time(
    call: Call,  # noqa: F811
    engine: RecordingEngine,  # noqa: F811
    tmp_path: Path,
) -> None:
    kept = ("--session", tmp_path / "talk.q3vl")
    call("ask", "demo", "One?", *kept, "--regex", "(.|\n)*", "--json", "--logprobs", 2)
    call("ask", "demo", "Two?", *kept)
    assert engine.options[0].constraint is not None
    assert (engine.options[1].constraint, engine.options[1].n_logprobs) == (None, None)


@pytest.mark.parametrize("command", [("ask", "demo", "?"), ("chat", "demo")])
def test_a_session_that_could_not_be_kept_is_refused_before_the_model_is_opened(
    call: Call,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: tuple[str, ...],
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("the model was opened")

    monkeypatch.setattr(engine_options, "open_engine", never)
    code, out, err = call(*command, "--session", tmp_path / "nowhere" / "talk.q3vl")
    assert (code, out) == (1, "")
    assert err.endswith("nowhere/talk.q3vl: its folder is not there; make it first\n")


def test_turns_that_another_program_adds_meanwhile_are_not_lost(
    call: Call,  # noqa: F811
    engine: RecordingEngine,  # noqa: F811
    tmp_path: Path,
) -> None:
    path = tmp_path / "talk.q3vl"

    def answer_while_another_saves(_: object) -> str:
        theirs = Conversation(ScriptedEngine(lambda _: "theirs"), GenerateOptions(GREEDY))
        list(theirs.ask("?"))
        save_session(theirs, path)
        return "ours"

    engine.answer = answer_while_another_saves
    for _ in ("a new file", "one that was there"):
        code, out, err = call("ask", "demo", "One?", "--session", path)
        assert (code, out) == (1, "ours\n")
        assert "was changed by another program since it was opened" in err
        (turn,) = load_session(path, ScriptedEngine(lambda _: ""), GenerateOptions(GREEDY))[0].turns
        assert turn.answer == "theirs"


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_link_to_a_session_stays_one(
    call: Call,  # noqa: F811
    engine: RecordingEngine,  # noqa: F811
    tmp_path: Path,
) -> None:
    link = tmp_path / "link.q3vl"
    link.symlink_to(tmp_path / "talk.q3vl")
    for _ in range(2):
        assert call("ask", "demo", "One?", "--session", link)[0] == 0
    assert link.is_symlink()
    assert len(load_session(link, engine, GenerateOptions(GREEDY))[0].turns) == 2


def test_without_a_file_there_is_nothing_to_check(tmp_path: Path) -> None:
    SessionOptions().check()
    with pytest.raises(SessionError, match="not a regular file"):
        SessionOptions(session=tmp_path).check()
