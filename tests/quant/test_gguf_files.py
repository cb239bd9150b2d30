"""Odd files as sources, and calls that hold a mistake: small language models in F32, without a projector."""

from pathlib import Path

import gguf
import numpy as np
import pytest

from qwen3vl_edge.errors import CheckpointError, EngineError, GGUFError, UsageError
from qwen3vl_edge.gguf_format import ALIGNMENT
from qwen3vl_edge.gguf_info import GGUFInfo
from qwen3vl_edge.manifest import Manifest, SourceFile
from qwen3vl_edge.quant import Imatrix, Wishes, find_file_type, find_tensor_type, parse_type_override
from qwen3vl_edge.quant.gguf_source import GGUFSource
from qwen3vl_edge.quant.native import quantize_rows
from qwen3vl_edge.quant.quantize import QuantRecipe, plan_quantization
from qwen3vl_edge.quant.run import run_plan
from qwen3vl_edge.writing import WritePlan
from tests.quant.oracle import read_tensors, run_oracle
from tests.quant.tiny_gguf import Blocks, Tensors, TinyModel, tiny_tensors, write_gguf, write_parts

MODEL = TinyModel(2)


@pytest.fixture
def tensors() -> Tensors:
    return tiny_tensors(MODEL)


@pytest.fixture
def source(tmp_path: Path, tensors: Tensors) -> Path:
    return write_gguf(tmp_path / "tiny-F32.gguf", MODEL, tensors)


def plan(path: Path, *types: str, name: str | None = None, **more: object) -> WritePlan:
    recipe = QuantRecipe(types, **more)  # type: ignore[arg-type]
    return plan_quantization(GGUFInfo.read(path), None, recipe, name=name)


def quantize(path: Path, out: Path, *types: str, name: str | None = None, **more: object) -> list[Path]:
    """Give the files of the first parts."""
    manifest = run_plan(plan(path, *types, name=name, **more), out)
    return [out / file.name for file in manifest.files if file.part == 1]


@pytest.mark.parametrize("alignment", [8, 64, 4096])
def test_any_alignment_of_the_source(tmp_path: Path, tensors: Tensors, alignment: int) -> None:
    """llama.cpp's quantizer writes a file that nobody can read then."""
    path = write_gguf(tmp_path / "tiny.gguf", MODEL, tensors, alignment=alignment)
    plain = write_gguf(tmp_path / "plain.gguf", MODEL, tensors)
    (made,) = quantize(path, tmp_path / "out", "Q4_K_M")
    assert "general.alignment" not in GGUFInfo.read(made).metadata
    assert all(tensor.offset % ALIGNMENT == 0 for tensor in GGUFInfo.read(made).tensors)
    expected = run_oracle(plain, tmp_path / "oracle.gguf", find_file_type("Q4_K_M"), Wishes(), None)
    assert read_tensors(made) == expected


@pytest.mark.parametrize(
    ("name", "expected"), [("../evil", "evil"), ("/abs/x", "abs-x"), ("a b", "a-b"), ("x" * 300, "x" * 200)]
)
def test_a_name_is_no_path(tmp_path: Path, source: Path, name: str, expected: str) -> None:
    (made,) = quantize(source, tmp_path / "o" / "in", "Q8_0", name=name)
    assert made == tmp_path / "o" / "in" / f"{expected}-Q8_0.gguf"
    assert {path.name for path in (tmp_path / "o").iterdir()} == {"in"}
    assert GGUFInfo.read(made).text("general.name") == name


def test_the_source_s_name_is_kept(tmp_path: Path, source: Path) -> None:
    (made,) = quantize(source, tmp_path / "out", "Q8_0")
    assert (made.name, GGUFInfo.read(made).text("general.name")) == ("tiny-Q8_0.gguf", "tiny model")


