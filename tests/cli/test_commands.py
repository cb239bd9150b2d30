"""The commands as a user calls them, on a scripted engine or the demo model; in this process."""

import io
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

from qwen3vl_edge.cli import engine_options
from qwen3vl_edge.errors import EngineError
from qwen3vl_edge.prompt import TextPart, VisionPart
from qwen3vl_edge.runtime.engine_settings import DEFAULT_SETTINGS, EngineSettings
from qwen3vl_edge.runtime.fake import ScriptedEngine
from qwen3vl_edge.runtime.placement import Placement
from tests.calls import Call, calling
from tests.test_video import write_clip


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run the command with these arguments; gives exit code, stdout and stderr."""

    return calling(monkeypatch, capsys)


class RecordingEngine(ScriptedEngine):
    """A scripted engine that keeps how it was opened, too."""

    def __init__(self, answer: str) -> None:
        super().__init__(lambda _: answer)
        self.name, self.mmproj, self.settings = "", None, DEFAULT_SETTINGS


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> RecordingEngine:
    scripted = RecordingEngine("A réd\ncircle.")

    @contextmanager
    def open_engine(
        name: str, mmproj: None, settings: EngineSettings, _progress: object
    ) -> Iterator[ScriptedEngine]:
        scripted.name, scripted.mmproj, scripted.settings = name, mmproj, settings
        yield scripted

    monkeypatch.setattr(engine_options, "open_engine", open_engine)
    return scripted


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    Image.new("RGB", (64, 64), "red").save(tmp_path / "red.png")
    return tmp_path / "red.png"


def test_ask_streams_the_answer_and_nothing_else(call: Call, engine: RecordingEngine, picture: Path) -> None:
    assert call("ask", "demo", "What is this?", "-i", picture) == (0, "A réd\ncircle.\n", "")
    shown = [type(part) for part in engine.prompts[0]]
    assert shown == [TextPart, VisionPart, TextPart]


def test_ask_shows_pictures_before_clips_before_text(
    call: Call, engine: RecordingEngine, picture: Path, tmp_path: Path
) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 5)
    code, *_ = call("ask", "demo", "Why?", "-v", clip, "-i", picture, "-i", picture, "--system", "Be brief.")
    assert code == 0
    frames = [len(part.frames) for part in engine.prompts[0] if isinstance(part, VisionPart)]
    assert frames == [1, 1, 2, 2]
    text = "".join(part.text for part in engine.prompts[0] if isinstance(part, TextPart))
    assert text.startswith("[system]Be brief.[user]<")
    assert text.endswith("seconds>Why?[assistant]")


def test_ask_passes_every_option_on(call: Call, engine: RecordingEngine) -> None:
    call(
        "ask",
        "demo",
        "x",
        "--temperature",
        0.3,
        "--top-p",
        0.5,
        "--top-k",
        7,
        "--seed",
        11,
        "--max-tokens",
        4,
        "--min-p",
        0.1,
        "--presence-penalty",
        1.5,
        "--frequency-penalty",
        0.25,
        "--repetition-penalty",
        1.1,
        "--logit-bias",
        "27=-5",
        "--logit-bias",
        "yes=2",
        "--stop",
        r"END\n",
        "--no-loop-guard",
        "--think-budget",
        9,
        "--regex",
        "A.*",
    )
    chosen = engine.options[0]
    assert chosen.sampling.min_p == 0.1
    assert (chosen.sampling.presence_penalty, chosen.sampling.frequency_penalty) == (1.5, 0.25)
    assert chosen.sampling.repetition_penalty == 1.1
    assert chosen.sampling.logit_bias == ((27, -5.0), ("yes", 2.0))
    assert (chosen.stop, chosen.loop_guard, chosen.think_budget) == (("END\n",), False, 9)
    assert chosen.constraint is not None
    assert chosen.constraint.kind == "regex"
    assert (chosen.sampling.temperature, chosen.sampling.top_p, chosen.sampling.top_k) == (0.3, 0.5, 7)
    assert (chosen.sampling.seed, chosen.max_tokens, chosen.n_logprobs) == (11, 4, None)


def test_how_the_model_is_opened(call: Call, engine: RecordingEngine) -> None:
    wanted = ["--ctx", 4096, "--threads", 3, "--kv-type", "q8_0", "--flash-attn", "on", "--no-memory-check"]
    placed = ["--device", "cuda0", "--gpu-layers", 12, "--projector-device", "cpu"]
    kept = ["--media-cache", "kept", "--media-cache-size", "1.5G"]
    assert call("ask", "m", "x", "--mmproj", "p.gguf", *wanted, *placed, *kept)[0] == 0
    assert (engine.name, engine.mmproj) == ("m", Path("p.gguf"))
    assert engine.settings == EngineSettings(
        n_ctx=4096,
        n_threads=3,
        kv_type="q8_0",
        flash_attention="on",
        placement=Placement("cuda0", 12, "cpu"),
        check_memory=False,
        cache_folder=Path("kept"),
        cache_disk_bytes=3 << 29,
    )


def test_ask_takes_the_model_s_own_sampling_by_default(call: Call, engine: RecordingEngine) -> None:
    call("ask", "demo", "x")
    assert engine.options[0].sampling == engine.info.sampling


def test_ask_json_is_one_object(call: Call, engine: RecordingEngine, picture: Path) -> None:
    code, out, err = call("ask", "demo", "x", "-i", picture, "--json", "--logprobs", 1)
    report = json.loads(out)
    assert (code, err) == (0, "")
    assert list(report) == ["answer", "stop_reason", "tokens", "seconds", "logprobs"]
    assert (report["answer"], report["stop_reason"]) == ("A réd\ncircle.", "stop")
    assert list(report["tokens"]) == ["text", "vision", "generated", "reused", "reasoning"]
    assert list(report["seconds"]) == ["load", "encode", "prefill", "decode"]
    assert len(report["logprobs"]) == report["tokens"]["generated"]
    assert list(report["logprobs"][0]) == ["token", "id", "logprob", "top"]
    assert list(report["logprobs"][0]["top"][0]) == ["token", "id", "logprob"]


def test_ask_says_when_the_answer_was_cut_off(call: Call, engine: RecordingEngine) -> None:
    code, out, err = call("ask", "demo", "x", "--max-tokens", 3)
    assert (code, out) == (0, "A r\n")
    assert "cut off after 3 tokens" in err


def test_ask_says_when_a_session_begins_and_goes_on(
    call: Call, engine: RecordingEngine, picture: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "talk.q3vl"
    one = ("ask", "demo", "What is this?", "-i", picture, "--session", kept, "--system", "Be brief.")
    assert call(*one) == (0, "A réd\ncircle.\n", "")
    code, out, _ = call("ask", "demo", "Sure?", "--session", kept, "--json")
    assert code == 0
    assert json.loads(out)["tokens"]["reused"] > json.loads(out)["tokens"]["vision"] > 0
    text = "".join(part.text for part in engine.prompts[-1] if isinstance(part, TextPart))
    assert text.startswith("[system]Be brief.[user]")
    assert text.endswith("[assistant]A réd\ncircle.[user]Sure?[assistant]")
    code, out, _ = call("ask", "demo", "And?", "--session", kept, "--dry-run", "--json")
    planned = json.loads(out)
    assert planned["prompt"] == planned["text"] + planned["vision"]
    assert planned["remaining"] == planned["context"] - planned["prompt"]
    assert len(engine.prompts) == 2
    code, out, err = call("ask", "demo", "And?", "--session", kept, "--system", "Be long.")
    assert (code, out) == (2, "")
    assert "another system prompt" in err
    Image.new("RGB", (64, 64), "blue").save(picture)
    code, out, err = call("ask", "demo", "And?", "--session", kept)
    assert (code, out) == (1, "")
    assert "red.png has changed" in err


def test_what_the_question_takes_is_told_before(call: Call, engine: RecordingEngine, picture: Path) -> None:
    engine.n_ctx = 100
    code, out, err = call("ask", "demo", "x", "-i", picture, "--dry-run")
    assert (code, err) == (0, "")
    assert "64 of pictures and clips" in out
    assert "remain for the answer" in out
    code, out, err = call("ask", "demo", "x" * 200, "--dry-run")
    assert code == 1
    assert "does not fit" in err
    code, out, err = call("ask", "demo", "x" * 200)
    assert (code, out) == (1, "")
    assert "the context is full" in err
    assert engine.prompts == []


def test_pictures_shrink_where_that_is_wanted(call: Call, engine: RecordingEngine, tmp_path: Path) -> None:
    engine.n_ctx = 300
    Image.new("RGB", (640, 640)).save(tmp_path / "large.png")
    code, out, err = call("ask", "demo", "x", "-i", tmp_path / "large.png", "--when-full", "shrink")
    assert (code, out) == (0, "A réd\ncircle.\n")
    assert "pictures are shown smaller" in err


@pytest.mark.parametrize(
    ("answer", "code", "valid"), [('{"name": "x", "n": 2}', 0, True), ('{"name": 1, "n": 2}', 1, False)]
)
def test_the_form_of_an_answer_is_checked(
    call: Call, engine: RecordingEngine, answer: str, code: int, valid: bool
) -> None:
    engine.answer = lambda _: answer
    left, out, err = call("ask", "demo", "x", "--schema", "name, n int", "--json")
    assert left == code
    report = json.loads(out)
    assert report["valid"] == valid
    assert report.get("data") == ({"name": "x", "n": 2} if valid else None)
    assert (err == "") == valid


def test_ask_reads_the_question_from_stdin(
    call: Call, engine: RecordingEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("What now?\n"))
    call("ask", "demo", "-")
    assert TextPart("[user]What now?[assistant]") in engine.prompts[0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("ask", "demo", "x", "--logprobs", "3"), "--logprobs needs --json"),
        (("ask", "demo", " "), "question is empty"),
        (("ask", "demo", "x", "--temperature", "-1"), "out of range: temperature"),
        (("ask", "demo", "x", "--top-p", "0"), "out of range: top-p"),
        (("ask", "demo", "x", "--max-tokens", "0"), "max-tokens"),
        (("ask", "demo"), "PROMPT"),
        (
            ("ask", "demo", "x", "-i", "absent.png", "-v", "absent.mp4"),
            "no such file: absent.png, absent.mp4",
        ),
        (("ask", "demo", "x", "--threads", "0"), "threads"),
        (("ask", "demo", "x", "--regex", "a", "--schema", "name"), "--schema and --regex cannot both hold"),
        (("ask", "demo", "x", "--regex", "("), "not a regular expression"),
        (("ask", "demo", "x", "--schema", "name {"), "schema"),
        (("ask", "demo", "x", "--grammar", "absent.gbnf"), "absent.gbnf"),
        (("ask", "demo", "x", "--logit-bias", "yes"), "--logit-bias 'yes' is not"),
        (("ask", "demo", "x", "--media-cache-size", "much"), "'much' is no size"),
        (("ask", "demo", "x", "--media-cache-size", "1G"), "--media-cache-size needs --media-cache"),
        (("ask", "demo", "x", "--gpu-layers", "some"), "--gpu-layers some"),
        (("ask", "demo", "x", "--when-full", "cry"), "cry"),
        (("ask", "demo", "x", "--reasoning", "loud"), "loud"),
        (("nonsense",), "nonsense"),
        (("ask", "demo", "x", "--nonsense"), "--nonsense"),
    ],
)
def test_a_wrong_call_exits_2(
    call: Call, engine: RecordingEngine, arguments: tuple[str, ...], said: str
) -> None:
    code, out, err = call(*arguments)
    assert (code, out) == (2, "")
    assert said in err


@pytest.mark.parametrize(
    ("option", "name", "said"),
    [
        ("-i", "notes.txt", "not a picture"),
        ("-v", "notes.txt", "not a clip"),
    ],
)
def test_bad_media_exit_1_with_one_line(
    call: Call, engine: RecordingEngine, tmp_path: Path, option: str, name: str, said: str
) -> None:
    (tmp_path / "notes.txt").write_text("notes")
    code, out, err = call("ask", "demo", "x", option, tmp_path / name)
    assert (code, out) == (1, "")
    assert err.startswith("qwen3vl-edge: error: ")
    assert said in err
    assert name in err
    assert err.count("\n") == 1


def test_a_failing_engine_exits_1(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def open_engine(*_: object) -> None:
        raise EngineError("llama.cpp cannot open it")

    monkeypatch.setattr(engine_options, "open_engine", open_engine)
    assert call("ask", "demo", "x") == (1, "", "qwen3vl-edge: error: llama.cpp cannot open it\n")


@pytest.mark.parametrize(("numbered", "expected"), [((), ""), (("--vision-ids",), "Picture 1: ")])
def test_ask_numbers_pictures_where_that_is_wanted(
    call: Call, engine: RecordingEngine, picture: Path, numbered: tuple[str, ...], expected: str
) -> None:
    call("ask", "demo", "x", "-i", picture, *numbered)
    first = engine.prompts[0][0]
    assert isinstance(first, TextPart)
    assert first.text == f"[user]{expected}"


def test_version(call: Call) -> None:
    assert call("--version")[:2] == (0, "qwen3vl-edge 0.1.0\n")


@pytest.mark.parametrize("command", ["ask", "caption", "convert", "inspect"])
def test_every_command_explains_itself_with_examples(call: Call, command: str) -> None:
    code, out, _ = call(command, "--help")
    assert code == 0
    assert f"qwen3vl-edge {command} " in out.split("Usage:")[1].split("\n", 1)[1]
