"""Every tensor's type and bytes, against llama.cpp's own quantizer."""

import logging
from pathlib import Path

import pytest

from qwen3vl_edge.errors import UsageError
from qwen3vl_edge.quant import QUANTIZED_FILE_TYPES, TENSOR_TYPES, FileType, Wishes, parse_type_override
from tests.quant.oracle import plan_oracle, run_oracle
from tests.quant.ours import choose, make_imatrix, run_ours
from tests.quant.tiny_gguf import TinyModel, tiny_tensors, write_gguf

TYPES = [pytest.param(file_type, id=name) for name, file_type in QUANTIZED_FILE_TYPES.items()]
NEEDING = [pytest.param(kind, id=kind.name) for kind in QUANTIZED_FILE_TYPES.values() if kind.needs_imatrix]
MATRIX = pytest.mark.parametrize("matrix", [False, True], ids=["plain", "imatrix"])

# Between them every rule of every recipe shows.
FEW = [
    TinyModel(40, n_kv_heads=2, tied=False),
    TinyModel(40, n_kv_heads=4),
    TinyModel(8, n_kv_heads=4, n_experts=8, tied=False),
    TinyModel(16, n_kv_heads=4, n_experts=5),
]
ODD = [
    TinyModel(row=288, down_row=256, tied=False),
    TinyModel(row=288, down_row=80),
    TinyModel(n_experts=11, row=256, down_row=96),
]
MANY = [
    TinyModel(n_layers, n_kv_heads=n_kv_heads, n_experts=n_experts, tied=tied)
    for n_layers in (4, 8, 40)
    for n_kv_heads in (2, 4)
    for n_experts in (0, 2, 8, 11)
    for tied in (True, False)
]


def compare(folder: Path, model: TinyModel, file_type: FileType, wishes: Wishes, *, matrix: bool) -> None:
    tensors = tiny_tensors(model)
    imatrix = make_imatrix(tensors) if matrix else None
    choices = choose(tensors, file_type, model.traits, wishes, has_imatrix=matrix)
    needs_imatrix = any(choice.needs_imatrix for choice in choices.values())
    source = write_gguf(folder / "source.gguf", model, tensors)
    theirs = run_oracle(source, folder / "target.gguf", file_type, wishes, imatrix)
    assert (theirs is None) == (needs_imatrix and not matrix)
    if theirs is None:
        return
    ours = run_ours(tensors, choices, imatrix)
    assert {name: kind for name, (kind, _) in ours.items()} == {
        name: kind for name, (kind, _) in theirs.items()
    }
    assert [name for name in ours if ours[name] != theirs[name]] == []


@MATRIX
@pytest.mark.parametrize("model", FEW, ids=str)
@pytest.mark.parametrize("file_type", TYPES)
def test_same_bytes(tmp_path: Path, model: TinyModel, file_type: FileType, matrix: bool) -> None:
    compare(tmp_path, model, file_type, Wishes(), matrix=matrix)


@pytest.mark.types
@MATRIX
@pytest.mark.parametrize("model", MANY, ids=str)
@pytest.mark.parametrize("file_type", TYPES)
def test_same_bytes_everywhere(tmp_path: Path, model: TinyModel, file_type: FileType, matrix: bool) -> None:
    compare(tmp_path, model, file_type, Wishes(), matrix=matrix)


@pytest.mark.parametrize("model", ODD, ids=str)
@pytest.mark.parametrize("file_type", TYPES)
def test_same_bytes_of_odd_rows(tmp_path: Path, model: TinyModel, file_type: FileType) -> None:
    if file_type.name == "Q1_0":  # has no fallback
        tensors = tiny_tensors(model)
        source = write_gguf(tmp_path / "source.gguf", model, tensors)
        with pytest.raises(UsageError, match="do not fit Q1_0, whose blocks have 128"):
            choose(tensors, file_type, model.traits, Wishes(), has_imatrix=False)
        assert run_oracle(source, tmp_path / "target.gguf", file_type, Wishes(), None) is None
    else:
        compare(tmp_path, model, file_type, Wishes(), matrix=True)


