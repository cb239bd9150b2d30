import json
from pathlib import Path

import pytest

from qwen3vl_edge.converters.tokenizer_files import read_tokenizer
from qwen3vl_edge.converters.vocab import TokenType, Vocab
from qwen3vl_edge.errors import CheckpointError
from qwen3vl_edge.hf_config import read_config
from tests.converters.spoil import edit_json
from tests.tiny_tokenizer import ADDED_TOKENS, CHAT_TEMPLATE, FIRST_ADDED_ID, MERGES


def read(folder: Path) -> Vocab:
    return Vocab.read(folder, read_config(folder))


def test_tokens_types_and_padding(checkpoint: Path) -> None:
    vocab = read(checkpoint)
    assert len(vocab.tokens) == len(vocab.token_types) == 300
    end = FIRST_ADDED_ID + len(ADDED_TOKENS)
    assert vocab.tokens[:2] == ("!", '"')
    assert vocab.tokens[FIRST_ADDED_ID:end] == ADDED_TOKENS
    assert vocab.tokens[end:] == tuple(f"[PAD{i}]" for i in range(end, 300))
    assert set(vocab.token_types[:FIRST_ADDED_ID]) == {TokenType.NORMAL}
    assert set(vocab.token_types[end:]) == {TokenType.UNUSED}
    kinds = dict(zip(vocab.tokens, vocab.token_types, strict=True))
    assert kinds["<|im_end|>"] == kinds["<|fim_prefix|>"] == TokenType.CONTROL
    assert kinds["<think>"] == kinds["<tool_call>"] == TokenType.USER_DEFINED
    assert vocab.merges[:3] == ("Ġ t", "h e", "Ġt he")
    assert vocab.special_ids == {"eos": 270, "pad": 268, "bos": 268}
    assert vocab.adds_tokens == {"bos": False, "eos": False}
    assert vocab.chat_template == CHAT_TEMPLATE


def test_vocab_and_merges_files_mean_the_same(checkpoint: Path) -> None:
    expected = read(checkpoint)
    (checkpoint / "tokenizer.json").unlink()
    assert read(checkpoint) == expected


def test_merges_as_strings(checkpoint: Path) -> None:
    expected = read(checkpoint)
    as_strings = [f"{a} {b}" for a, b in MERGES]
    edit_json(checkpoint / "tokenizer.json", lambda value: value["model"].update(merges=as_strings))
    assert read(checkpoint) == expected


def test_special_tokens_may_be_objects(checkpoint: Path) -> None:
    change = {"eos_token": {"content": "<|endoftext|>"}, "pad_token": None}
    edit_json(checkpoint / "tokenizer_config.json", lambda value: value.update(change))
    assert read(checkpoint).special_ids == {"eos": 268, "bos": 268}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (("jinja", "json", "config"), "from jinja"),
        (("json", "config"), "from json"),
        (("config",), "from config"),
        (("list",), "the default"),
        ((), None),
    ],
)
def test_where_the_template_comes_from(
    checkpoint: Path, files: tuple[str, ...], expected: str | None
) -> None:
    (checkpoint / "chat_template.jinja").unlink()
    if "jinja" in files:
        (checkpoint / "chat_template.jinja").write_text("from jinja")
    if "json" in files:
        (checkpoint / "chat_template.json").write_text(json.dumps({"chat_template": "from json"}))
    named = [{"name": "tool_use", "template": "x"}, {"name": "default", "template": "the default"}]
    template = {"config": "from config", "list": named}.get(files[-1] if files else "")
    edit_json(checkpoint / "tokenizer_config.json", lambda value: value.update(chat_template=template))
    assert read_tokenizer(checkpoint).chat_template == expected


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda value: value["model"].update(type="Unigram"), "model is not of type BPE"),
        (lambda value: value["model"].update(merges=[["a"]]), "merges must be a list of pairs"),
        (lambda value: value["model"].update(merges=[]), "merges must be a list of pairs"),
        (lambda value: value["model"].update(vocab={"a": "1"}), "vocab must give each token an integer"),
        (lambda value: value["model"]["vocab"].update({"!": 5}), "two tokens have the same id"),
        (lambda value: value["model"]["vocab"].update({"new": 300}), "token id 300 is outside"),
        (lambda value: value["model"]["vocab"].update({"new": -1}), "token id -1 is outside"),
        (lambda value: value["added_tokens"][0].update(id=5), r"id 5 is both '&' and '<\|endoftext\|>'"),
        (lambda value: value["added_tokens"][0].pop("content"), r"added_tokens\[0\]: content is missing"),
        (lambda value: value["normalizer"].update(type="NFKC"), "normalizer is of another type than NFC"),
        (lambda value: value["post_processor"].update(type="TemplateProcessing"), "adds tokens to the text"),
        (lambda value: value.pop("pre_tokenizer"), "Qwen2's expression is expected"),
        (
            lambda value: value["pre_tokenizer"]["pretokenizers"][0]["pattern"].update(Regex=r"\p{N}{1,3}"),
            "Qwen2's expression is expected",
        ),
        (lambda value: value.pop("model"), "model is missing"),
    ],
)
def test_other_tokenizers_are_refused(checkpoint: Path, change: object, what: str) -> None:
    edit_json(checkpoint / "tokenizer.json", change)  # type: ignore[arg-type]
    with pytest.raises(CheckpointError, match=what) as caught:
        read(checkpoint)
    assert "\n" not in str(caught.value)


def test_ids_of_config_must_name_the_vision_tokens(checkpoint: Path) -> None:
    change = {"image_token_id": 5, "vision_end_token_id": 1 << 20}
    edit_json(checkpoint / "config.json", lambda value: value.update(change))
    with pytest.raises(CheckpointError, match=r"image_token_id 5 is not .*; vision_end_token_id \d+ is not"):
        read(checkpoint)


def test_special_ids_must_be_special_tokens(checkpoint: Path) -> None:
    edit_json(checkpoint / "config.json", lambda value: value["text_config"].update(bos_token_id=300))
    with pytest.raises(CheckpointError, match="bos_token_id 300 is not a special token"):
        read(checkpoint)


def test_no_tokenizer_at_all(checkpoint: Path) -> None:
    for name in ("tokenizer.json", "merges.txt"):
        (checkpoint / name).unlink()
    with pytest.raises(CheckpointError, match=r"looked for tokenizer\.json, or vocab\.json and merges\.txt"):
        read(checkpoint)


def test_truncated_files(checkpoint: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        path = checkpoint / name
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(CheckpointError, match=f"{name}: not valid JSON"):
            read(checkpoint)
        path.write_bytes(whole)
