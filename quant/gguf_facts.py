"""What a plan wants to know of a GGUF file that is to be quantized."""

from collections.abc import Iterator, Sequence

from qwen3vl_edge.ggml_types import TYPES_BY_NAME
from qwen3vl_edge.gguf_info import GGUFInfo
from qwen3vl_edge.manifest import SourceFile
from qwen3vl_edge.quant.assignment import is_label
from qwen3vl_edge.quant.file_types import QUANTIZED_FILE_TYPES
from qwen3vl_edge.quant.mixes import ModelTraits
from qwen3vl_edge.quant.projector import UNPADDED_KEY, padded_shape
from qwen3vl_edge.quant.recipes import SourceTensor
from qwen3vl_edge.split_names import parse_part_name

__all__ = ["PROJECTOR_PREFIX", "base_name", "listed", "parts_of", "source_files", "traits_of", "unpadded"]

PROJECTOR_PREFIX = "mmproj-"


def unpadded(infos: Sequence[GGUFInfo]) -> list[tuple[str, tuple[int, ...]]]:
    """Return the shapes that the checkpoint had: what an importance matrix may be of."""
    shapes = []
    for info in infos:
        width = info.metadata.get(UNPADDED_KEY)
        for item in info.tensors:
            shape = padded_shape(item.name, item.shape, width) if isinstance(width, int) else item.shape
            shapes.append((item.name, shape))
    return shapes


def traits_of(info: GGUFInfo) -> ModelTraits:
    """Return what recipes want to know of a language model."""
    arch = info.architecture
    experts = info.metadata.get(f"{arch}.expert_count", 0)
    return ModelTraits(
        n_layers=info.integer(f"{arch}.block_count"),
        n_heads=info.integer(f"{arch}.attention.head_count"),
        n_kv_heads=info.integer(f"{arch}.attention.head_count_kv"),
        n_experts=experts if isinstance(experts, int) else 0,
    )


def listed(info: GGUFInfo) -> list[SourceTensor]:
    """Return name, shape and type of every tensor."""
    return [(item.name, item.shape, TYPES_BY_NAME[item.type_name]) for item in info.tensors]


def base_name(info: GGUFInfo) -> str:
    """Return the name that the file's begins with: without ``mmproj-``, type and part."""
    part = parse_part_name(info.path.name)
    stem = (part.stem if part else info.path.stem).removeprefix(PROJECTOR_PREFIX)
    before, dash, last = stem.rpartition("-")
    is_type = last.upper() in QUANTIZED_FILE_TYPES or is_label(last)
    return before if dash and is_type else stem


def parts_of(info: GGUFInfo) -> list[range]:
    """Return which tensors stand in which file of the source; a first part may hold metadata only."""
    parts, start = [], 0
    for path in info.paths:
        count = sum(tensor.path == path for tensor in info.tensors)
        parts.append(range(start, start + count))
        start += count
    return parts


def source_files(info: GGUFInfo) -> Iterator[SourceFile]:
    """Name the files of a model for a manifest; like shards, they are identified by their headers."""
    for path in info.paths:
        starts = [tensor.offset for tensor in info.tensors if tensor.path == path]
        yield SourceFile.of_header(path, min(starts, default=path.stat().st_size))
