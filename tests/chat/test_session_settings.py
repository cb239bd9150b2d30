"""How answers were made stays with the conversation, until something else is wanted."""

import json
from pathlib import Path

import pytest

from qwen3vl_edge.chat import Conversation, save_session
from qwen3vl_edge.chat.session_file import open_session
from qwen3vl_edge.chat.session_settings import parse_settings, settings_json
from qwen3vl_edge.constraints import from_regex
from qwen3vl_edge.json_fields import Fields
from qwen3vl_edge.runtime.engine import GenerateOptions
from qwen3vl_edge.runtime.fake import ScriptedEngine
from qwen3vl_edge.sampling import GREEDY, Sampling
from tests.chat.test_session_file import rewrite

ALL = GenerateOptions(
    Sampling(
        temperature=1.25,
        top_p=0.5,
        top_k=7,
        min_p=0.125,
        repetition_penalty=1.5,
        presence_penalty=-1.5,
        frequency_penalty=0.25,
        logit_bias=((27, -100.0), ("yes", 5.0)),
        seed=0,
    ),
    max_tokens=77,
    stop=("END\n", "2"),
    loop_guard=False,
    think_budget=0,
)
DEFAULTS = GenerateOptions(Sampling(temperature=0.4), max_tokens=9)


def saved(options: GenerateOptions, path: Path) -> Path:
    save_session(Conversation(ScriptedEngine(lambda _: ""), options), path)
    return path


def test_every_setting_comes_back(tmp_path: Path) -> None:
    opened = open_session(saved(ALL, tmp_path / "talk.q3vl"), ScriptedEngine(lambda _: ""))
    assert opened.conversation.options == ALL


def test_what_belongs_to_one_turn_does_not(tmp_path: Path) -> None:
    once = GenerateOptions(GREEDY, n_logprobs=3, constraint=from_regex("a+"))
    opened = open_session(saved(once, tmp_path / "talk.q3vl"), ScriptedEngine(lambda _: ""))
    assert opened.conversation.options == GenerateOptions(GREEDY)


def test_a_file_without_settings_takes_the_model_s(tmp_path: Path) -> None:
    path = saved(ALL, tmp_path / "talk.q3vl")
    rewrite(path, lambda values: values.pop("settings"))
    engine = ScriptedEngine(lambda _: "")
    assert open_session(path, engine).conversation.options == GenerateOptions(engine.info.sampling)


def test_what_is_not_there_is_as_by_default() -> None:
    fields = Fields({"sampling": {"top_k": 3}}, "file")
    assert parse_settings(fields, DEFAULTS) == GenerateOptions(Sampling(0.4, top_k=3), max_tokens=9)
    assert fields.problems == []


@pytest.mark.parametrize(
    ("section", "key", "value", "words"),
    [
        ("sampling", "temperature", -1, "temperature is -1"),
        ("sampling", "top_p", 0, "out of range: top-p"),
        ("sampling", "seed", "x", "seed is 'x'"),
        ("sampling", "logit_bias", [[1, 10**400]], "logit_bias is no list of pairs"),
        ("sampling", "logit_bias", [[True, 1]], "logit_bias is no list of pairs"),
        ("sampling", "logit_bias", {}, "logit_bias is no list of pairs"),
        ("sampling", "logit_bias", [["", 1]], "an id from 0, or text"),
        (None, "stop", "END", "stop is no list of texts"),
        (None, "stop", [""], "a stop string is empty"),
        (None, "max_tokens", 0, "max_tokens is 0"),
        (None, "think_budget", -1, "think_budget is -1"),
        (None, "loop_guard", 1, "loop_guard is 1"),
        (None, "sampling", 5, "sampling is 5"),
    ],
)
def test_each_wrong_setting_is_named(section: str | None, key: str, value: object, words: str) -> None:
    values = json.loads(json.dumps(settings_json(ALL)))
    (values["sampling"] if section else values)[key] = value
    fields = Fields(values, "file")
    parse_settings(fields, DEFAULTS)
    assert len(fields.problems) == 1
    assert words in fields.problems[0]
