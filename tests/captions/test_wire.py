import json
from dataclasses import fields, is_dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen3vl_edge.captions.prompts import Prompt
from qwen3vl_edge.captions.values import Answer, Outcome, Request
from qwen3vl_edge.captions.wire import (
    Beat,
    Fault,
    Message,
    Opened,
    Parallel,
    Reading,
    Running,
    WireError,
    Working,
    decode,
    encode,
)
from qwen3vl_edge.captions.worker_settings import WorkerSettings
from qwen3vl_edge.clips import ClipOptions
from qwen3vl_edge.constraints import from_regex
from qwen3vl_edge.errors import UsageError
from qwen3vl_edge.limits import MediaLimits
from qwen3vl_edge.runtime.engine import GenerateOptions, Seconds
from qwen3vl_edge.runtime.engine_settings import EngineSettings
from qwen3vl_edge.runtime.placement import Placement
from qwen3vl_edge.sampling import Sampling

PLAIN = WorkerSettings(
    Path("m.gguf"),
    Path("p.gguf"),
    (Prompt("a", "What?", "What?"),),
    GenerateOptions(Sampling()),
)
SAMPLING = Sampling(0.1, 0.9, 3, 0.2, 1.25, -1.5, 0.5, ((7, -100.0), ("a", 2.5)), seed=11)
CONSTRAINT = from_regex("[0-9]+")
OPTIONS = GenerateOptions(SAMPLING, 77, 2, ("\n", "é"), False, 5, CONSTRAINT, 3, True)
ENGINE = EngineSettings(
    n_ctx=512,
    n_threads=3,
    kv_type="q8_0",
    flash_attention="on",
    placement=Placement("Vulkan0", -1, "cpu"),
    check_memory=False,
    cache_ram_bytes=0,
    cache_folder=Path("/cache/\udcff"),
    cache_disk_bytes=1,
    n_outputs=2,
    n_parallel=4,
)
SETTINGS = WorkerSettings(
    model=Path("/models/m\udce4.gguf"),
    projector=Path("q.gguf"),
    prompts=(Prompt("b", "{name}: Was?", "film?", 9, 'root ::= "a"', True, True), Prompt("c", "d", "e")),
    options=OPTIONS,
    system="Be brief. </s>",
    engine=ENGINE,
    clip_options=ClipOptions(fps=1.5, start_s=0.5, end_s=float("inf"), max_tokens=9, max_frame_tokens=8),
    limits=MediaLimits(1000, 2000),
    n_parallel=6,
    n_files=9,
    n_readers=1,
    ahead_bytes=5,
)
OUTCOME = Outcome(
    number=5,
    status="done",
    answers=(Answer("What\u2028?", "A \U0001f600 \x00 caption", "loop", 12),),
    error="bad \udcff\nname",
    content_hash="ab" * 32,
    width=3,
    height=4,
    n_vision_tokens=7,
    notes=("note", ""),
    seconds=Seconds(1.5, 0.25, 3.0, 4.5),
)


@pytest.mark.parametrize(
    "message",
    [
        PLAIN,
        SETTINGS,
        replace(SETTINGS, clip_options=ClipOptions(n_frames=3)),
        Request(0, Path("a\udcff b\n.png"), "clip", existing="so 'far'\n", tags="x, y"),
        Opened("name", "identity"),
        Parallel(8),
        Working("loading", 5, None),
        Working("loading", 5, 100),
        Beat(),
        Reading((3, 1)),
        Running("prefill", (1, 2), 99),
        OUTCOME,
        Outcome(1, "crashed"),
        Fault("memory", "no room"),
    ],
    ids=lambda message: type(message).__name__,
)
def test_messages_arrive_as_they_were_sent(message: Message) -> None:
    line = encode(message)
    assert line.endswith(b"\n") and line.count(b"\n") == 1 and line.isascii()
    assert decode(line) == message