@pytest.mark.parametrize("name", ["", ".", "..", "/", "\x00", "a\x07"])
def test_names_that_are_none(source: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be made into a file name|holds control characters"):
        plan(source, "Q8_0", name=name)


def test_the_source_behind_a_link_is_not_written_over(tmp_path: Path, tensors: Tensors) -> None:
    for folder in ("in", "out"):
        (tmp_path / folder).mkdir()
    real = write_gguf(tmp_path / "out" / "m-Q8_0.gguf", MODEL, tensors)
    (tmp_path / "in" / "m.gguf").symlink_to(real)
    before = real.read_bytes()
    with pytest.raises(UsageError, match="is where the source lies"):
        run_plan(plan(tmp_path / "in" / "m.gguf", "Q8_0"), tmp_path / "out", overwrite=True)
    (tmp_path / "hard").mkdir()
    (tmp_path / "hard" / "m-Q8_0.gguf").hardlink_to(real)
    with pytest.raises(UsageError, match="is where the source lies"):
        run_plan(plan(tmp_path / "in" / "m.gguf", "Q8_0"), tmp_path / "hard", overwrite=True)
    assert real.read_bytes() == before


def with_blocks(tensors: Tensors, name: str, kind: str, rows: int | None = None) -> dict[str, object]:
    """Return the tensors, one of them quantized already; `rows` None makes it a vector of 256 values."""
    values = tensors[name] if rows is None else np.ones((rows, 256), np.float32)
    values = values.reshape(-1, 256)
    packed = quantize_rows(values, find_tensor_type(kind)).reshape(len(values), -1)
    shaped = packed.reshape(-1) if tensors[name].ndim == 1 else packed
    return {**tensors, name: Blocks(shaped, gguf.GGMLQuantizationType[kind])}


@pytest.mark.parametrize("kind", ["Q8_0", "Q6_K", "Q4_K"])
@pytest.mark.parametrize("half", [0x7E00, 0xFC00])  # NaN, minus infinity
def test_blocks_that_are_copied_must_be_sound(
    tmp_path: Path, tensors: Tensors, kind: str, half: int, capfd: pytest.CaptureFixture[str]
) -> None:
    mixed = with_blocks(tensors, "blk.1.attn_q.weight", kind)
    path = write_gguf(tmp_path / "mixed.gguf", MODEL, mixed)  # type: ignore[arg-type]
    wishes = Wishes((parse_type_override(f"attn_q={kind}"),))
    assert quantize(path, tmp_path / "sound", "Q8_0", wishes=wishes)
    tensor = next(t for t in GGUFInfo.read(path).tensors if t.name == "blk.1.attn_q.weight")
    raw = bytearray(path.read_bytes())
    scale = tensor.offset + {"Q8_0": 34, "Q6_K": 208, "Q4_K": 2}[kind]
    raw[scale : scale + 2] = half.to_bytes(2, "little")
    path.write_bytes(raw)
    with pytest.raises(GGUFError, match=r"'blk\.1\.attn_q\.weight' has NaN or infinite scales"):
        quantize(path, tmp_path / "out", "Q8_0", wishes=wishes)
    assert not (tmp_path / "out").exists()
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("file_type", ["Q4_K_M", "Q5_K_M", "Q4_K_S", "Q3_K_M", "Q2_K"])
def test_the_recipe_of_kept_parts_is_llama_cpp_s(tmp_path: Path, file_type: str) -> None:
    """Twelve layers as the names sort, 10 and 11 before 2: that is how checkpoints are cut."""
    model = TinyModel(12)
    tensors = tiny_tensors(model)
    names = sorted(tensors)
    cut = len(names) // 2
    parts = [{name: tensors[name] for name in part} for part in (names[:cut], names[cut:])]
    path = write_parts(tmp_path / "parts", model, parts)
    (made,) = quantize(path, tmp_path / "out", file_type, keep_split=True)
    assert len(GGUFInfo.read(made).paths) == 2
    arguments = (find_file_type(file_type), Wishes(), None)
    (tmp_path / "oracle").mkdir()
    expected = run_oracle(path, tmp_path / "oracle" / "kept", *arguments, keep_split=True)
    assert read_tensors(made) == expected
    (joined,) = quantize(path, tmp_path / "joined", file_type)
    assert read_tensors(joined) == run_oracle(path, tmp_path / "oracle" / "joined", *arguments)


def test_a_part_without_tensors(tmp_path: Path, tensors: Tensors) -> None:
    path = write_parts(tmp_path / "parts", MODEL, [{}, tensors])
    (made,) = quantize(path, tmp_path / "out", "Q8_0", keep_split=True)
    assert len(GGUFInfo.read(made).paths) == 2
    assert list(read_tensors(made)) == list(tensors)
    first, second = Manifest.read_beside(made).source.files  # type: ignore[union-attr]
    empty = SourceFile.of(path)
    assert (first.size_bytes, first.header_sha256) == (path.stat().st_size, empty.sha256)
    assert second.header_sha256 != empty.sha256


def test_one_type_in_two_spellings_is_one(tmp_path: Path, source: Path) -> None:
    types = ("Q8_0", "q8_0", "Q4_K", "Q4_K_M")
    made = quantize(source, tmp_path / "out", *types)
    assert [path.name for path in made] == ["tiny-Q8_0.gguf", "tiny-Q4_K_M.gguf"]


IDLE = [
    (Wishes(output_type=find_tensor_type("Q5_0"), pure=True), "Q4_K_M", "--output-type: decides nothing"),
    (Wishes(output_type=find_tensor_type("Q5_0")), "F16", "--output-type: decides nothing"),
    (
        Wishes(output_type=find_tensor_type("Q5_0"), embedding_type=find_tensor_type("Q8_0")),
        "Q4_K_M",
        "--output-type: decides nothing",
    ),
    (
        Wishes((parse_type_override("token_embd=Q8_0"),), embedding_type=find_tensor_type("Q5_K")),
        "Q4_K_M",
        "--tensor 'token_embd': decides nothing: --output-type, --embedding-type or an earlier",
    ),
    (
        Wishes((parse_type_override("blk=Q8_0"), parse_type_override("ffn_up=Q6_K"))),
        "Q4_K_M",
        "--tensor 'ffn_up': decides nothing",
    ),
    (Wishes((parse_type_override(r"v\.blk=Q8_0"),)), "Q4_K_M", "found in no tensor that is quantized"),
]


@pytest.mark.parametrize(("wishes", "file_type", "said"), IDLE)
def test_wishes_that_decide_nothing_are_mistakes(
    source: Path, wishes: Wishes, file_type: str, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        plan(source, file_type, wishes=wishes)


def test_a_projector_s_type_without_a_projector(source: Path) -> None:
    with pytest.raises(UsageError, match="--projector-type: there is no projector"):
        plan(source, "Q8_0", projector_type="Q8_0")


def test_a_matrix_that_changes_nothing(tmp_path: Path, source: Path) -> None:
    matrix = Imatrix(tmp_path / "m.gguf", {"blk.0.attn_q.weight": np.ones((1, 256), np.float32)})
    with pytest.raises(UsageError, match=r"--imatrix .*m\.gguf: changes nothing"):
        plan(source, "F16", imatrix=matrix)
    assert plan(source, "Q4_0", imatrix=matrix).files


def test_the_manifest_tells_what_was_asked_for(tmp_path: Path, source: Path) -> None:
    entries = {"blk.0.attn_q.weight": np.ones((1, 256), np.float32)}
    matrix = Imatrix(tmp_path / "deep" / "m.gguf", entries, sha256="ab" * 32)
    wishes = Wishes((parse_type_override("attn_k=Q8_0"),), embedding_type=find_tensor_type("Q6_K"), pure=True)
    (made,) = quantize(source, tmp_path / "out", "q4_k", wishes=wishes, imatrix=matrix, allow_requantize=True)
    manifest = Manifest.read_beside(made)
    assert manifest is not None
    assert manifest.to_dict()["recipe"] == {
        "types": ("Q4_K_M",),
        "projector_type": None,
        "pure": True,
        "overrides": ({"pattern": "attn_k", "type": "Q8_0"},),
        "output_type": None,
        "embedding_type": "Q6_K",
        "imatrix": {"name": "m.gguf", "sha256": "ab" * 32},
        "allow_requantize": True,
        "order": None,
    }
    assert GGUFInfo.read(made).integer("quantize.imatrix.entries_count") == 1


@pytest.mark.parametrize(("kind", "value"), [("Q4_0", 1e6), ("NVFP4", 3000.0)])
def test_values_too_large_are_named(
    tmp_path: Path, tensors: Tensors, kind: str, value: float, capfd: pytest.CaptureFixture[str]
) -> None:
    tensors["blk.1.attn_q.weight"][1, 5] = value
    path = write_gguf(tmp_path / "large.gguf", MODEL, tensors)
    wishes = Wishes((parse_type_override(f"attn_q={kind}"),))
    with pytest.raises(
        (EngineError, CheckpointError), match=r"blk\.1\.attn_q\.weight.* (too large|more than)"
    ):
        quantize(path, tmp_path / "out", "Q8_0", wishes=wishes)
    assert not (tmp_path / "out").exists()
    assert capfd.readouterr().err == ""


def test_an_importance_too_large_is_named(tmp_path: Path, source: Path) -> None:
    matrix = Imatrix(tmp_path / "m.gguf", {"blk.0.attn_q.weight": np.full((1, 256), 1e30, np.float32)})
    with pytest.raises(EngineError, match=r"'blk\.0\.attn_q\.weight': importance up to 1e\+30 is too large"):
        quantize(source, tmp_path / "out", "Q4_K_M", imatrix=matrix)


def test_a_manifest_of_another_file_is_not_believed(tmp_path: Path, source: Path) -> None:
    (made,) = quantize(source, tmp_path / "out", "Q8_0")
    assert Manifest.read_beside(made) is not None
    made.write_bytes(source.read_bytes())
    assert Manifest.read_beside(made) is None


def test_every_block_is_read_once(tmp_path: Path, tensors: Tensors, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where one file copies what others quantize again."""
    mixed = with_blocks(tensors, "blk.1.attn_q.weight", "Q8_0")
    path = write_gguf(tmp_path / "mixed.gguf", MODEL, mixed)  # type: ignore[arg-type]
    read: list[str] = []
    original = GGUFSource.read

    def count(self: GGUFSource, start: int, stop: int) -> object:
        read.append(self.tensor.name)
        return original(self, start, stop)

    monkeypatch.setattr(GGUFSource, "read", count)
    made = quantize(path, tmp_path / "out", "Q8_0", "Q4_0", "F16", allow_requantize=True)
    assert sorted(read) == sorted(tensors)
    monkeypatch.undo()
    for file, file_type in zip(made, ("Q8_0", "Q4_0", "F16"), strict=True):
        (single,) = quantize(path, tmp_path / file_type, file_type, allow_requantize=True)
        assert read_tensors(file) == read_tensors(single)
    assert read_tensors(made[0])["blk.1.attn_q.weight"] == read_tensors(path)["blk.1.attn_q.weight"]


def test_a_vector_of_blocks_is_copied(tmp_path: Path, tensors: Tensors) -> None:
    mixed = with_blocks(tensors, "blk.0.attn_norm.weight", "Q8_0")
    path = write_gguf(tmp_path / "mixed.gguf", MODEL, mixed)  # type: ignore[arg-type]
    (made,) = quantize(path, tmp_path / "out", "Q4_0")
    assert read_tensors(made)["blk.0.attn_norm.weight"] == read_tensors(path)["blk.0.attn_norm.weight"]
    assert read_tensors(made) == run_oracle(path, tmp_path / "o", find_file_type("Q4_0"), Wishes(), None)
