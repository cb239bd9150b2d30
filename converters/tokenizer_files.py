"""The tokenizer files of a checkpoint, read and checked to be Qwen2's byte-level BPE.

Either tokenizer.json, or vocab.json with merges.txt; beside them tokenizer_config.json (special
tokens, chat template) and the template's own file.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from qwen3vl_edge.converters.chat_template import read_template
from qwen3vl_edge.converters.tokenizer_kind import check_kind
from qwen3vl_edge.errors import CheckpointError, join_problems
from qwen3vl_edge.json_fields import Fields, read_object, read_text, shown

__all__ = ["AddedToken", "RawTokenizer", "read_tokenizer"]

_LIMIT_BYTES = 32 << 20  # Qwen3's tokenizer.json has 11 MB
_ID_DIGITS = 10
_KINDS = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")


@dataclass(frozen=True, slots=True)
class AddedToken:
    """A token outside the merges."""

    id: int
    content: str
    special: bool


@dataclass(frozen=True, slots=True)
class RawTokenizer:
    """What the files say, still in their own terms."""

    vocab: Mapping[str, int]
    merges: tuple[tuple[str, str], ...]
    added: tuple[AddedToken, ...]
    special_tokens: Mapping[str, str]
    adds_tokens: Mapping[Literal["bos", "eos"], bool]
    chat_template: str | None


def read_tokenizer(folder: Path) -> RawTokenizer:
    """Read the tokenizer of `folder`.

    Raises:
        CheckpointError: files missing or damaged, or not Qwen2's kind of tokenizer; every fault in one line.
    """
    config = _config(folder / "tokenizer_config.json")
    if (folder / "tokenizer.json").is_file():
        fields = _open(folder / "tokenizer.json")
        check_kind(fields)
        model = fields.section("model")
        vocab, merges = _vocab(model), _merges(model)
        added = _added_list(fields)
    elif (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
        fields = _open(folder / "vocab.json")
        vocab, merges = (
            _vocab(Fields({"vocab": fields.values}, fields.where, fields.problems)),
            _merges_txt(folder),
        )
        added = []
    else:
        raise CheckpointError(
            f"{folder}: no tokenizer; looked for tokenizer.json, or vocab.json and merges.txt"
        )
    added = _joined(added, _added_map(config), config)
    result = RawTokenizer(
        vocab=vocab,
        merges=merges,
        added=tuple(added),
        special_tokens=_special_tokens(config),
        adds_tokens=_adds_tokens(config),
        chat_template=read_template(folder, config),
    )
    problems = [*fields.problems, *config.problems]
    if problems:
        raise CheckpointError(join_problems(problems))
    return result


def _open(path: Path) -> Fields:
    return Fields(read_object(path, _LIMIT_BYTES, CheckpointError), str(path))


def _config(path: Path) -> Fields:
    return _open(path) if path.is_file() else Fields({}, str(path))


def _vocab(model: Fields) -> dict[str, int]:
    values = model.section("vocab").values
    vocab = {token: i for token, i in values.items() if isinstance(i, int) and not isinstance(i, bool)}
    if len(vocab) != len(values) or not vocab:
        model.fault("vocab", "must give each token an integer id")
    return vocab


def _merges(model: Fields) -> tuple[tuple[str, str], ...]:
    """Read merges in either form: ``"a b"`` (before transformers 4.45) or ``["a", "b"]``."""
    values = model.values.get("merges")
    pairs = []
    for item in values if isinstance(values, list) else ():
        parts = item.split(" ") if isinstance(item, str) else item
        if isinstance(parts, list) and len(parts) == 2 and all(isinstance(part, str) for part in parts):
            pairs.append((parts[0], parts[1]))
    if not isinstance(values, list) or len(pairs) != len(values) or not pairs:
        model.fault("merges", "must be a list of pairs of strings")
    return tuple(pairs)


def _merges_txt(folder: Path) -> tuple[tuple[str, str], ...]:
    path = folder / "merges.txt"
    lines = read_text(path, _LIMIT_BYTES, CheckpointError).split("\n")
    pairs = [tuple(line.split(" ")) for line in lines if line.strip() and not line.startswith("#version")]
    merges = tuple((pair[0], pair[1]) for pair in pairs if len(pair) == 2)
    if len(merges) != len(pairs) or not merges:
        raise CheckpointError(f"{path}: each line must be two strings with a space between them")
    return merges


def _added_list(fields: Fields) -> list[AddedToken]:
    if not fields.has("added_tokens"):
        return []
    return [_added(item, item.integer("id", least=0)) for item in fields.sections("added_tokens")]


def _added_map(config: Fields) -> list[AddedToken]:
    if not config.has("added_tokens_decoder"):
        return []
    decoder = config.section("added_tokens_decoder")
    ids = [key for key in decoder.values if key.isdecimal() and len(key) <= _ID_DIGITS]
    for key in decoder.values.keys() - set(ids):
        decoder.fault(f"{key:.20}", "is not a token id")
    return [_added(decoder.section(key), int(key)) for key in ids]


def _joined(added: list[AddedToken], beside: list[AddedToken], config: Fields) -> list[AddedToken]:
    """Join the added tokens of tokenizer.json and tokenizer_config.json, which may repeat each other."""
    known = {token.id: token.content for token in added}
    for token in beside:
        if known.get(token.id, token.content) != token.content:
            names = f"{shown(token.content)}, in tokenizer.json {shown(known[token.id])}"
            config.fault("added_tokens_decoder", f"has id {token.id} as {names}")
    return [*added, *(token for token in beside if token.id not in known)]


def _added(item: Fields, token_id: int) -> AddedToken:
    return AddedToken(token_id, item.text("content"), item.flag("special", False))


def _special_tokens(config: Fields) -> dict[str, str]:
    """Read ``eos_token`` and its like: a string, or an object with ``content``."""
    tokens = {}
    for kind in _KINDS:
        key = f"{kind}_token"
        if isinstance(config.values.get(key), dict):
            tokens[kind] = config.section(key).text("content")
        elif config.has(key):
            tokens[kind] = config.text(key)
    return tokens


def _adds_tokens(config: Fields) -> dict[Literal["bos", "eos"], bool]:
    """Say whether text begins with BOS or ends with EOS: never with Qwen's ByteLevel post-processor."""
    if config.flag("add_bos_token", False) or config.flag("add_eos_token", False):
        config.fault("add_bos_token", "or add_eos_token is true, which Qwen3-VL's template does not expect")
    return {"bos": False, "eos": False}
