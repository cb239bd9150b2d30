import pytest

from qwen3vl_edge.converters.tensor_types import choose_type


@pytest.mark.parametrize(
    ("name", "shape", "wanted", "expected"),
    [
        ("blk.0.attn_q.weight", (64, 64), "Q8_0", "Q8_0"),
        ("blk.0.attn_output.weight", (64, 48), "Q8_0", "F16"),
        ("blk.0.attn_norm.weight", (64,), "BF16", "F32"),
        ("token_embd.weight", (300, 64), "Q8_0", "Q8_0"),
        ("v.position_embd.weight", (100, 64), "F16", "F32"),
        ("v.patch_embd.weight", (8, 3, 16, 16), "F16", "F16"),
        ("v.patch_embd.weight.1", (8, 3, 16, 16), "F16", "F16"),
        ("v.patch_embd.weight", (8, 3, 16, 16), "BF16", "F32"),
        ("v.patch_embd.weight.1", (8, 3, 16, 16), "BF16", "F32"),
        ("blk.3.ffn_gate_inp.weight", (6, 64), "Q8_0", "F32"),
        ("blk.3.ffn_gate_exps.weight", (6, 32, 64), "Q8_0", "Q8_0"),
        ("v.patch_embd.bias", (8,), "F16", "F32"),
        ("mm.0.weight", (64, 64), "BF16", "BF16"),
    ],
)
def test_types(name: str, shape: tuple[int, ...], wanted: str, expected: str) -> None:
    assert choose_type(name, shape, wanted).name == expected
