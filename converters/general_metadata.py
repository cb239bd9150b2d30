"""The ``general.`` keys: what the model is called, where it comes from, how it likes to be sampled.

Names, sizes and authorship are guessed from the model card and the folder name by gguf's own
heuristics (`gguf.Metadata`), so that the files say what llama.cpp's converter would make them say.
"""

from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

import yaml  # type: ignore[import-untyped]
from gguf import Metadata, size_label

from qwen3vl_edge.converters.gguf_header import KeyValue, array
from qwen3vl_edge.errors import CheckpointError
from qwen3vl_edge.gguf_format import Scalar, ValueType
from qwen3vl_edge.hf_defaults import SamplingDefaults

__all__ = ["general_metadata"]

_CARD_LIMIT_BYTES = 4 << 20
# What gguf.Metadata lets through when a card or config.json holds values of unexpected kinds.
_CARD_FAILURES = (OSError, ValueError, TypeError, AttributeError, KeyError, RecursionError)

# field of SamplingDefaults -> key and type (gguf_writer.py of gguf 0.19.0, add_sampling_*)
_SAMPLING = (
    ("top_k", "general.sampling.top_k", ValueType.INT32),
    ("top_p", "general.sampling.top_p", ValueType.FLOAT32),
    ("min_p", "general.sampling.min_p", ValueType.FLOAT32),
    ("temperature", "general.sampling.temp", ValueType.FLOAT32),
    ("repetition_penalty", "general.sampling.penalty_repeat", ValueType.FLOAT32),
)

# field of gguf.Metadata -> key, all strings
_AUTHORSHIP = (
    ("name", "general.name"),
    ("author", "general.author"),
    ("version", "general.version"),
    ("organization", "general.organization"),
    ("finetune", "general.finetune"),
    ("basename", "general.basename"),
    ("description", "general.description"),
    ("quantized_by", "general.quantized_by"),
    ("size_label", "general.size_label"),
    ("license", "general.license"),
    ("license_name", "general.license.name"),
    ("license_link", "general.license.link"),
    ("url", "general.url"),
    ("doi", "general.doi"),
    ("uuid", "general.uuid"),
    ("repo_url", "general.repo_url"),
    ("source_url", "general.source.url"),
    ("source_doi", "general.source.doi"),
    ("source_uuid", "general.source.uuid"),
    ("source_repo_url", "general.source.repo_url"),
)

# field of gguf.Metadata -> prefix of the numbered keys
_ORIGINS = (("base_models", "general.base_model"), ("datasets", "general.dataset"))
_ORIGIN_KEYS = ("name", "author", "version", "organization", "description", "url", "doi", "uuid", "repo_url")
_LISTS = (("tags", "general.tags"), ("languages", "general.languages"))


def general_metadata(
    folder: Path, kind: str, name: str | None, sampling: SamplingDefaults, n_parameters: int
) -> list[KeyValue]:
    """Return the ``general.`` keys of one file.

    Args:
        folder: The checkpoint; its README.md, config.json and name are read.
        kind: ``general.type``: "model" or "mmproj".
        name: ``general.name``; None: from the model card or the folder's name.
        sampling: generation_config.json.
        n_parameters: Values in all tensors of this file.

    Raises:
        CheckpointError: the model card cannot be read.
    """
    found = _heuristics(folder, name, n_parameters)
    found.name = found.name or folder.resolve().name
    found.size_label = found.size_label or size_label(n_parameters, n_parameters, 0, 0)
    entries = [KeyValue("general.type", ValueType.STRING, kind)]
    for attribute, key, value_type in _SAMPLING:
        value: Scalar | None = getattr(sampling, attribute)
        if value is not None:
            entries.append(KeyValue(key, value_type, value))
    return [*entries, *_authorship(found), *_origins(found), *_lists(found)]


def _heuristics(folder: Path, name: str | None, n_parameters: int) -> Metadata:
    card = folder / "README.md"
    try:
        if card.is_file() and card.stat().st_size > _CARD_LIMIT_BYTES:
            raise CheckpointError(
                f"{card}: larger than the {_CARD_LIMIT_BYTES} bytes allowed for a model card"
            )
        return Metadata.load(None, folder.resolve(), name, n_parameters)
    except (*_CARD_FAILURES, yaml.YAMLError) as failure:
        first_line = (str(failure).splitlines() or [type(failure).__name__])[0]
        raise CheckpointError(f"{card}: the model card cannot be read ({first_line})") from failure


def _authorship(found: Metadata) -> Iterator[KeyValue]:
    for attribute, key in _AUTHORSHIP:
        text = ",".join(_texts(getattr(found, attribute)))
        if text:
            yield KeyValue(key, ValueType.STRING, text)


def _origins(found: Metadata) -> Iterator[KeyValue]:
    for attribute, prefix in _ORIGINS:
        origins: Sequence[dict[str, object]] | None = getattr(found, attribute)
        if origins is None:
            continue
        yield KeyValue(f"{prefix}.count", ValueType.UINT32, len(origins))
        for i, origin in enumerate(origins):
            for key in _ORIGIN_KEYS:
                for text in _texts(origin.get(key))[:1]:
                    yield KeyValue(f"{prefix}.{i}.{key}", ValueType.STRING, text)


def _lists(found: Metadata) -> Iterator[KeyValue]:
    for attribute, key in _LISTS:
        texts = _texts(getattr(found, attribute))
        if texts:
            yield array(key, ValueType.STRING, texts)


def _texts(value: object) -> list[str]:
    """Give a value of the card as strings: one, or those of a flat list.

    Anything nested is dropped, unread: YAML aliases can make it exponentially large.
    """
    items = value if isinstance(value, list) else [value]
    return [str(item) for item in items if isinstance(item, str | int | float | date) and str(item)]
