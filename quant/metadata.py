"""The metadata of a GGUF file that is quantized from another one."""

from collections.abc import Sequence

from qwen3vl_edge.ggml_types import QUANTIZATION_VERSION
from qwen3vl_edge.gguf_format import GGUFArray, ValueType
from qwen3vl_edge.gguf_info import GGUFInfo
from qwen3vl_edge.manifest import current_versions
from qwen3vl_edge.quant.file_types import FileType
from qwen3vl_edge.quant.projector import UNPADDED_KEY, WIDTH_KEY
from qwen3vl_edge.writing.gguf_header import KeyValue

__all__ = ["changed", "kept", "of_type", "of_width", "quantized_by"]

_DROPPED = ("split.", "general.alignment")  # of the source's own layout; ours has one of its own


def quantized_by() -> str:
    """Return who has quantized, for ``general.quantized_by``."""
    return f"qwen3vl-edge {current_versions()['qwen3vl-edge']}"


def kept(info: GGUFInfo, name: str | None) -> tuple[KeyValue, ...]:
    """Return the source's metadata, but for how it is laid out, with `name` for ``general.name`` if given."""
    entries = [
        KeyValue(key, info.kinds[key], tuple(value.values()) if isinstance(value, GGUFArray) else value)
        for key, value in info.metadata.items()
        if not key.startswith(_DROPPED)
    ]
    return changed(entries, [] if name is None else [KeyValue("general.name", ValueType.STRING, name)])


def changed(entries: Sequence[KeyValue], changes: Sequence[KeyValue]) -> tuple[KeyValue, ...]:
    """Return `entries` with `changes` in the places of those of the same keys, or behind them."""
    return tuple({entry.key: entry for entry in (*entries, *changes)}.values())


def of_type(wanted: FileType) -> list[KeyValue]:
    """Return the keys that a quantization to `wanted` changes."""
    entries = [
        KeyValue("general.file_type", ValueType.UINT32, wanted.code),
        KeyValue("general.quantization_version", ValueType.UINT32, QUANTIZATION_VERSION),
    ]
    if wanted.base.block > 1:
        entries.append(KeyValue("general.quantized_by", ValueType.STRING, quantized_by()))
    return entries


def of_width(info: GGUFInfo, width: int) -> list[KeyValue]:
    """Return the keys that change where the MLPs of the projector `info` become `width` wide."""
    before = info.integer(WIDTH_KEY)
    if width == before:
        return []
    entries = [KeyValue(WIDTH_KEY, ValueType.UINT32, width)]
    if UNPADDED_KEY not in info.metadata:
        entries.append(KeyValue(UNPADDED_KEY, ValueType.UINT32, before))
    return entries
