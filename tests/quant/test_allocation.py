"""Sizes to order: errors as measured, budgets as kept, recipes as used again."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qwen3vl_edge.bundle import Bundle, find_bundles
from qwen3vl_edge.converters import Recipe, convert, ordered_halves, plan_conversion
from qwen3vl_edge.errors import EngineError, GGUFError, UsageError
from qwen3vl_edge.ggml_types import TYPES_BY_NAME
from qwen3vl_edge.gguf_info import GGUFInfo
from qwen3vl_edge.manifest import Manifest
from qwen3vl_edge.quant import Imatrix, Wishes, parse_type_override
from qwen3vl_edge.quant.allocation import Order, Ordered, parse_order, plan_order, read_recipe, save_recipe
from qwen3vl_edge.quant.allocation.damage import sensitivity
from qwen3vl_edge.quant.allocation.errors import Trial, measure_errors
from qwen3vl_edge.quant.allocation.sampling import sample_rows, spread
from qwen3vl_edge.quant.allocation.sites import sites_of, trials_of
from qwen3vl_edge.quant.gguf_facts import base_name, unpadded
from qwen3vl_edge.quant.native import dequantize_rows, quantize_rows
from qwen3vl_edge.quant.parts import why_kept
from qwen3vl_edge.quant.quantize import QuantRecipe, plan_quantization
from qwen3vl_edge.quant.quantize import ordered_halves as gguf_halves
from qwen3vl_edge.quant.run import run_plan
from qwen3vl_edge.quant.typed import Material
from qwen3vl_edge.writing.source import Cut
from tests.tiny_checkpoint import MOE, TinyShape, write_tiny_checkpoint

FEW = tuple(TYPES_BY_NAME[name] for name in ("Q3_K", "Q4_K", "Q6_K", "Q8_0", "F16"))  # quick to measure
SHAPE = TinyShape(ffn=512)  # rows of 256 and 512: every block fits


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_checkpoint(tmp_path_factory.mktemp("order") / "Tiny", shape=SHAPE, tied=False)


@pytest.fixture(scope="module")
def bundle(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return convert(checkpoint, tmp_path_factory.mktemp("order") / "f16", type="f16")


def from_checkpoint(folder: Path, order: Order, recipe: Recipe | None = None, **more: bool) -> Ordered:
    recipe = replace(recipe or Recipe(), types=())
    halves = ordered_halves(folder, recipe, with_projector=more.get("with_projector", True))
    return plan_order(
        halves, order, lambda table: plan_conversion(folder, replace(recipe, assignment=table)), n_threads=2
    )


def from_gguf(bundle: Bundle, order: Order, **more: object) -> Ordered:
    recipe = QuantRecipe((), **more)  # type: ignore[arg-type]
    infos = GGUFInfo.read(bundle.model), GGUFInfo.read(bundle.projector)
    return plan_order(
        gguf_halves(*infos, recipe),
        order,
        lambda table: plan_quantization(*infos, replace(recipe, assignment=table)),
        n_threads=2,
    )


class Values:
    """A source in memory."""

    dtype = "F32"

    def __init__(self, values: np.ndarray) -> None:
        self.values, self.shape, self.nbytes = values, values.shape, values.nbytes

    def name_of(self, row: int) -> str:
        return f"row {row}"

    def ranges(self, limit_bytes: int):  # noqa: ANN201
        yield 0, self.shape[0]

    def read(self, start: int, stop: int) -> np.ndarray:
        return self.values[start:stop]

    def decode(self, stored: np.ndarray) -> np.ndarray:
        return stored


def material(values: np.ndarray, name: str = "blk.0.attn_q.weight") -> Material:
    return Material(name, values.shape, TYPES_BY_NAME["F16"], Values(values), Cut())


def draw(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).standard_normal(shape, dtype=np.float32)


def test_errors_are_those_of_the_output() -> None:
    values, importance = draw(8, 512), np.square(draw(1, 512))
    kind = TYPES_BY_NAME["Q3_K"]
    trial = Trial(material(values), [kind], importance)
    back = dequantize_rows(quantize_rows(values, kind, importance[0]), kind).reshape(values.shape)
    # with inputs that do not correlate, of these mean squares
    inputs = np.random.default_rng(4).standard_normal((512, 20_000)) * np.sqrt(importance[0])[:, None]
    expected = np.square((back - values) @ inputs).mean() / np.square(values @ inputs).mean()
    assert measure_errors([trial], 1)["blk.0.attn_q.weight"]["Q3_K"] == pytest.approx(expected, rel=0.03)


def test_experts_are_measured_with_their_own_importance() -> None:
    values, importance = draw(3, 8, 256), np.ones((3, 256), np.float32)
    values[1, :, ::2] *= 100  # an error there would count most
    importance[1, ::2] = 1e-6
    kind = TYPES_BY_NAME["Q4_K"]
    found = measure_errors([Trial(material(values), [kind], importance)], 2)["blk.0.attn_q.weight"]["Q4_K"]
    error = power = 0.0
    for expert, weights in zip(values, importance, strict=True):
        back = dequantize_rows(quantize_rows(expert, kind, weights), kind).reshape(expert.shape)
        error += float((np.square(back - expert) * weights).sum())
        power += float((np.square(expert) * weights).sum())
    assert found == pytest.approx(error / power, rel=1e-4)


def test_samples_are_spread_and_the_same_again() -> None:
    values = np.repeat(np.arange(4096, dtype=np.float32)[:, None], 1024, axis=1)
    (first,), (again,) = list(sample_rows(material(values))), list(sample_rows(material(values)))
    rows = first.rows[:, 0]
    assert np.array_equal(rows, again.rows[:, 0])
    assert len(rows) == 256
    assert np.array_equal(rows // 16, np.arange(256))
    assert spread(np.random.default_rng(0), 5, 9) == [0, 1, 2, 3, 4]


def test_a_sample_tells_the_error_of_the_whole() -> None:
    values = draw(4096, 512) * np.linspace(0.1, 3, 4096, dtype=np.float32)[:, None]
    kind = TYPES_BY_NAME["Q4_K"]
    found = measure_errors([Trial(material(values), [kind])], 1)["blk.0.attn_q.weight"]["Q4_K"]
    back = dequantize_rows(quantize_rows(values, kind), kind).reshape(values.shape)
    assert found == pytest.approx(np.square(back - values).sum() / np.square(values).sum(), rel=0.03)


def test_types_that_cannot_hold_the_values_and_values_that_are_none() -> None:
    large, broken = draw(4, 256) * 1e6, draw(4, 256)
    broken[2, 7] = np.nan
    kinds = [TYPES_BY_NAME[name] for name in ("F16", "BF16")]
    assert set(measure_errors([Trial(material(large), kinds)], 1)["blk.0.attn_q.weight"]) == {"BF16"}
    with pytest.raises(EngineError, match=r"blk\.0\.attn_q\.weight.*NaN"):
        measure_errors([Trial(material(broken), kinds)], 1)


@pytest.mark.parametrize("bits", [5.2, 6.5, 9.0])
def test_bits_are_never_exceeded_and_nearly_used(checkpoint: Path, bits: float) -> None:
    ordered = from_checkpoint(checkpoint, Order(bits_per_weight=bits, types=FEW))
    tensors = [tensor for file in ordered.plan.files for tensor in file.tensors]
    halves = ordered_halves(checkpoint, Recipe(types=()), with_projector=True)
    n_weights = sum(half.n_weights for half in halves)
    found = sum(tensor.nbytes for tensor in tensors) * 8 / n_weights
    assert bits - 0.05 < found <= bits
    assert {file.type for file in ordered.plan.files} == {f"{found:.2f}bpw"}
    assert 0 <= ordered.chosen.gap < 0.2


def test_bytes_are_never_exceeded(bundle: Bundle, tmp_path: Path) -> None:
    whole = sum(path.stat().st_size for path in (bundle.model, bundle.projector))
    for n, share in enumerate((0.45, 0.6, 0.8)):
        ordered = from_gguf(bundle, Order(n_bytes=int(whole * share), types=FEW))
        manifest = run_plan(ordered.plan, tmp_path / str(n))
        written = sum((tmp_path / str(n) / file.name).stat().st_size for file in manifest.files)
        assert 0.97 * whole * share < written <= whole * share
        (again,) = find_bundles(tmp_path / str(n))
        assert {item.name: item.kind.name for item in ordered.chosen.choices}.items() <= {
            tensor.name: tensor.type_name
            for path in (again.model, again.projector)
            for tensor in GGUFInfo.read(path).tensors
        }.items()
        assert base_name(GGUFInfo.read(again.model)) == "Tiny"


def test_parts_count_with_their_headers(checkpoint: Path) -> None:
    recipe = Recipe(split_max_bytes=300_000)
    order = Order(n_bytes=2_600_000, types=FEW)
    ordered = from_checkpoint(checkpoint, order, recipe)
    assert len(ordered.plan.files) > 4
    assert ordered.plan.n_bytes <= 2_600_000


def test_more_room_costs_less(checkpoint: Path) -> None:
    damages = [
        from_checkpoint(checkpoint, Order(bits_per_weight=bits, types=FEW)).chosen.damage
        for bits in (5.2, 6, 8)
    ]
    assert damages[0] > damages[1] > damages[2] > 0


def test_too_small_says_the_least_that_is_possible(bundle: Bundle) -> None:
    with pytest.raises(UsageError, match=r"--fit 1000: is too small: (\d+) bytes are the least") as refusal:
        from_gguf(bundle, Order(n_bytes=1000, types=FEW))
    least = int(str(refusal.value).split(": ")[2].split()[0])
    assert from_gguf(bundle, Order(n_bytes=least, types=FEW)).plan.n_bytes == least
    with pytest.raises(UsageError, match="too small"):
        from_gguf(bundle, Order(n_bytes=least - 1, types=FEW))
    with pytest.raises(UsageError, match=r"too small: (\S+) bits") as refusal:
        from_gguf(bundle, Order(bits_per_weight=1.0, types=FEW))
    from_gguf(bundle, Order(bits_per_weight=float(str(refusal.value).split(": ")[2].split()[0]), types=FEW))


def test_types_to_choose_of_and_wishes(bundle: Bundle) -> None:
    kinds = tuple(TYPES_BY_NAME[name] for name in ("Q4_K", "Q6_K"))
    wishes = Wishes(overrides=(parse_type_override(r"blk\.1\.attn_q=Q8_0"),))
    ordered = from_gguf(bundle, Order(bits_per_weight=8.2, types=kinds), wishes=wishes)
    tensors = {tensor.name: tensor for file in ordered.plan.files for tensor in file.tensors}
    assert tensors["blk.1.attn_q.weight"].kind.name == "Q8_0"
    assert "override" in tensors["blk.1.attn_q.weight"].why
    of_rows_that_fit = {
        tensor.kind.name
        for tensor in tensors.values()
        if tensor.why == "measured" and tensor.shape[-1] % 256 == 0
    }
    assert of_rows_that_fit <= {"Q4_K", "Q6_K"}
    assert {tensor.kind.name for tensor in tensors.values() if tensor.why == "measured"} > of_rows_that_fit


def test_one_type_for_the_projector_leaves_the_language_model(checkpoint: Path) -> None:
    recipe = Recipe(projector_type="Q8_0")
    ordered = from_checkpoint(checkpoint, Order(bits_per_weight=7, types=FEW), recipe, with_projector=False)
    model, projector = ordered.plan.files
    assert (model.type.endswith("bpw"), projector.type) == (True, "Q8_0")
    assert not any(choice.name.startswith(("v.", "mm.")) for choice in ordered.chosen.choices)
    assert ordered.plan.recipe is not None
    assert ordered.plan.recipe.projector_type == "Q8_0"


def test_types_that_need_a_matrix_are_chosen_with_one_only(checkpoint: Path, tmp_path: Path) -> None:
    halves = ordered_halves(checkpoint, Recipe(types=()), with_projector=True)
    entries = {
        item.name: np.square(draw(1, item.shape[-1])) + np.float32(0.01)
        for half in halves
        for item in half.materials
        if item.name.endswith("weight") and len(item.shape) == 2 and "token_embd" not in item.name
    }
    entries = {name: rows for name, rows in entries.items() if "norm" not in name and "position" not in name}
    recipe = Recipe(imatrix=Imatrix(tmp_path / "m.gguf", entries))
    order = Order(bits_per_weight=5.0, types=(TYPES_BY_NAME["IQ2_XS"], TYPES_BY_NAME["Q8_0"]))
    kinds = {choice.kind.name for choice in from_checkpoint(checkpoint, order, recipe).chosen.choices}
    assert "IQ2_XS" in kinds
    with pytest.raises(UsageError, match="too small"):
        from_checkpoint(checkpoint, order)


def test_what_is_quantized_stays_or_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    run_plan(from_gguf(bundle, Order(bits_per_weight=9, types=FEW)).plan, tmp_path / "once")
    (once,) = find_bundles(tmp_path / "once")
    with pytest.raises((GGUFError, UsageError), match="quantized already"):
        from_gguf(once, Order(bits_per_weight=6, types=FEW))
    smaller = from_gguf(once, Order(bits_per_weight=7.5, types=FEW), allow_requantize=True)
    assert smaller.plan.n_bytes < sum(path.stat().st_size for path in (once.model, once.projector))


def matrix_of(bundle: Bundle) -> Imatrix:
    """Make up a matrix for all quantized tensors, as wide as before the projector was padded."""
    shapes = unpadded([GGUFInfo.read(bundle.model), GGUFInfo.read(bundle.projector)])
    entries = {
        name: np.square(draw(1, shape[-1])) + np.float32(0.01)
        for name, shape in shapes
        if why_kept(name, shape) is None
    }
    return Imatrix(Path("m.gguf"), entries)


@pytest.mark.parametrize("again", [False, True])
def test_a_padded_projector_is_weighed_by_the_matrix_of_its_checkpoint(
    bundle: Bundle, tmp_path: Path, again: bool
) -> None:
    infos = GGUFInfo.read(bundle.model), GGUFInfo.read(bundle.projector)
    run_plan(plan_quantization(*infos, QuantRecipe(("F16",), projector_type="Q8_0")), tmp_path / "padded")
    (padded,) = find_bundles(tmp_path / "padded")
    order = Order(bits_per_weight=7, types=FEW)
    ordered = from_gguf(padded, order, imatrix=matrix_of(padded), allow_requantize=again)
    downs = [choice for choice in ordered.chosen.choices if choice.name.startswith("v.blk.0.ffn_down")]
    assert [choice.shape[-1] for choice in downs] == [256 if again and downs[0].kind.block > 32 else 224]


def test_a_matrix_that_weighs_but_changes_nothing_in_the_end_is_no_fault(bundle: Bundle) -> None:
    ordered = from_gguf(bundle, Order(n_bytes=10**9, types=FEW), imatrix=matrix_of(bundle))
    assert {choice.kind.name for choice in ordered.chosen.choices} == {"F16"}


def test_blocks_that_stay_cost_nothing_and_need_no_matrix(bundle: Bundle, tmp_path: Path) -> None:
    infos = GGUFInfo.read(bundle.model), GGUFInfo.read(bundle.projector)
    recipe = QuantRecipe(("IQ2_XS",), imatrix=matrix_of(bundle))
    run_plan(plan_quantization(*infos, recipe), tmp_path / "small")
    (small,) = find_bundles(tmp_path / "small")
    chosen = from_gguf(small, Order(bits_per_weight=6, types=FEW)).chosen
    stay = [choice for choice in chosen.choices if choice.kind.name == "IQ2_XS"]
    assert stay
    assert {choice.error for choice in stay} == {0.0}
    assert any(choice.name.startswith("v.") and choice.error > 0 for choice in chosen.choices)


def test_the_same_types_whatever_the_number_of_threads(checkpoint: Path) -> None:
    recipe = Recipe(types=())
    halves = ordered_halves(checkpoint, recipe, with_projector=True)
    trials = trials_of(sites_of(halves, FEW))
    assert measure_errors(trials, 1) == measure_errors(trials, 3)


@pytest.mark.parametrize("moe", [False, True])
def test_eight_bit_floats_are_measured_as_they_are_written(tmp_path: Path, moe: bool) -> None:
    shape = replace(MOE, expert_ffn=256) if moe else SHAPE
    folder = write_tiny_checkpoint(tmp_path / "Tiny-FP8", shape=shape, dtype="F8_E4M3")
    ordered = from_checkpoint(folder, Order(bits_per_weight=7, types=FEW))
    manifest = run_plan(ordered.plan, tmp_path / "out")
    written = {note.name: note.error for file in manifest.files for note in file.tensors}
    for choice in ordered.chosen.choices:  # without a matrix: the same measure, there of all rows
        assert written[choice.name] == pytest.approx(choice.error**0.5, rel=0.1, abs=1e-6)


def test_a_recipe_is_never_written_over_something_else(bundle: Bundle, tmp_path: Path) -> None:
    ordered = from_gguf(bundle, Order(bits_per_weight=8, types=FEW))
    note = ordered.plan.recipe
    assert note is not None
    before = bundle.model.read_bytes()
    for path in (bundle.model, bundle.folder / "manifest.json", bundle.folder, tmp_path / "none" / "r.json"):
        with pytest.raises(UsageError, match="another name"):
            save_recipe(path, ordered.chosen, note)
    assert bundle.model.read_bytes() == before
    for _ in range(2):  # over one of its kind
        save_recipe(tmp_path / "r.json", ordered.chosen, note)
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]


@pytest.mark.parametrize("kind", ["manifest", "saved"])
def test_a_recipe_gives_the_same_bytes_again(checkpoint: Path, tmp_path: Path, kind: str) -> None:
    ordered = from_checkpoint(checkpoint, Order(bits_per_weight=5.5))
    first = run_plan(ordered.plan, tmp_path / "first")
    path = tmp_path / "first" / "manifest.json"
    if kind == "saved":
        path = tmp_path / "recipe.json"
        assert ordered.plan.recipe is not None
        save_recipe(path, ordered.chosen, ordered.plan.recipe)
    recipe = Recipe((), assignment=read_recipe(path).assignment)
    again = run_plan(plan_conversion(checkpoint, recipe), tmp_path / "again")
    assert [(file.name, file.sha256) for file in again.files] == [
        (file.name, file.sha256) for file in first.files
    ]
    assert Manifest.read(tmp_path / "again") == again
    assert first.recipe is not None
    assert first.recipe.order is not None
    assert first.recipe.order.bits_per_weight == 5.5
    assert again.recipe is not None
    assert again.recipe.order is not None
    assert again.recipe.order.recipe == path.name


def test_a_recipe_that_was_edited_is_obeyed_or_refused(checkpoint: Path, tmp_path: Path) -> None:
    ordered = from_checkpoint(checkpoint, Order(bits_per_weight=5.5))
    path = tmp_path / "recipe.json"
    assert ordered.plan.recipe is not None
    save_recipe(path, ordered.chosen, ordered.plan.recipe)
    kept = json.loads(path.read_text())

    def planned(tensors: dict[str, str]) -> dict[str, str]:
        path.write_text(json.dumps(kept | {"tensors": tensors}))
        plan = plan_conversion(checkpoint, Recipe((), assignment=read_recipe(path).assignment))
        return {tensor.name: tensor.kind.name for file in plan.files for tensor in file.tensors}

    tensors = kept["tensors"]
    edits = {"blk.2.ffn_up.weight": "BF16", "v.blk.1.ffn_down.weight": "Q2_K"}
    assert edits.items() <= planned(tensors | edits).items()
    for wrong, words in (
        ({"blk.9.ffn_up.weight": "Q4_K"}, "does not have"),
        ({"output_norm.weight": "Q4_K"}, "kept as it is"),
        ({"blk.2.ffn_up.weight": "Q4_X"}, "no type of a tensor"),
        ({"v.blk.1.attn_out.weight": "Q4_K"}, "do not fit Q4_K"),
    ):
        with pytest.raises(UsageError, match=words):
            planned(tensors | wrong)
    del tensors["blk.0.attn_k.weight"]
    with pytest.raises(UsageError, match=r"has no type for blk\.0\.attn_k\.weight"):
        planned(tensors)
    path.write_text("[]")
    with pytest.raises(UsageError, match="JSON object"):
        read_recipe(path)


def test_experts(tmp_path: Path) -> None:
    folder = write_tiny_checkpoint(tmp_path / "Tiny-MoE", shape=replace(MOE, expert_ffn=256))
    ordered = from_checkpoint(folder, Order(bits_per_weight=6, types=FEW))
    assert any("_exps" in choice.name for choice in ordered.chosen.choices)
    run_plan(ordered.plan, tmp_path / "out")
    assert find_bundles(tmp_path / "out")


def test_the_last_matrix_and_the_way_of_pictures_count_more() -> None:
    usual = sensitivity("blk.3.ffn_up.weight", tied=True)
    assert usual == 1
    assert sensitivity("token_embd.weight", tied=True) > sensitivity("token_embd.weight", tied=False)
    assert sensitivity("output.weight", tied=False) > sensitivity("mm.0.weight", tied=False) > usual


@pytest.mark.parametrize(
    ("given", "n_bytes"),
    [("3.5G", 3_500_000_000), ("800M", 800_000_000), ("12345", 12345), ("0.25kb", 250)],
)
def test_sizes(given: str, n_bytes: int) -> None:
    order = parse_order(None, given, None)
    assert order is not None
    assert order.n_bytes == n_bytes


@pytest.mark.parametrize(
    ("bpw", "fit"),
    [(0.0, None), (-1.0, None), (17.0, None), (float("nan"), None), (4.5, "3G"), (None, "3,5G")],
)
def test_sizes_that_are_none(bpw: float | None, fit: str | None) -> None:
    with pytest.raises(UsageError):
        parse_order(bpw, fit, None)
