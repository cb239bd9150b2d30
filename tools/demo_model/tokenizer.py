"""The demo model's tokenizer: Qwen2's byte-level BPE, grown on the sentences of the small world."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

from tools.demo_model.questions import EVALUATED, EXTRA, SMALL_TALK, Sample, single
from tools.demo_model.world import COLOURS, SHAPES, training_rng

PRE_TOKENIZER = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# In the order of their ids, which follow the BPE vocabulary without a gap.
SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
    "<|quad_start|>",
    "<|quad_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
# Added as whole tokens too, but shown when text is decoded.
PLAIN_ADDED_TOKENS = (
    "<tool_call>",
    "</tool_call>",
    "<|fim_prefix|>",
    "<|fim_middle|>",
    "<|fim_suffix|>",
    "<|fim_pad|>",
    "<|repo_name|>",
    "<|file_sep|>",
    "<tool_response>",
    "</tool_response>",
    "<think>",
    "</think>",
)
ADDED_TOKENS = SPECIAL_TOKENS + PLAIN_ADDED_TOKENS
FROZEN = Path(__file__).parent / "tokenizer.json"
TEMPLATE = Path(__file__).parent / "chat_template.jinja"
N_BPE_TOKENS = 474  # With the 26 added ones 500, so that a vocabulary of 512 ends in unused padding.
MODEL_MAX_LENGTH = 4096


def demo_tokenizer() -> Tokenizer:
    """Load the demo model's tokenizer.

    Its vocabulary is frozen beside this module: trained weights are bound to its ids, while what
    ``grow_tokenizer`` finds changes with every sentence of the world.
    """
    return Tokenizer.from_file(str(FROZEN))


def grow_tokenizer() -> Tokenizer:
    """Grow a vocabulary on sentences of the world, the way the frozen one was; the same on every run."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    split = pre_tokenizers.Split(Regex(PRE_TOKENIZER), "isolated")
    bytes_only = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, bytes_only])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=N_BPE_TOKENS, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(_sentences(), trainer)
    if tokenizer.get_vocab_size() != N_BPE_TOKENS:
        raise ValueError(f"the corpus fills {tokenizer.get_vocab_size()} of {N_BPE_TOKENS} entries")
    tokenizer.add_tokens([AddedToken(t, normalized=False, special=t in SPECIAL_TOKENS) for t in ADDED_TOKENS])
    return tokenizer


def _sentences() -> Iterator[str]:
    for seed, task in enumerate([*EVALUATED, *EXTRA] * 60):
        yield from _words(single(task, training_rng(seed)))
    for question, answer in SMALL_TALK:
        yield from (question, answer)
    # Often enough to become whole tokens, with and without a space and a capital.
    words = (*COLOURS, *SHAPES, *(f"{shape}s" for shape in SHAPES), "crosses")
    yield from (form for word in words for form in (word, f" {word}", word.capitalize()) for _ in range(40))
    yield from ["system\nYou are a helpful assistant.", "user\n", "assistant\n"] * 100
    yield from ["<0.3 seconds>"] * 100


def _words(sample: Sample) -> Iterable[str]:
    for turn in sample.turns:
        yield from (part for part in turn.parts if isinstance(part, str))
        yield turn.answer


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write the four files of a published checkpoint."""
    tokenizer.save(str(folder / "tokenizer.json"))
    tokenizer.model.save(str(folder))  # vocab.json and merges.txt
    config = tokenizer_config(tokenizer)
    text = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
    (folder / "tokenizer_config.json").write_text(text, encoding="utf-8")


def tokenizer_config(tokenizer: Tokenizer) -> dict[str, object]:
    """tokenizer_config.json as the published checkpoints spell it."""
    flags = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
    decoder = {
        str(token_id(tokenizer, added)): {"content": added, **flags, "special": added in SPECIAL_TOKENS}
        for added in ADDED_TOKENS
    }
    return {
        "add_bos_token": False,
        "add_prefix_space": False,
        "added_tokens_decoder": decoder,
        "additional_special_tokens": list(SPECIAL_TOKENS[1:]),
        "bos_token": None,
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>",
        "errors": "replace",
        "model_max_length": MODEL_MAX_LENGTH,
        "pad_token": "<|endoftext|>",
        "processor_class": "Qwen3VLProcessor",
        "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None,
    }


def load_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """Load the tokenizer of a checkpoint with its chat template."""
    template = (folder / "chat_template.jinja").read_text(encoding="utf-8")
    return with_template(Tokenizer.from_file(str(folder / "tokenizer.json")), template)


def with_template(tokenizer: Tokenizer, template: str) -> PreTrainedTokenizerFast:
    """Wrap a tokenizer for use with a chat template."""
    wrapped: Any = PreTrainedTokenizerFast
    fast: PreTrainedTokenizerFast = wrapped(tokenizer_object=tokenizer, chat_template=template)
    return fast


def names_of(tokenizer: Tokenizer) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Ids of the words for colours and for shapes as they stand inside a sentence; each is one token."""
    colours, shapes = (
        tuple(token_id(tokenizer, f"\N{LATIN CAPITAL LETTER G WITH DOT ABOVE}{word}") for word in words)
        for words in (COLOURS, SHAPES)
    )
    return colours, shapes


def token_id(tokenizer: Tokenizer, token: str) -> int:
    """Id of a token that must be there."""
    found = tokenizer.token_to_id(token)
    if found is None:
        raise KeyError(token)
    return found