@pytest.mark.parametrize("model", FEW, ids=str)
@pytest.mark.parametrize("file_type", NEEDING)
def test_same_plan_without_the_matrix_that_it_needs(
    tmp_path: Path, model: TinyModel, file_type: FileType
) -> None:
    tensors = tiny_tensors(model)
    source = write_gguf(tmp_path / "source.gguf", model, tensors)
    choices = choose(tensors, file_type, model.traits, Wishes(), has_imatrix=False)
    assert any(choice.needs_imatrix for choice in choices.values())
    assert {name: choice.kind.name for name, choice in choices.items()} == plan_oracle(source, file_type)


WISHES = {
    "pure": Wishes(pure=True),
    "output": Wishes(output_type=TENSOR_TYPES["Q5_0"]),
    "embedding": Wishes(embedding_type=TENSOR_TYPES["IQ4_NL"]),
    "both": Wishes(output_type=TENSOR_TYPES["Q5_0"], embedding_type=TENSOR_TYPES["IQ4_NL"]),
    "pure with output": Wishes(output_type=TENSOR_TYPES["Q5_0"], pure=True),
    "output over override": Wishes(
        (parse_type_override("output=Q2_K"), parse_type_override("token=Q3_K")), TENSOR_TYPES["Q5_0"]
    ),
    # recipes do not count tensors that are overridden
    "counts shift": Wishes((parse_type_override(r"blk\.[02]\.(ffn_down|attn_v)=Q8_0"),)),
    "first wins": Wishes(
        tuple(
            map(
                parse_type_override,
                (r"blk\.\d\.attn=Q4_1", r"blk\.1=Q5_0", r"_(gate|up)(_exps)?\.weight$=F16"),
            )
        )
    ),
    "pure with override": Wishes((parse_type_override("attn_[kv]=BF16"),), pure=True),
}


@pytest.mark.parametrize("model", FEW[1:3], ids=str)
@pytest.mark.parametrize("wishes", WISHES.values(), ids=WISHES)
@pytest.mark.parametrize("name", ["Q4_K_M", "Q3_K_M", "IQ2_M", "MXFP4_MOE"])
def test_same_bytes_as_wished(tmp_path: Path, model: TinyModel, wishes: Wishes, name: str) -> None:
    compare(tmp_path, model, QUANTIZED_FILE_TYPES[name], wishes, matrix=True)


@pytest.mark.parametrize("kind", TENSOR_TYPES)
def test_same_bytes_of_every_tensor_type(tmp_path: Path, kind: str) -> None:
    wishes = Wishes((parse_type_override(f"ffn_up|attn_q={kind}"),))
    compare(tmp_path, TinyModel(n_experts=11), QUANTIZED_FILE_TYPES["Q4_0"], wishes, matrix=True)


@pytest.mark.parametrize("kind", sorted(TENSOR_TYPES.keys() - {"Q1_0", "NVFP4"}))
def test_same_fallback_of_every_tensor_type(tmp_path: Path, kind: str) -> None:
    wishes = Wishes((parse_type_override(f"ffn_down={kind}"),))
    for down_row in (96, 80):
        compare(tmp_path, TinyModel(down_row=down_row), QUANTIZED_FILE_TYPES["Q4_0"], wishes, matrix=True)


def test_a_matrix_without_the_embedding(tmp_path: Path) -> None:
    """As llama-imatrix writes it: the token embedding is looked up, never multiplied."""
    model = TinyModel(n_layers=8)
    tensors = tiny_tensors(model)
    imatrix = {name: row for name, row in make_imatrix(tensors).items() if name != "token_embd.weight"}
    source = write_gguf(tmp_path / "source.gguf", model, tensors)
    for file_type in (QUANTIZED_FILE_TYPES[name] for name in ("Q4_K_M", "IQ2_XXS", "IQ1_S")):
        choices = choose(tensors, file_type, model.traits, Wishes(), has_imatrix=True)
        assert not choices["token_embd.weight"].needs_imatrix
        theirs = run_oracle(source, tmp_path / "target.gguf", file_type, Wishes(), imatrix)
        assert run_ours(tensors, choices, imatrix) == theirs


def test_every_file_type_that_llama_cpp_accepts_is_offered(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    model = TinyModel(n_layers=1)
    tensors = tiny_tensors(model)
    source, imatrix = write_gguf(tmp_path / "source.gguf", model, tensors), make_imatrix(tensors)
    accepted = {
        code
        for code in range(64)
        if run_oracle(source, tmp_path / "t.gguf", code, Wishes(), imatrix) is not None
    }
    assert accepted == {file_type.code for file_type in QUANTIZED_FILE_TYPES.values()}
