"""``--set key=value``: metadata as the user wants it, checked against what the files hold."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from qwen3vl_edge.converters.general_metadata import AUTHORSHIP
from qwen3vl_edge.converters.override_limits import refuse_bad_values
from qwen3vl_edge.converters.override_values import (
    MEMBERS,
    NEW_INTEGERS,
    Kind,
    parse_scalar,
    refused,
    type_name,
    wanted_value,
)
from qwen3vl_edge.errors import UsageError
from qwen3vl_edge.gguf_format import Scalar, ValueType
from qwen3vl_edge.writing.gguf_header import KeyValue, array
from qwen3vl_edge.writing.names import text_fault

__all__ = ["Override", "apply_overrides", "parse_override"]

# Keys that gguf knows, with the type that they must have (constants.py and gguf_writer.py of gguf 0.19.0).
_KNOWN = {
    **dict.fromkeys(AUTHORSHIP.values(), ValueType.STRING),
    "general.base_model.count": ValueType.UINT32,
    "general.dataset.count": ValueType.UINT32,
    "general.sampling.sequence": ValueType.STRING,
    "general.sampling.top_k": ValueType.INT32,
    "general.sampling.top_p": ValueType.FLOAT32,
    "general.sampling.min_p": ValueType.FLOAT32,
    "general.sampling.xtc_probability": ValueType.FLOAT32,
    "general.sampling.xtc_threshold": ValueType.FLOAT32,
    "general.sampling.temp": ValueType.FLOAT32,
    "general.sampling.penalty_last_n": ValueType.INT32,
    "general.sampling.penalty_repeat": ValueType.FLOAT32,
    "general.sampling.mirostat": ValueType.INT32,
    "general.sampling.mirostat_tau": ValueType.FLOAT32,
    "general.sampling.mirostat_eta": ValueType.FLOAT32,
}
_KNOWN_LISTS = ("general.tags", "general.languages")
_NUMBERED = re.compile(
    r"general\.(base_model|dataset)\.\d+\.(name|author|version|organization|description|url|doi|uuid|repo_url)"
)

# What describes the file, and what its tensors fix, below the first word of the key.
_OF_THE_FILE = re.compile(
    r"general\.(architecture|alignment|type|file_type|quantization_version)|qwen3vl_edge\.version|(split|GGUF)\..*"
)
_OF_THE_TENSORS = re.compile(
    r"(\w+\.)(block_count|embedding_length|vocab_size|n_deepstack_layers|(expert_)?feed_forward_length"
    r"|expert(_used)?_count|attention\.(head_count(_kv)?|key_length|value_length)|rope\.dimension_sections)"
    r"|tokenizer\.ggml\.(model|pre|tokens|token_type|merges)"
    r"|clip\.(has_vision_encoder|projector_type|use_gelu|use_silu)"
    r"|qwen3vl_edge\.vision\.unpadded_feed_forward_length"
    r"|clip\.vision\.(image_size|patch_size|projection_dim|embedding_length|feed_forward_length|block_count"
    r"|attention\.head_count|spatial_merge_size|is_deepstack_layers)"
)
_KEY = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)+")
_MAX_KEY_BYTES = 200
_NEAR = 0.7  # general.lisence is that near to general.license; `colour` and `note` are to nothing
_EXAMPLE = "--set general.license=mit"


@dataclass(frozen=True, slots=True)
class Override:
    """One value that the user sets; `kind` is None where the key decides.

    Raises:
        UsageError: the key is none, or may not be set, or the text cannot be stored.
    """

    key: str
    kind: Kind | None
    text: str

    def __post_init__(self) -> None:
        if not _KEY.fullmatch(self.key) or len(self.key) > _MAX_KEY_BYTES:
            raise UsageError(
                f"--set {self.key!r:.80} is not a key: words joined by dots are expected, as in {_EXAMPLE}"
            )
        if _OF_THE_FILE.fullmatch(self.key):
            raise refused(self.key, "describes the file itself and cannot be set; leave it out")
        if _OF_THE_TENSORS.fullmatch(self.key):
            raise refused(
                self.key, "follows from the weights and the vocabulary and cannot be set; leave it out"
            )
        if not self.text and self.kind != "str":
            raise refused(self.key, f"has no value; write {self.key}=str: for an empty text")
        if fault := text_fault(self.text):
            raise refused(self.key, f"has a value that {fault}; give another one")


def parse_override(argument: str) -> Override:
    """Take ``key=value`` or ``key=type:value`` apart; `type` is int, float, bool or str.

    Raises:
        UsageError: it is neither, or one of the reasons of `Override`.
    """
    key, equals, text = argument.partition("=")
    if not equals:
        raise UsageError(f"--set {argument!r:.80} is not KEY=VALUE; an example is {_EXAMPLE}")
    for kind in MEMBERS:
        if text.startswith(f"{kind}:"):
            return Override(key, kind, text.removeprefix(f"{kind}:"))
    return Override(key, None, text)


def apply_overrides(
    files: Sequence[Sequence[KeyValue]], overrides: Sequence[Override]
) -> list[tuple[KeyValue, ...]]:
    """Return the metadata of all files of one conversion with the overrides in their places.

    A key under ``general.`` goes into every file, another one into the files that have it. A value
    takes the type that the key has there or in gguf; an array is given with commas. A key that is new
    goes into the files that have others of its first word, if any, else into all. It is a string
    under ``general.`` and ``qwen3vl_edge.``; anywhere else its type must be given.

    Raises:
        UsageError: a key stands there twice or is unknown, or a value does not have the type of its key.
    """
    for key, count in Counter(override.key for override in overrides).items():
        if count > 1:
            raise refused(key, f"is given {count} times; give it once")
    result = [{item.key: item for item in file} for file in files]
    for override in overrides:
        entry = _entry(override, result)
        for file in _targets(override.key, result):
            file[override.key] = entry
    for file in result:
        refuse_bad_values(file, [override.key for override in overrides])
    return [tuple(file.values()) for file in result]


def _targets(key: str, files: Sequence[dict[str, KeyValue]]) -> Sequence[dict[str, KeyValue]]:
    if key.startswith("general."):
        return files
    first_word = key.partition(".")[0] + "."
    holders = [file for file in files if key in file]
    return holders or [file for file in files if any(name.startswith(first_word) for name in file)] or files


def _entry(override: Override, files: Sequence[Mapping[str, KeyValue]]) -> KeyValue:
    key = override.key
    held = next((file[key] for file in files if key in file), None)
    if held is not None and isinstance(held.value, tuple):
        wanted = None if held.kind is ValueType.STRING else len(held.value)
        return array(key, held.kind, _items(override, held.kind, wanted))
    if key in _KNOWN_LISTS:
        return array(key, ValueType.STRING, _items(override, ValueType.STRING, None))
    kind = held.kind if held else _KNOWN.get(key) or _new_kind(override, files)
    return KeyValue(key, kind, _value(override, kind, override.text))


def _new_kind(override: Override, files: Sequence[Mapping[str, KeyValue]]) -> ValueType:
    """Choose the type of a key that neither the files nor gguf know."""
    if override.kind == "int":
        return next(
            (kind for kind in NEW_INTEGERS if parse_scalar(kind, override.text) is not None), ValueType.INT64
        )
    if override.kind:
        return MEMBERS[override.kind][0]
    if _NUMBERED.fullmatch(override.key):
        return ValueType.STRING
    free = override.key.startswith(("general.", "qwen3vl_edge."))
    names = {*_KNOWN, *_KNOWN_LISTS, *(name for file in files for name in file)}
    near = _near(override.key, names)
    if near or not free:
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise refused(
            override.key,
            f"is not a key of these files; {hint}new ones need int:, float:, bool: or str: before the value",
        )
    return ValueType.STRING


def _near(key: str, names: Iterable[str]) -> list[str]:
    """Return those of `names` that `key` may be a typing error of, the likeliest first, at most three."""
    likeness = {name: _likeness(key, name) for name in names}
    near = [name for name in names if likeness[name] >= _NEAR]
    return sorted(near, key=lambda name: (-likeness[name], name))[:3]


def _likeness(key: str, name: str) -> float:
    """Compare two keys, 0 to 1: the letters in their order and in any, as slips of the hand swap them.

    A first word that both share does not make them alike.
    """
    (first, _, rest), (other_first, _, other_rest) = key.partition("."), name.partition(".")
    pair = (rest, other_rest) if first == other_first else (key, name)
    matcher = SequenceMatcher(None, *pair)
    return (matcher.ratio() + matcher.quick_ratio()) / 2


def _items(override: Override, kind: ValueType, wanted: int | None) -> list[Scalar]:
    texts = [text.strip() for text in override.text.split(",")]
    if "" in texts:
        raise refused(override.key, f"has an empty item in {override.text!r:.60}; write A,B,C")
    if wanted is not None and len(texts) != wanted:
        raise refused(override.key, f"holds {wanted} values, not {len(texts)}; write them as A,B,C")
    return [_value(override, kind, text) for text in texts]


def _value(override: Override, kind: ValueType, text: str) -> Scalar:
    if override.kind and kind not in MEMBERS[override.kind]:
        raise refused(override.key, f"is of type {type_name(kind)}, not {override.kind}; leave the type out")
    if kind is ValueType.STRING:
        return text
    value = parse_scalar(kind, text)
    if value is None:
        raise refused(override.key, f"is {text!r:.60}; {wanted_value(kind)} is expected")
    return value
