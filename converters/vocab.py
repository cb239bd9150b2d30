"""The tokenizer of a checkpoint as GGUF wants it: tokens, types, merges, special ids, chat template."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from qwen3vl_edge.converters.bpe import bpe_faults
from qwen3vl_edge.converters.tokenizer_files import AddedToken, RawTokenizer, read_tokenizer
from qwen3vl_edge.errors import CheckpointError, join_problems
from qwen3vl_edge.json_fields import shown
from qwen3vl_edge.model_config import ModelConfig

__all__ = ["SpecialKind", "TokenType", "Vocab"]

SpecialKind = Literal["bos", "eos", "unk", "sep", "pad", "cls", "mask"]
_KINDS: tuple[SpecialKind, ...] = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")


class TokenType:
    """enum llama_token_type in include/llama.h."""

    NORMAL = 1
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5


@dataclass(frozen=True, slots=True)
class Vocab:
    """Everything under ``tokenizer.``; `tokens` and `token_types` have vocab_size entries, padded."""

    tokens: tuple[str, ...]
    token_types: tuple[int, ...]
    merges: tuple[str, ...]
    special_ids: Mapping[SpecialKind, int]
    adds_tokens: Mapping[Literal["bos", "eos"], bool]
    chat_template: str | None

    @classmethod
    def read(cls, folder: Path, config: ModelConfig) -> "Vocab":
        """Read the tokenizer files of `folder`.

        Raises:
            CheckpointError: files missing or damaged, not Qwen2's byte-level BPE, or tokens that do not
                fit config.json.
        """
        raw = read_tokenizer(folder)
        tokens, types = _padded(folder, raw, config.text.vocab_size)
        special_ids = _special_ids(folder, raw, config)
        _check_ids(folder, raw, config, special_ids)
        merges = tuple(" ".join(pair) for pair in raw.merges)
        return cls(tokens, types, merges, special_ids, raw.adds_tokens, raw.chat_template)


def _padded(folder: Path, raw: RawTokenizer, vocab_size: int) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Lay the tokens out by id; the ids from the last token's on become ``[PADn]``, unused."""
    by_id = {i: (token, TokenType.NORMAL) for token, i in raw.vocab.items()}
    problems = [] if len(by_id) == len(raw.vocab) else ["two tokens have the same id"]
    for added in raw.added:
        if by_id.get(added.id, (added.content, 0))[0] != added.content:
            problems.append(f"id {added.id} is both {shown(by_id[added.id][0])} and {shown(added.content)}")
        by_id[added.id] = (added.content, _added_type(added))
    outside = [i for i in by_id if not 0 <= i < vocab_size]
    if outside:
        others = f", and {len(outside) - 1} more" if len(outside) > 1 else ""
        problems.append(f"token id {shown(outside[0])}{others} is outside the vocab_size {vocab_size}")
    if not problems:
        missing = next((i for i in range(len(by_id)) if i not in by_id), None)
        problems += [] if missing is None else [f"no token has the id {missing}, though later ones are taken"]
        by_id |= {i: (f"[PAD{i}]", TokenType.UNUSED) for i in range(len(by_id), vocab_size)}
        problems += _doubled(by_id)
    problems += bpe_faults(raw)
    if problems:
        raise CheckpointError(f"{folder}: tokenizer: {join_problems(problems)}")
    entries = [by_id[i] for i in range(vocab_size)]
    return tuple(token for token, _ in entries), tuple(kind for _, kind in entries)


def _doubled(by_id: Mapping[int, tuple[str, int]]) -> list[str]:
    """Name the tokens that llama.cpp would take for one, at which it aborts."""
    counts = Counter(token for token, _ in by_id.values())
    return [f"the token {shown(token)} has {n} ids" for token, n in counts.items() if n > 1]


def _added_type(added: AddedToken) -> int:
    """Tell control tokens from text: by the flag, or by the look of ``<|…|>`` (does_token_look_special)."""
    looks_special = added.content.startswith("<|") and added.content.endswith("|>")
    return TokenType.CONTROL if added.special or looks_special else TokenType.USER_DEFINED


def _special_ids(folder: Path, raw: RawTokenizer, config: ModelConfig) -> dict[SpecialKind, int]:
    """Resolve special tokens: those that tokenizer_config.json names first, then the ids of config.json."""
    ids = {added.content: added.id for added in raw.added}
    named = {kind: raw.special_tokens[kind] for kind in _KINDS if kind in raw.special_tokens}
    problems = [
        f"{kind}_token {shown(token)} is no added token" for kind, token in named.items() if token not in ids
    ]
    if problems:
        raise CheckpointError(f"{folder / 'tokenizer_config.json'}: {join_problems(problems)}")
    found = {kind: ids[token] for kind, token in named.items()}
    fallback: tuple[tuple[SpecialKind, int | None], ...] = (
        ("bos", config.special_ids.bos),
        ("eos", config.special_ids.eos),
        ("pad", config.special_ids.pad),
    )
    for kind, token_id in fallback:
        if token_id is not None:
            found.setdefault(kind, token_id)
    return found


def _check_ids(
    folder: Path, raw: RawTokenizer, config: ModelConfig, special_ids: Mapping[SpecialKind, int]
) -> None:
    """Check that the ids of config.json name the tokens that llama.cpp and the template write."""
    ids = config.special_ids
    controls = {token.id: token.content for token in raw.added if _added_type(token) == TokenType.CONTROL}
    wanted = (
        ("image_token_id", ids.image, "<|image_pad|>"),
        ("video_token_id", ids.video, "<|video_pad|>"),
        ("vision_start_token_id", ids.vision_start, "<|vision_start|>"),
        ("vision_end_token_id", ids.vision_end, "<|vision_end|>"),
    )
    problems = [
        f"{key} {token_id} is not the token {token}"
        for key, token_id, token in wanted
        if controls.get(token_id) != token
    ]
    problems += [
        f"{kind}_token_id {token_id} is not a special token of the tokenizer"
        for kind, token_id in special_ids.items()
        if token_id not in controls
    ]
    if "eos" not in special_ids:
        problems.append("eos_token_id is missing, and tokenizer_config.json names no eos_token")
    if problems:
        raise CheckpointError(f"{folder / 'config.json'}: {join_problems(problems)}")
