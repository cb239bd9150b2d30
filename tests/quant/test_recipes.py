import subprocess
import sys

import pytest

from qwen3vl_edge.errors import GGUFError, UsageError
from qwen3vl_edge.ggml_types import FILE_TYPES, TYPES_BY_NAME
from qwen3vl_edge.quant import (
    QUANTIZED_FILE_TYPES,
    TENSOR_TYPES,
    Choice,
    ModelTraits,
    Wishes,
    choose_types,
    find_file_type,
    parse_type_override,
)
from qwen3vl_edge.quant.mixes import rules_of
from tests.quant.ours import choose, listing
from tests.quant.tiny_gguf import TinyModel, tiny_tensors

F32 = TYPES_BY_NAME["F32"]
LAYER = [
    ("blk.0.ffn_down.weight", (256, 352), F32),
    ("blk.0.ffn_norm.weight", (256,), F32),
    ("blk.0.attn_v.weight", (64, 256), F32),
    ("v.position_embd.weight", (100, 256), TYPES_BY_NAME["F16"]),
    ("blk.0.ffn_gate_inp.weight", (8, 256), F32),
    ("v.patch_embd.weight.1", (64, 3, 16, 16), F32),
    ("v.blk.0.attn_qkv.bias", (768,), F32),
    ("token_embd.weight", (300, 256), F32),
]


def choices_of(
    file_type: str, wishes: Wishes | None = None, *, has_imatrix: bool = False
) -> dict[str, Choice]:
    return choose_types(
        LAYER, QUANTIZED_FILE_TYPES[file_type], ModelTraits(1, 8, 2), wishes, has_imatrix=has_imatrix
    )


def test_choices_say_why_in_the_order_of_the_file() -> None:
    choices = choices_of("Q4_K_M", Wishes((parse_type_override("blk.*down=Q6_K"),)))
    assert {name: (choice.kind.name, choice.why) for name, choice in choices.items()} == {
        "blk.0.ffn_down.weight": ("Q8_0", "override 'blk.*down'; rows of 352 do not fit Q6_K"),
        "blk.0.ffn_norm.weight": ("F32", "kept: norm"),
        "blk.0.attn_v.weight": ("Q6_K", "recipe: attn_v in the outer eighths and every third layer"),
        "v.position_embd.weight": ("F16", "kept: learned positions"),
        "blk.0.ffn_gate_inp.weight": ("F32", "kept: router of the experts"),
        "v.patch_embd.weight.1": ("F32", "kept: patch embedding"),
        "v.blk.0.attn_qkv.bias": ("F32", "kept: not a weight"),
        "token_embd.weight": ("Q6_K", "recipe: output"),
    }
    assert list(choices) == [name for name, _, _ in LAYER]
    assert not any(choice.needs_imatrix for choice in choices.values())


def test_what_needs_a_matrix_says_so() -> None:
    def needing(file_type: str, wishes: Wishes | None = None) -> list[str]:
        return [name for name, choice in choices_of(file_type, wishes).items() if choice.needs_imatrix]

    assert needing("Q2_K") == []
    assert needing("Q2_K_S") == []  # falls back to Q4_0, shares heads, is the output
    assert needing("Q2_K_S", Wishes((parse_type_override("attn_v=Q2_K"),))) == ["blk.0.attn_v.weight"]
    assert needing("Q4_0", Wishes((parse_type_override("attn_v=IQ1_M"),))) == ["blk.0.attn_v.weight"]
    # llama.cpp would try without one and abort
    assert needing("IQ2_XXS", Wishes(pure=True)) == ["blk.0.attn_v.weight", "token_embd.weight"]
    assert needing("Q4_0", Wishes(embedding_type=TENSOR_TYPES["IQ1_S"])) == ["token_embd.weight"]
    assert needing("Q4_0", Wishes(embedding_type=TENSOR_TYPES["IQ2_S"])) == []


def test_overrides_are_obeyed_in_unquantized_files() -> None:
    choices = choices_of("F16", Wishes((parse_type_override("attn_v=Q8_0"),)))
    assert (choices["blk.0.attn_v.weight"].kind.name, choices["token_embd.weight"].kind.name) == (
        "Q8_0",
        "F16",
    )


def test_a_type_asked_for_a_part_must_fit() -> None:
    tensors = [("token_embd.weight", (300, 96), F32)]
    wishes = Wishes(embedding_type=TENSOR_TYPES["Q4_K"])
    with pytest.raises(
        UsageError, match="token_embd.weight: rows of 96 do not fit Q4_K, whose blocks have 256"
    ):
        choose_types(tensors, QUANTIZED_FILE_TYPES["Q4_K_M"], ModelTraits(1, 8, 2), wishes, has_imatrix=False)


def test_experts_outside_the_model_are_refused() -> None:
    tensors = listing(tiny_tensors(TinyModel(n_experts=3)))
    with pytest.raises(GGUFError, match=r"'blk.2.ffn_down_exps.weight' is in none of the model's 2 layers"):
        choose_types(tensors, QUANTIZED_FILE_TYPES["Q4_K_M"], ModelTraits(2, 8, 2, 3), has_imatrix=False)


def test_a_projector_needs_no_traits() -> None:
    tensors = [
        *(
            (f"v.blk.{i}.{name}.weight", (256, 256), F32)
            for i in range(12)
            for name in ("attn_qkv", "ffn_down")
        ),
        ("mm.0.weight", (256, 256), F32),
    ]
    for file_type in QUANTIZED_FILE_TYPES.values():
        choices = choose_types(tensors, file_type, ModelTraits(), has_imatrix=True)
        assert choices["mm.0.weight"].kind in (file_type.base, TENSOR_TYPES["Q8_0"])


@pytest.mark.parametrize("name", QUANTIZED_FILE_TYPES)
def test_file_types_are_true(name: str) -> None:
    file_type = QUANTIZED_FILE_TYPES[name]
    assert FILE_TYPES[file_type.code] == name
    assert all(rule.kind in TENSOR_TYPES for rule in rules_of(name))
    models = [TinyModel(n_layers, n_experts=n_experts) for n_layers in (2, 16) for n_experts in (0, 8)]
    for model in models:
        choices = choose(tiny_tensors(model), file_type, model.traits, Wishes(), has_imatrix=False)
        assert any(choice.needs_imatrix for choice in choices.values()) == file_type.needs_imatrix


@pytest.mark.parametrize(("given", "found"), [("q4_k_m", "Q4_K_M"), ("Q5_K", "Q5_K_M"), ("f16", "F16")])
def test_find_file_type(given: str, found: str) -> None:
    assert find_file_type(given).name == found


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("Q4_K_X", "did you mean Q4_K_"),
        ("NVFP4", "'NVFP4' is no file type; choose one of"),
        ("huh", "choose one of F32, BF16"),
    ],
)
def test_find_file_type_refuses(given: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        find_file_type(given)


def test_planning_does_not_load_llama_cpp() -> None:
    code = (
        "import ctypes; ctypes.CDLL = None; import sys; import qwen3vl_edge.quant as q; "
        "tensors = [('blk.0.attn_v.weight', (256, 256), q.TENSOR_TYPES['F32'])]; "
        "q.choose_types(tensors, q.find_file_type('Q4_K_M'), q.ModelTraits(1, 8, 2), has_imatrix=False); "
        "assert 'llama_cpp' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
