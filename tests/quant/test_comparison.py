"""Whole comparisons on the demo model: what is lost, by which half, resumed, and what is refused."""

import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qwen3vl_edge.bundle import Bundle, find_bundle
from qwen3vl_edge.cli.json_output import json_text
from qwen3vl_edge.converters import Recipe, convert, plan_conversion
from qwen3vl_edge.demo import CHECKPOINT
from qwen3vl_edge.errors import GGUFError, MediaError, UsageError
from qwen3vl_edge.quant.comparison.card import model_card
from qwen3vl_edge.quant.comparison.compare import compare
from qwen3vl_edge.quant.comparison.held_out import drawn_clips, drawn_pictures, held_out_passage
from qwen3vl_edge.quant.comparison.material import (
    PICTURE_QUESTIONS,
    Material,
    Passage,
    Question,
    picture_questions,
)
from qwen3vl_edge.quant.comparison.opened import Opened
from qwen3vl_edge.quant.comparison.pairs import (
    Pair,
    candidate_pair,
    candidate_pairs,
    check_comparable,
    pair_of,
)
from qwen3vl_edge.quant.comparison.plot import draw
from qwen3vl_edge.quant.comparison.report import CandidateReport, Comparison
from qwen3vl_edge.quant.comparison.saved import read_comparison
from qwen3vl_edge.quant.comparison.store import Store
from qwen3vl_edge.quant.imatrix_sums import ImatrixSums, write_imatrix
from qwen3vl_edge.quant.run import run_plan
from qwen3vl_edge.runtime.activations import ActivationSums
from qwen3vl_edge.runtime.engine_settings import EngineSettings
from qwen3vl_edge.runtime.scoring import Scorer
from tests.tiny_checkpoint import TinyShape, write_tiny_checkpoint

