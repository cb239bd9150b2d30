"""What makes a byte-level BPE whole, so that a truncated or foreign one is noticed.

In Qwen3's tokenizer the vocabulary is exactly the 256 characters that stand for bytes and the result of
every merge. llama.cpp would load anything else and drop text for which it finds no token
(``llm_tokenizer_bpe_session::tokenize`` in src/llama-vocab.cpp, 0c1e57098).
"""

from collections.abc import Iterator
from heapq import nsmallest

from qwen3vl_edge.converters.tokenizer_files import RawTokenizer
from qwen3vl_edge.json_fields import shown

__all__ = ["REQUIRED_TOKENS", "bpe_faults"]

REQUIRED_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
"""Beside those of the vision encoder, whose ids config.json gives."""


def bpe_faults(raw: RawTokenizer) -> list[str]:
    """Name what is missing from the tokens and merges of `raw`, or cannot be stored."""
    known, added = raw.vocab.keys(), {token.content for token in raw.added}
    made = {left + right for left, right in raw.merges}
    alphabet = frozenset(_byte_characters())
    return [
        *_listed("a token is missing for the bytes", alphabet - known),
        *_listed("merges name unknown tokens", {part for pair in raw.merges for part in pair} - known),
        *_listed("merges make unknown tokens", made - known),
        *_listed("no merge makes the tokens", known - made - alphabet - added),
        *_listed("added tokens are missing", frozenset(REQUIRED_TOKENS) - added),
        *_listed("tokens are empty or hold a NUL", {token for token in added if not token or "\0" in token}),
        *(["a merge has an empty side"] if any("" in pair for pair in raw.merges) else []),
        *(["a merge stands there twice"] if len(set(raw.merges)) < len(raw.merges) else []),
    ]


def _listed(what: str, tokens: frozenset[str] | set[str]) -> list[str]:
    if not tokens:
        return []
    some = ", ".join(shown(token) for token in nsmallest(3, tokens))
    return [f"{what} {some}" + (f" and {len(tokens) - 3} more" if len(tokens) > 3 else "")]


def _byte_characters() -> Iterator[str]:
    """Give the characters that stand for the 256 bytes (``bytes_to_unicode`` in GPT-2's encoder.py)."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    yield from map(chr, printable)
    yield from (chr(256 + i) for i in range(256 - len(printable)))
