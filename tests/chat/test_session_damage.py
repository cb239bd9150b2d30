"""Session files that were damaged or forged: a sentence, and never more than they are worth in memory."""

import json
import random
import struct
import tracemalloc
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from qwen3vl_edge.chat import Conversation, load_session, save_session
from qwen3vl_edge.errors import SessionError
from qwen3vl_edge.images import load_picture
from qwen3vl_edge.limits import ImageLimits
from qwen3vl_edge.runtime.engine import GenerateOptions
from qwen3vl_edge.runtime.fake import ScriptedEngine
from qwen3vl_edge.sampling import GREEDY
from tests.chat.test_session_file import rewrite

OPTIONS = GenerateOptions(GREEDY)
ODD = (None, True, -1, 0, 1 << 40, 10**400, 1.5, "", "x", "\0", [], {}, [[]], [None], {"bytes": "zz"})


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine(lambda _: "fine")


@pytest.fixture
def kept(engine: ScriptedEngine, tmp_path: Path) -> Path:
    """A saved conversation about a picture of 64 × 64 px, shown as 256 × 256."""
    Image.new("RGB", (64, 64), "red").save(tmp_path / "red.png")
    conversation = Conversation(engine, OPTIONS, system="Be brief.")
    for _ in conversation.ask(load_picture(tmp_path / "red.png", engine.info.image_limits), "What is it?"):
        pass
    save_session(conversation, tmp_path / "talk.q3vl")
    return tmp_path / "talk.q3vl"


def outcome(path: Path, engine: ScriptedEngine) -> str:
    """Load `path`; anything else than a `SessionError` comes out."""
    try:
        conversation, notes = load_session(path, engine, OPTIONS)
    except SessionError as error:
        assert "\n" not in str(error)
        return "refused"
    conversation.close()
    return "noted" if notes else "loaded"


def test_flipped_bits_and_lost_ends_give_a_sentence_or_the_conversation(
    engine: ScriptedEngine, kept: Path
) -> None:
    whole, draw, seen = kept.read_bytes(), random.Random(5), Counter[str]()
    edges = [*range(60), *range(len(whole) - 250, len(whole))]  # the headers of the archive
    for number in range(300):
        damaged = bytearray(whole)
        for _ in range(draw.choice((1, 1, 3, 8))):
            where = draw.choice(edges) if draw.random() < 0.7 else draw.randrange(len(whole))
            damaged[where] ^= 1 << draw.randrange(8)
        kept.write_bytes(damaged[: draw.randrange(len(whole))] if number % 6 == 0 else damaged)
        seen[outcome(kept, engine)] += 1
    assert seen["refused"] > 200
    assert seen["loaded"] > 0


def test_odd_values_give_a_sentence_or_the_conversation(engine: ScriptedEngine, kept: Path) -> None:
    whole, draw, seen = kept.read_bytes(), random.Random(6), Counter[str]()

    def put_something_odd(value: object) -> None:
        while True:
            keys = list(value) if isinstance(value, dict) else list(range(len(value)))  # type: ignore[arg-type]
            key = draw.choice(keys)
            inner = value[key]  # type: ignore[index]
            if not isinstance(inner, dict | list) or not inner or draw.random() < 0.3:
                value[key] = draw.choice(ODD)  # type: ignore[index]
                return
            value = inner

    for _ in range(300):
        kept.write_bytes(whole)
        rewrite(kept, put_something_odd)
        seen[outcome(kept, engine)] += 1
    assert seen["refused"] > 100
    assert seen["noted"] > 10


@pytest.mark.parametrize(
    "change",
    [
        lambda values: values["cells"].__setitem__(0, values["cells"][0] + 1),
        lambda values: values["cells"].pop(),
        lambda values: values["cells"].append(65),
        lambda values: next(c for c in values["cells"] if isinstance(c, dict)).update(n_positions=9),
        lambda values: next(c for c in values["cells"] if isinstance(c, dict)).update(media="00" * 16),
        lambda values: values.update(seal="0" * 64),
        lambda values: values.pop("seal"),
    ],
)
def test_cells_that_are_not_those_of_the_state_are_noticed(
    engine: ScriptedEngine, kept: Path, change: object
) -> None:
    rewrite(kept, change)
    conversation, (note,) = load_session(kept, engine, OPTIONS)
    assert note == "the saved state is damaged: the conversation is read again"
    assert conversation.cost("More?").reused == 0


@pytest.mark.parametrize(
    ("height", "width"),
    [(65536, 65536), (250, 256), (256, 31), (32, 524288), (16_777_216, 32), (4096, 4128), (32, 12832)],
)
def test_sizes_that_no_picture_can_have_had_are_refused_before_it_is_made(
    engine: ScriptedEngine, kept: Path, height: int, width: int
) -> None:
    rewrite(kept, lambda values: values["turns"][0]["question"][0].update(height=height, width=width))
    tracemalloc.start()
    with pytest.raises(SessionError, match=r"question\[0\]: (height|width)"):
        load_session(kept, engine, OPTIONS)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 4 << 20


@pytest.mark.parametrize(
    ("size", "limits"),
    [
        ((3000, 16), ImageLimits()),
        ((3984, 20), ImageLimits(max_pixels=65_536)),
        ((20, 3984), ImageLimits(min_pixels=1024, max_pixels=65_536)),
        ((10_000, 63), ImageLimits(max_pixels=300_000)),
        ((4100, 4100), ImageLimits()),
        ((1, 1), ImageLimits()),
    ],
)
def test_every_size_that_a_picture_is_shown_at_is_taken(
    tmp_path: Path, size: tuple[int, int], limits: ImageLimits
) -> None:
    Image.new("RGB", size, "red").save(tmp_path / "odd.png")
    engine = ScriptedEngine(lambda _: "fine", limits, n_ctx=1 << 20)
    conversation = Conversation(engine, OPTIONS)
    for _ in conversation.ask(load_picture(tmp_path / "odd.png", limits)):
        pass
    save_session(conversation, tmp_path / "talk.q3vl")
    assert outcome(tmp_path / "talk.q3vl", engine) == "loaded"


def flag_as_encrypted(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    where = -1
    while (where := raw.find(b"PK\x01\x02", where + 1)) >= 0:  # central directory, ZIP APPNOTE 6.3.10
        (flags,) = struct.unpack_from("<H", raw, where + 8)
        struct.pack_into("<H", raw, where + 8, flags | 1)
    path.write_bytes(raw)


def deflate(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("session.json", json.dumps({}))


@pytest.mark.parametrize("change", [flag_as_encrypted, deflate])
def test_archives_of_another_kind_are_refused(
    engine: ScriptedEngine, kept: Path, change: Callable[[Path], None]
) -> None:
    change(kept)
    with pytest.raises(SessionError, match="not a saved session, or damaged"):
        load_session(kept, engine, OPTIONS)
