from pathlib import Path

import pytest

from qwen3vl_edge.errors import UsageError
from qwen3vl_edge.ggml_types import TYPES_BY_NAME
from qwen3vl_edge.quant import parse_type_override, read_type_overrides
from qwen3vl_edge.quant.idle import refuse_unmatched

F32 = TYPES_BY_NAME["F32"]
TENSORS = [
    ("token_embd.weight", (300, 256), F32),
    ("blk.0.attn_norm.weight", (256,), F32),
    ("blk.0.ffn_down.weight", (256, 256), F32),
    ("v.position_embd.weight", (100, 256), F32),
]


@pytest.mark.parametrize(
    ("argument", "pattern", "kind"),
    [
        (r"blk\.[0-3]\.ffn_down=Q6_K", r"blk\.[0-3]\.ffn_down", "Q6_K"),
        (" attn_v = iq4_nl ", "attn_v ", "IQ4_NL"),
        ("a(?=b)=c=f16", "a(?=b)=c", "F16"),
    ],
)
def test_parse(argument: str, pattern: str, kind: str) -> None:
    override = parse_type_override(argument)
    assert (override.pattern.pattern, override.kind.name) == (pattern, kind)


def test_searches_and_keeps_case() -> None:
    override = parse_type_override(r"\.[^A-Z]+_down=Q6_K")
    assert override.matches("blk.7.ffn_down.weight")
    assert not override.matches("blk.7.FFN_down.weight")
    assert not parse_type_override(r"blk\.\d=Q6_K").matches("blk.٣.ffn_down.weight")


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("ffn_down", "is not REGEX=TYPE; an example is"),
        ("=Q6_K", "is not REGEX=TYPE"),
        ("ffn_down=", "is not REGEX=TYPE"),
        ("ffn_(down=Q6_K", "is no regular expression .*unterminated subpattern"),
        ("[[:digit:]]=Q6_K", "is no regular expression .*nested set"),
        ("ffn=Q4_K_M", "'Q4_K_M' is no type of a tensor; did you mean Q4_K"),
        ("ffn=Q8_K", "did you mean .*Q8_0"),
        ("ffn=banana", "choose one of F32, F16"),
    ],
)
def test_refuses(argument: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as refusal:
        parse_type_override(argument)
    assert "\n" not in str(refusal.value)


def test_file(tmp_path: Path) -> None:
    path = tmp_path / "types.txt"
    path.write_text("# experts\n\n  blk\\.0\\.=Q8_0\r\n\t# more\nffn=q4_k\n", encoding="utf-8")
    assert [(override.pattern.pattern, override.kind.name) for override in read_type_overrides(path)] == [
        (r"blk\.0\.", "Q8_0"),
        ("ffn", "Q4_K"),
    ]


def test_a_byte_order_mark_is_no_part_of_the_first_expression(tmp_path: Path) -> None:
    path = tmp_path / "types.txt"
    path.write_text("ffn=Q4_K\n", encoding="utf-8-sig")
    assert [override.pattern.pattern for override in read_type_overrides(path)] == ["ffn"]


def test_an_endless_expression_is_refused() -> None:
    assert parse_type_override("a" * 1000 + "=Q8_0").pattern.pattern == "a" * 1000
    with pytest.raises(UsageError, match="has 1001 characters, more than the 1000 allowed"):
        parse_type_override("a" * 1001 + "=Q8_0")


def test_file_with_faults(tmp_path: Path) -> None:
    path = tmp_path / "types.txt"
    path.write_text("ffn=Q4_K\nffn\nffn=Q\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"types.txt: line 2: 'ffn' is not .*; line 3: 'Q' is no type"):
        read_type_overrides(path)
    path.write_bytes(b"\xff=Q4_K")
    with pytest.raises(UsageError, match="is not UTF-8 text"):
        read_type_overrides(path)
    with pytest.raises(UsageError, match="No such file"):
        read_type_overrides(tmp_path / "none")


def test_unmatched_overrides_are_mistakes() -> None:
    refuse_unmatched(TENSORS, [parse_type_override("ffn=Q4_K"), parse_type_override("blk=Q4_K")])
    idle = [parse_type_override(text + "=Q4_K") for text in ("ffn", "ffn_dwon", "attn_norm", "position")]
    with pytest.raises(
        UsageError, match="'ffn_dwon'; 'attn_norm'; 'position': found in no .* like token_embd"
    ):
        refuse_unmatched(TENSORS, idle)