def test_each_setting_above_differs_from_its_default() -> None:
    """Else the test before this one would not notice a setting that is not passed on."""
    assert not list(_unchanged(SETTINGS, PLAIN, "settings"))


def _unchanged(value: object, plain: object, where: str) -> list[str]:
    assert is_dataclass(value)
    found = []
    for field in fields(value):
        mine, default = getattr(value, field.name), getattr(plain, field.name)
        if is_dataclass(default) and not isinstance(default, type):
            found += _unchanged(mine, default, f"{where}.{field.name}")
        elif mine == default and field.name != "n_frames":  # excludes fps; above
            found.append(f"{where}.{field.name}")
    return found


def test_a_constraint_arrives_as_its_grammar() -> None:
    arrived = decode(encode(SETTINGS))
    assert isinstance(arrived, WorkerSettings)
    assert arrived.options.constraint is not None
    assert arrived.options.constraint.grammar == CONSTRAINT.grammar


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"[]\n",
        b"llama_model_load: done\n",
        b'{"type": "Surprise"}\n',
        b'{"type": ["Opened"]}\n',
        b'{"type": "Opened", "name": 3, "identity": ""}\n',
        b'{"type": "Request", "number": -1, "path": "a", "kind": "picture", "existing": "", "tags": ""}\n',
        b'{"type": "Request", "number": 1, "path": "a", "kind": "hologram", "existing": "", "tags": ""}\n',
        encode(OUTCOME)[:-20],
        encode(OUTCOME).replace(b'"answers": [', b'"answers": [3, '),
        encode(SETTINGS).replace(b'["a", 2.5]', b'["a"]'),
        b"[" * 100_000,
    ],
)
def test_what_is_no_message_is_refused(line: bytes) -> None:
    with pytest.raises(WireError):
        decode(line)


@given(st.binary(max_size=80))
def test_noise_is_no_message(line: bytes) -> None:
    with pytest.raises(WireError):
        decode(line)


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), st.lists, max_leaves=5)


@given(st.sampled_from([OUTCOME, SETTINGS, Running("encode", (1,), 2)]), st.data())
def test_a_field_of_another_type_is_refused_or_was_no_harm(message: Message, data: st.DataObject) -> None:
    found = json.loads(encode(message))
    key = data.draw(st.sampled_from(sorted(found)))
    found[key] = data.draw(JSON)
    try:
        arrived = decode(json.dumps(found).encode())
    except (WireError, UsageError):
        return
    assert type(arrived) is type(message)


def test_settings_that_make_no_sense_are_refused() -> None:
    for prompt in (Prompt("a", "{nome}", "x"), Prompt("a", "x", "")):
        with pytest.raises(UsageError):
            replace(PLAIN, prompts=(prompt,))
    with pytest.raises(UsageError, match="0 sequences"):
        replace(PLAIN, n_parallel=0)
    with pytest.raises(UsageError, match="129 sequences"):
        replace(PLAIN, n_parallel=129)
    with pytest.raises(UsageError, match="nothing to ask"):
        replace(PLAIN, prompts=())


def test_as_many_sequences_as_there_may_be_prompts_at_once() -> None:
    two = replace(PLAIN, prompts=SETTINGS.prompts)
    assert PLAIN.opening().n_parallel == 32
    assert replace(PLAIN, n_files=3).opening().n_parallel == 3
    assert replace(two, n_files=3).opening().n_parallel == 6
    assert replace(PLAIN, n_files=0).opening().n_parallel == 1
    assert replace(PLAIN, n_files=3, n_parallel=12).opening().n_parallel == 12


def test_encoder_outputs_are_kept_for_further_prompts_alone() -> None:
    two = replace(PLAIN, prompts=SETTINGS.prompts)
    assert two.opening().cache_ram_bytes == EngineSettings().cache_ram_bytes
    assert PLAIN.opening().cache_ram_bytes < EngineSettings().cache_ram_bytes / 4
    assert replace(PLAIN, engine=ENGINE).opening().cache_ram_bytes == 0
