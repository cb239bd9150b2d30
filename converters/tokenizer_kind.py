"""Whether a tokenizer.json is of the one kind that llama.cpp's ``gpt2`` with ``qwen2`` imitates."""

from qwen3vl_edge.json_fields import Fields, shown

__all__ = ["QWEN2_PATTERN", "check_kind"]

# What `tokenizer.ggml.pre = qwen2` makes llama.cpp split by (LLAMA_VOCAB_PRE_TYPE_QWEN2 in
# src/llama-vocab.cpp), as Qwen2's and Qwen3's tokenizer.json spell it.
QWEN2_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

# What tokenizers does unless a file says otherwise, and llama.cpp always; key -> the values that mean so.
_PLAIN_BPE: dict[str, tuple[object, ...]] = {
    "dropout": (None, 0, 0.0),
    "continuing_subword_prefix": (None, ""),
    "end_of_word_suffix": (None, ""),
    "byte_fallback": (None, False),
    "ignore_merges": (None, False),
}


def check_kind(fields: Fields) -> None:
    """Note everything in tokenizer.json that llama.cpp's ``gpt2`` / ``qwen2`` would do differently."""
    model = fields.section("model")
    if model.text("type") != "BPE":
        fields.fault("model", "is not of type BPE")
    for key, values in _PLAIN_BPE.items():
        if model.values.get(key) not in values:
            model.fault(key, f"is {shown(model.values[key])}, which llama.cpp cannot do")
    _check_split(fields)
    if fields.has("normalizer") and fields.section("normalizer").text("type") != "NFC":
        fields.fault("normalizer", "is of another type than NFC, the only one supported")
    processors = _steps(fields, "post_processor", "processors")
    if any(step.values.get("type") != "ByteLevel" for step in processors):
        fields.fault("post_processor", "adds tokens to the text, which Qwen3-VL's does not")


def _check_split(fields: Fields) -> None:
    """Check that text is split by Qwen2's expression and then taken as bytes, with nothing added."""
    steps = _steps(fields, "pre_tokenizer", "pretokenizers")
    splits = [step for step in steps if step.values.get("type") == "Split"]
    others = [step for step in steps if step.values.get("type") != "Split"]
    patterns = [step.section("pattern").text("Regex") for step in splits]
    if patterns != [QWEN2_PATTERN]:
        fields.fault("pre_tokenizer", f"splits by {shown(patterns)}, Qwen2's expression is expected")
    elif splits[0].values.get("behavior") != "Isolated" or splits[0].flag("invert", False):
        fields.fault("pre_tokenizer", "does not keep what it splits by as Qwen2's does")
    elif [step.values.get("type") for step in others] != ["ByteLevel"] or (
        others[0].flag("add_prefix_space", True) or others[0].flag("use_regex", True)
    ):
        fields.fault("pre_tokenizer", "is not followed by one plain ByteLevel step")


def _steps(fields: Fields, key: str, inner: str) -> list[Fields]:
    """Return the parts of a pipeline step, be it a Sequence or a single one."""
    if not fields.has(key):
        return []
    step = fields.section(key)
    if step.values.get("type") != "Sequence":
        return [step]
    return step.sections(inner)