SETTINGS = EngineSettings(n_threads=2, n_outputs=64)
MATERIAL = Material(drawn_pictures(3) + drawn_clips(1), held_out_passage(), 128, 3, 24, drawn=True)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Bundles of the demo model by name."""
    top = tmp_path_factory.mktemp("compared")
    for name, projector in (("Q8_0", "f16"), ("Q2_K", "q4_0")):
        convert(CHECKPOINT, top / name, type=name, projector_type=projector, name="demo")
    return {name: top / name for name in ("Q8_0", "Q2_K")}


@pytest.fixture(scope="module")
def reference(demo_f32: Bundle) -> Pair:
    return pair_of("F32", demo_f32)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def found(folders: dict[str, Path], reference: Pair, store: Store) -> Comparison:
    itself = replace(reference, name="itself")
    candidates = [itself, *(candidate_pair(path, reference) for path in folders.values())]
    return compare(reference, candidates, MATERIAL, store, SETTINGS, speed=True)


def test_a_model_loses_nothing_against_itself(found: Comparison) -> None:
    losses = found.candidates[0].losses
    assert losses.model is losses.projector is None
    for loss in (losses.both.text, losses.both.picture, losses.both.clip):
        assert loss is not None
        assert (loss.kl.value, loss.kl_max, loss.same_top, loss.tail_error) == (
            0.0,
            0.0,
            1.0,
            pytest.approx(0, abs=1e-9),
        )
        assert loss.perplexity == loss.reference_perplexity
    assert losses.both.flips.n_changed == 0


def test_fewer_bits_lose_more_on_everything(found: Comparison) -> None:
    _, eight, two = (each.losses for each in found.candidates)
    for kind in ("text", "picture", "clip"):
        low, high = eight.both.of(kind), two.both.of(kind)
        assert low is not None
        assert high is not None
        assert 0 < 20 * low.kl.value < high.kl.value
        assert low.n_tokens == high.n_tokens
        assert low.kl.low <= low.kl.value <= low.kl.high
        assert low.kl_median <= low.kl_99 <= low.kl_max
        assert low.tail_error < low.kl.value / 3
        assert low.reference_perplexity == high.reference_perplexity
    assert found.candidates[0].pair.size_bytes > found.candidates[1].pair.size_bytes
    assert found.candidates[0].pair.bpw == 32.0
    assert found.candidates[2].pair.bpw < 5


def test_each_half_is_measured_alone(found: Comparison) -> None:
    losses = found.candidates[2].losses
    assert losses.model is not None
    assert losses.projector is not None
    assert losses.model.text == losses.both.text  # the projector reads no text
    assert losses.projector.text is None
    for kind in ("picture", "clip"):
        model, projector, both = (each.of(kind) for each in (losses.model, losses.projector, losses.both))
        assert model is not None
        assert projector is not None
        assert both is not None
        assert 0 < projector.kl.value < model.kl.value
        assert both.kl.value != model.kl.value


def test_a_projector_alone_goes_with_the_references_language_model(
    found: Comparison, folders: dict[str, Path], reference: Pair, store: Store
) -> None:
    (path,) = folders["Q2_K"].glob("mmproj-*.gguf")
    alone = compare(reference, [candidate_pair(path, reference)], MATERIAL, store, SETTINGS).candidates[0]
    expected = found.candidates[2].losses.projector
    assert expected is not None
    assert alone.losses.both.picture == expected.picture
    assert alone.losses.model is None
    assert alone.losses.projector == alone.losses.both
    assert alone.losses.both.text is not None
    assert alone.losses.both.text.kl.value == 0


def test_what_is_known_is_not_measured_again(
    found: Comparison,
    folders: dict[str, Path],
    reference: Pair,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Opened, "open", lambda _: pytest.fail("a model was opened"))
    candidates = [candidate_pair(path, reference) for path in folders.values()]
    again = compare(reference, candidates, MATERIAL, store, SETTINGS)
    assert [each.losses for each in again.candidates] == [each.losses for each in found.candidates[1:]]


class _KilledError(Exception):
    pass


@pytest.mark.parametrize("n_prompts", [4, 17])
def test_a_run_that_was_killed_goes_on_and_ends_the_same(
    n_prompts: int,
    found: Comparison,
    folders: dict[str, Path],
    reference: Pair,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    n_read = 0
    scored, scored_text = Scorer.scored, Scorer.scored_text

    def counted(read: object, *arguments: object) -> object:
        nonlocal n_read
        n_read += 1
        if n_read > n_prompts:
            raise _KilledError
        return read(*arguments)  # type: ignore[operator]

    candidate = candidate_pair(folders["Q2_K"], reference)
    with monkeypatch.context() as patch:
        patch.setattr(Scorer, "scored", lambda *given: counted(scored, *given))
        patch.setattr(Scorer, "scored_text", lambda *given: counted(scored_text, *given))
        with pytest.raises(_KilledError):
            compare(reference, [candidate], MATERIAL, Store(tmp_path), SETTINGS)
        n_read, n_prompts = 0, 10_000
        again = compare(reference, [candidate], MATERIAL, Store(tmp_path), SETTINGS)
    assert again.candidates[0].losses == found.candidates[2].losses
    n_all = 3 + 11  # chunks and questions: by the reference, by both halves, by each of them
    assert n_read < n_all + n_all + n_all + 11


def test_what_is_damaged_in_the_store_is_measured_anew(
    reference: Pair, folders: dict[str, Path], tmp_path: Path
) -> None:
    """A power cut can leave files that are there and empty: nobody should have to find and delete them."""
    store, candidate = Store(tmp_path / "store"), candidate_pair(folders["Q2_K"], reference)
    material = replace(MATERIAL, questions=MATERIAL.questions[:2])
    before = compare(reference, [candidate], material, store, SETTINGS)
    for record in store.folder.rglob("*.npz"):
        record.write_bytes(record.read_bytes()[:40])
    after = compare(reference, [candidate], material, store, SETTINGS)
    assert [each.losses for each in after.candidates] == [each.losses for each in before.candidates]


def test_pictures_that_do_not_fit_are_left_out_by_name(reference: Pair, tmp_path: Path) -> None:
    Image.new("RGB", (96, 64), "red").save(tmp_path / "small.png")
    Image.new("RGB", (800, 800), "red").save(tmp_path / "large.png")
    settings = replace(SETTINGS, n_ctx=256)
    material = Material(picture_questions(tmp_path, ["What?", "Why?"]), answer_tokens=185)
    monochrome = compare(reference, [reference], material, Store(tmp_path / "store"), settings)
    assert monochrome.material.n_picture_prompts == 2
    assert len({fault.split(": ")[0] for fault in monochrome.left_out}) == 1
    assert monochrome.left_out[0].startswith(f"{tmp_path / 'large.png'}: prompt and answer take ")


def test_pictures_that_cannot_be_read_are_left_out(reference: Pair, tmp_path: Path) -> None:
    Image.new("RGB", (64, 64), "red").save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    store = Store(tmp_path / "store")
    questions = picture_questions(tmp_path, PICTURE_QUESTIONS[:2])
    found = compare(reference, [reference], Material(questions, answer_tokens=4), store, SETTINGS)
    assert found.material.n_picture_prompts == 2
    assert len(found.left_out) == 1
    assert "bad.png" in found.left_out[0]
    (tmp_path / "good.png").unlink()
    only_bad = Material(picture_questions(tmp_path, ["?"]))
    with pytest.raises(MediaError, match="no picture and no clip"):
        compare(reference, [reference], only_bad, store, SETTINGS)


def test_given_captions_are_scored_and_cannot_flip(
    reference: Pair, folders: dict[str, Path], store: Store
) -> None:
    (question, *_) = drawn_pictures(1)
    material = Material((Question(question.sight, question.text, "A red square and nothing else."),))
    candidate = candidate_pair(folders["Q2_K"], reference)
    losses = compare(reference, [candidate], material, store, SETTINGS).candidates[0].losses.both
    assert losses.flips.n_answers == 0
    assert losses.flips.changed is None
    assert losses.picture is not None
    assert losses.picture.reference_perplexity > 5  # it would have said something else
    assert losses.picture.kl.high == float("inf")  # one picture has no spread


def test_other_models_and_vague_names_are_refused(reference: Pair, tiny_bundle: Bundle, store: Store) -> None:
    with pytest.raises(GGUFError, match="vocabulary"):
        compare(reference, [pair_of("tiny", tiny_bundle)], MATERIAL, store, SETTINGS)
    with pytest.raises(UsageError, match="two candidates are called F32"):
        compare(reference, [reference, reference], MATERIAL, store, SETTINGS)
    with pytest.raises(UsageError, match="no such file"):
        candidate_pair(Path("nowhere"), reference)
    with pytest.raises(UsageError, match="less than one chunk"):
        short = replace(MATERIAL, passage=Passage("p", "short", "a few words"), questions=())
        compare(reference, [reference], short, store, SETTINGS)


def test_a_folder_of_several_types_is_as_many_candidates(reference: Pair, tmp_path: Path) -> None:
    run_plan(plan_conversion(CHECKPOINT, Recipe(("Q8_0", "Q4_0"), "f16", "demo")), tmp_path / "many")
    pairs = candidate_pairs(tmp_path / "many", reference)
    assert sorted(pair.name for pair in pairs) == ["demo-Q4_0", "demo-Q8_0"]
    (tmp_path / "many" / "manifest.json").unlink()  # as others' folders are
    write_imatrix(
        tmp_path / "many" / "demo.imatrix.gguf",
        ImatrixSums({"blk.0.attn_q.weight": ActivationSums(np.ones((1, 4)), np.ones(1, np.int64))}),
    )
    unlisted = candidate_pairs(tmp_path / "many", reference)
    assert {(pair.name, pair.model_id, pair.projector_id) for pair in unlisted} == {
        (pair.name, pair.model_id, pair.projector_id) for pair in pairs
    }
    assert len({pair.model_id for pair in pairs}) == 2
    assert len({pair.projector_id for pair in pairs}) == 1


def test_of_several_projectors_a_candidate_takes_the_references(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    """In a folder as it is downloaded, --mmproj chooses for the reference, and so for all."""
    for folder in folders.values():
        for path in folder.glob("*.gguf"):
            (tmp_path / path.name).write_bytes(path.read_bytes())
    chosen = next(tmp_path.glob("mmproj-*F16.gguf"))
    reference = pair_of("r", find_bundle(tmp_path / "demo-Q8_0.gguf", chosen))
    candidate = candidate_pair(tmp_path / "demo-Q2_K.gguf", reference)
    assert candidate.projector_id == reference.projector_id
    with pytest.raises(UsageError, match="not clear which projector"):
        candidate_pair(tmp_path / "demo-Q2_K.gguf", pair_of("r", find_bundle(folders["Q8_0"])))


def test_models_of_another_size_are_refused(tiny_bundle: Bundle, tmp_path: Path) -> None:
    """They share a vocabulary, as 2B and 4B do; but half of one beside half of the other fits nobody."""
    shape = TinyShape(n_layers=TinyShape().n_layers + 1)
    other = convert(
        write_tiny_checkpoint(tmp_path / "Tiny", shape=shape), tmp_path / "o", type="f32", name="t"
    )
    with pytest.raises(GGUFError, match=r"block_count is \d, that of .* \d; only types of one model"):
        check_comparable(pair_of("r", tiny_bundle), pair_of("o", other))


def test_json_comes_back(found: Comparison, tmp_path: Path) -> None:
    path = tmp_path / "loss.json"
    path.write_text(json_text(found.to_json()))
    back = read_comparison(path)
    assert [each.losses for each in back.candidates] == [each.losses for each in found.candidates]
    assert [each.pair for each in back.candidates] == [each.pair for each in found.candidates]
    assert back.material == found.material
    path.write_text('{"format_version": 1, "reference": {}}')
    with pytest.raises(UsageError, match="is missing"):
        read_comparison(path)
    told = json.loads(json_text(found.to_json()))
    told["candidates"][0]["losses"]["both"] |= {"text": None, "picture": None, "clip": None}
    path.write_text(json.dumps(told))
    with pytest.raises(UsageError, match="text is missing, and so are picture and clip"):
        read_comparison(path)


def test_the_picture_has_every_candidate(found: Comparison, tmp_path: Path) -> None:
    named = replace(found, candidates=(*found.candidates[:2], _renamed(found, "a$b_<c>")))
    draw(named, tmp_path / "loss.svg")
    text = " ".join(ET.parse(tmp_path / "loss.svg").getroot().itertext())  # noqa: S314 -- our own
    assert all(name in text for name in ("itself (0)", "Q8_0", "a$b_<c>"))
    same = replace(found, candidates=(_renamed(found, "x" * 90), _renamed(found, "again")))
    draw(same, tmp_path / "same.svg")
    texts = [each for each in ET.parse(tmp_path / "same.svg").getroot().iter() if each.text]  # noqa: S314
    labels = {each.text: each.attrib for each in texts if each.text in {"x" * 39 + "…", "again"}}
    assert len({str(place) for place in labels.values()}) == 2  # beside one point, and not upon each other
    draw(named, tmp_path / "loss.PNG")
    with Image.open(tmp_path / "loss.PNG") as image:
        assert image.format == "PNG"
        assert len(set(image.convert("RGB").resize((200, 125)).tobytes())) > 20
    for wrong in (tmp_path / "loss.pdf", tmp_path / "none" / "loss.png"):
        with pytest.raises(UsageError):
            draw(named, wrong)


def _renamed(found: Comparison, name: str) -> CandidateReport:
    last = found.candidates[2]
    return replace(last, pair=replace(last.pair, name=name))


def test_the_card_says_what_was_done_and_escapes_what_it_was_told(found: Comparison) -> None:
    named = replace(found, candidates=(found.candidates[1], _renamed(found, "a|b*c")))
    card = model_card(named, "qwen3vl-edge compare x y")
    assert "    qwen3vl-edge compare x y\n" in card
    assert "a\\|b\\*c" in card
    for words in (
        "no importance matrix",
        "9 questions about 3 pictures",
        "Q2\\_K",
        "tokens/s read",
        "llama-cpp-python",
    ):
        assert words in card, words
    rows = [line for line in card.splitlines() if line.startswith("|")]
    widths = [line.replace("\\|", "").count("|") for line in rows]
    for before, row, after in zip(widths, rows[1:], widths[1:], strict=False):
        assert before == after or not row.startswith("| ---")
