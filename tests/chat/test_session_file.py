"""Saved conversations: taken up exactly, and never trusted."""

import json
import math
import os
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qwen3vl_edge.ask import load_media
from qwen3vl_edge.bundle import Bundle
from qwen3vl_edge.chat import Conversation, load_session, save_session
from qwen3vl_edge.chat.session_file import open_session
from qwen3vl_edge.chat.session_json import session_json
from qwen3vl_edge.clips import Clip, ClipOptions
from qwen3vl_edge.errors import SessionError
from qwen3vl_edge.images import Picture, load_picture
from qwen3vl_edge.runtime.engine import Finished, GenerateOptions
from qwen3vl_edge.runtime.engine_settings import EngineSettings
from qwen3vl_edge.runtime.fake import ScriptedEngine
from qwen3vl_edge.runtime.llama_engine import LlamaEngine
from qwen3vl_edge.sampling import GREEDY
from tests.test_video import write_clip

OPTIONS = GenerateOptions(GREEDY, 8)


@pytest.fixture
def shown(tmp_path: Path) -> Path:
    path = tmp_path / "noise.png"
    pixels = np.random.default_rng(1).integers(0, 256, (300, 400, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine(lambda _: "fine")


@pytest.fixture
def kept(engine: ScriptedEngine, shown: Path, tmp_path: Path) -> Path:
    """A saved conversation of two turns, the first about a picture."""
    conversation = Conversation(engine, OPTIONS, system="Be brief.", policy="drop")
    for _ in conversation.ask(load_picture(shown, engine.info.image_limits), "What is it?"):
        pass
    for _ in conversation.ask("And why?"):
        pass
    save_session(conversation, tmp_path / "talk.q3vl")
    return tmp_path / "talk.q3vl"


def rewrite(path: Path, change: object, state: bytes | None = b"") -> None:
    """Put other contents into the archive; ``state`` None leaves the state out, b"" as it is."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    values = json.loads(members["session.json"])
    change(values)  # type: ignore[operator]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("session.json", json.dumps(values))
        if state is not None:
            archive.writestr("state.bin", state or members["state.bin"])


def test_a_conversation_comes_back_as_it_was(engine: ScriptedEngine, kept: Path) -> None:
    conversation, notes = load_session(kept, ScriptedEngine(lambda _: "yes"), OPTIONS)
    assert notes == ()
    assert [turn.answer for turn in conversation.turns] == ["fine", "fine"]
    assert conversation.turns[1].question.content == ("And why?",)
    assert (conversation.system, conversation.policy) == ("Be brief.", "drop")
    cost = conversation.cost("More?")
    assert cost.encode == 0
    assert cost.reused > cost.vision > 0
    assert list(kept.parent.glob(".*")) == []
    assert load_session(kept, engine, OPTIONS, policy="shrink")[0].policy == "shrink"


def test_without_state_everything_is_read_again(engine: ScriptedEngine, kept: Path) -> None:
    conversation, _ = load_session(kept, engine, OPTIONS)
    save_session(conversation, kept, with_state=False)
    again, notes = load_session(kept, ScriptedEngine(lambda _: "yes"), OPTIONS)
    assert notes == ()
    assert again.cost("More?").reused == 0
    assert session_json(again, None) == session_json(conversation, None)


def test_another_model_reads_everything_again_and_says_so(kept: Path) -> None:
    rewrite(kept, lambda values: values.update(identity="another"))
    conversation, (note,) = load_session(kept, ScriptedEngine(lambda _: "yes"), OPTIONS)
    assert "model has changed" in note
    assert conversation.cost("More?").reused == 0
    assert len(conversation.turns) == 2


def test_a_damaged_state_is_noticed(kept: Path) -> None:
    rewrite(kept, lambda values: None, state=b"nonsense")
    conversation, (note,) = load_session(kept, ScriptedEngine(lambda _: "yes"), OPTIONS)
    assert "damaged" in note
    assert conversation.cost("More?").reused == 0


def test_numbers_of_pictures_are_kept_and_older_files_have_none(engine: ScriptedEngine, kept: Path) -> None:
    conversation, _ = load_session(kept, engine, OPTIONS)
    assert not conversation.vision_ids
    conversation.vision_ids = True
    save_session(conversation, kept)
    again, _ = load_session(kept, engine, OPTIONS)
    assert again.vision_ids
    assert again.fork().vision_ids
    rewrite(kept, lambda values: values.pop("vision_ids"))
    assert not load_session(kept, engine, OPTIONS)[0].vision_ids


def test_options_of_a_clip_that_bound_nothing_are_kept(engine: ScriptedEngine, tmp_path: Path) -> None:
    film = write_clip(tmp_path / "clip.mp4", 20)
    for options in (
        ClipOptions(n_frames=1 << 60, end_s=math.inf),
        ClipOptions(fps=1e4, max_tokens=1 << 60),
    ):
        conversation = Conversation(engine, OPTIONS)
        list(conversation.ask(*load_media(engine.info, [], [film], options), "?"))
        save_session(conversation, tmp_path / "talk.q3vl")
        again, notes = load_session(tmp_path / "talk.q3vl", engine, OPTIONS)
        assert notes == ()
        assert isinstance(again.turns[0].question.content[0], Clip)


def test_a_dropped_turn_is_kept_without_its_picture(engine: ScriptedEngine, kept: Path, shown: Path) -> None:
    """The model is not shown it: the rest of the conversation must not be lost with the picture."""
    rewrite(kept, lambda values: values.update(n_dropped=1))
    assert load_session(kept, engine, OPTIONS)[1] == ()
    shown.unlink()
    conversation, (note,) = load_session(kept, engine, OPTIONS)
    assert "turns[0]: question[0]: picture cannot be shown again: no such picture" in note
    assert conversation.turns[0].question.content == (f"(picture {shown})", "What is it?")
    assert conversation.n_dropped == 1
    save_session(conversation, kept)
    assert load_session(kept, engine, OPTIONS)[1] == ()


def test_a_picture_whose_name_is_no_text_is_found_again(engine: ScriptedEngine, shown: Path) -> None:
    odd = shown.with_name(os.fsdecode(b"bad\xffname.png"))
    try:
        shown.rename(odd)
    except OSError:
        pytest.skip("this file system takes no such names")
    conversation = Conversation(engine, OPTIONS)
    for _ in conversation.ask(load_picture(odd, engine.info.image_limits), "What is it?"):
        pass
    save_session(conversation, odd.with_name("talk.q3vl"))
    again, _ = load_session(odd.with_name("talk.q3vl"), engine, OPTIONS)
    picture, _ = again.turns[0].question.content
    assert isinstance(picture, Picture)
    assert Path(picture.source) == odd


def test_a_text_with_bytes_that_are_none_does_not_make_the_file_unreadable(
    engine: ScriptedEngine, tmp_path: Path
) -> None:
    conversation = Conversation(engine, replace(OPTIONS, stop=("end\udcff",)), system="Be \udcff brief.")
    save_session(conversation, tmp_path / "talk.q3vl")
    again = open_session(tmp_path / "talk.q3vl", engine).conversation
    assert (again.system, again.options.stop) == ("Be ? brief.", ("end?",))


def test_changed_and_missing_pictures_are_noticed(engine: ScriptedEngine, kept: Path, shown: Path) -> None:
    Image.new("RGB", (400, 300)).save(shown)
    with pytest.raises(SessionError, match=r"noise\.png has changed since"):
        load_session(kept, engine, OPTIONS)
    shown.unlink()
    with pytest.raises(SessionError, match=r"no such picture: .*noise\.png"):
        load_session(kept, engine, OPTIONS)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda values: values.update(format_version=2), "newer version"),
        (lambda values: values.update(policy="never"), "policy"),
        (lambda values: values.update(vision_ids="yes"), "vision_ids"),
        (lambda values: values.update(n_dropped=9), "n_dropped"),
        (lambda values: values["turns"][0].update(stop_reason="why"), "stop_reason"),
        (lambda values: values["turns"][0].update(question=[{"text": 5}]), "text"),
        (lambda values: values["turns"][0]["question"][0].update(height=1 << 20), "height"),
        (lambda values: values.update(cells=[-1]), "cells"),
        (lambda values: values.update(cells=[{"media": "no", "n_cells": 1, "n_positions": 1}]), "media"),
        (lambda values: values.pop("turns"), "turns is missing"),
    ],
)
def test_each_wrong_field_is_named(engine: ScriptedEngine, kept: Path, change: object, words: str) -> None:
    rewrite(kept, change)
    with pytest.raises(SessionError, match=words):
        load_session(kept, engine, OPTIONS)


def test_what_is_no_session_is_refused(engine: ScriptedEngine, kept: Path) -> None:
    whole = kept.read_bytes()
    for damage in (b"", b"PK", whole[: len(whole) // 2], whole[:100] + b"?" + whole[101:]):
        kept.write_bytes(damage)
        with pytest.raises(SessionError, match="not a saved session"):
            load_session(kept, engine, OPTIONS)
    with pytest.raises(SessionError, match="no such session"):
        load_session(kept.with_name("none"), engine, OPTIONS)
    with zipfile.ZipFile(kept, "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("session.json", b"[" * 10_000_000)
    with pytest.raises(SessionError, match="sensible size"):
        load_session(kept, engine, OPTIONS)


def test_a_model_goes_on_without_reading_or_encoding(
    tiny_bundle: Bundle, shown: Path, tmp_path: Path
) -> None:
    path = tmp_path / "talk.q3vl"
    settings = EngineSettings(n_threads=2, kv_type="f32", flash_attention="off")
    with LlamaEngine(tiny_bundle, settings) as engine:
        conversation = Conversation(engine, OPTIONS)
        picture = load_picture(shown, engine.info.image_limits)
        for _ in conversation.ask(picture, "What is it?"):
            pass
        save_session(conversation, path)
        parts = conversation._parts(conversation.history, conversation.turns[0].question)
        expected = conversation.session.next_logits(parts)  # type: ignore[attr-defined]
    with LlamaEngine(tiny_bundle, settings) as engine:
        conversation, notes = load_session(path, engine, OPTIONS)
        assert notes == ()
        assert conversation.cost("And?").encode == 0
        given = conversation.session.next_logits(parts)  # type: ignore[attr-defined]
        assert np.abs(given - expected).max() < 1e-4
        *_, finished = conversation.ask("And?")
        assert isinstance(finished, Finished)
        assert finished.seconds.encode == 0.0
        assert finished.tokens.reused > finished.tokens.vision
    with LlamaEngine(tiny_bundle, EngineSettings(n_threads=2, kv_type="f16")) as engine:
        conversation, (note,) = load_session(path, engine, OPTIONS)
        assert "cannot be used" in note
        assert conversation.cost("And?").reused == 0
