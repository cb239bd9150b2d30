"""The plan of quantizing GGUF files: the same model in other types."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path

from qwen3vl_edge.errors import GGUFError, UsageError, join_problems
from qwen3vl_edge.ggml_types import TYPES_BY_NAME
from qwen3vl_edge.gguf_format import GGUFArray, ValueType
from qwen3vl_edge.gguf_info import GGUFInfo
from qwen3vl_edge.manifest import Source, SourceFile
from qwen3vl_edge.quant.file_types import QUANTIZED_FILE_TYPES, FileType, find_file_type
from qwen3vl_edge.quant.gguf_source import GGUFSource
from qwen3vl_edge.quant.mixes import ModelTraits
from qwen3vl_edge.quant.projector import UNPADDED_KEY, WIDTH_KEY, padded_shape, padded_width
from qwen3vl_edge.quant.recipes import Choice, SourceTensor, Wishes, choose_types, refuse_unmatched
from qwen3vl_edge.split_names import parse_part_name
from qwen3vl_edge.writing.gguf_header import KeyValue
from qwen3vl_edge.writing.planned import Draft, DraftTensor, PlannedFile, WritePlan, lay_out
from qwen3vl_edge.writing.source import Cut

__all__ = ["QuantRecipe", "base_name", "plan_quantization"]

_PROJECTOR_PREFIX = "mmproj-"
_FLOATS = ("F32", "F16", "BF16")
_Shapes = dict[str, tuple[int, ...]]
_QUANTIZATION_VERSION = 2  # GGML_QNT_VERSION in ggml/include/ggml.h


@dataclass(frozen=True, slots=True)
class QuantRecipe:
    """What to make of GGUF files.

    Args:
        types: Of the language model, one file for each.
        projector_type: Of the projector; None: as it is.
        wishes: What the user wants otherwise than the recipes.
        keep_split: Cut the language model where the source is cut.
        allow_requantize: Whether tensors that are quantized already may be quantized again.
    """

    types: tuple[str, ...]
    projector_type: str | None = None
    wishes: Wishes = field(default_factory=Wishes)
    keep_split: bool = False
    allow_requantize: bool = False


def plan_quantization(
    model: GGUFInfo | None, projector: GGUFInfo | None, recipe: QuantRecipe, *, name: str | None = None
) -> WritePlan:
    """Plan the types and places of all tensors.

    Args:
        model: The language model, all of its parts; None: only the projector is quantized.
        projector: None: only the language model is quantized.
        recipe: What to make of them.
        name: Of the files; None: after the source's, without its type.

    Raises:
        UsageError: an unknown type, one that needs an importance matrix, or overrides that fit nothing.
        GGUFError: a tensor is quantized already, or the file is not of this model family.
    """
    types = list(dict.fromkeys(find_file_type(wanted) for wanted in recipe.types))
    sources = [info for info in (model, projector) if info is not None]
    base = name or base_name(sources[0])
    refuse_unmatched([item for info in sources for item in _listed(info)], recipe.wishes.overrides)
    files: list[PlannedFile] = []
    if model is not None:
        files += [file for wanted in types for file in _model_files(model, base, wanted, recipe)]
    projector_types = [find_file_type(recipe.projector_type)] if recipe.projector_type else []
    if projector is not None:
        files += _projector_files(projector, base, projector_types if model else types, recipe)
    return WritePlan(base, _source(sources), tuple(files))


def _listed(info: GGUFInfo) -> list[SourceTensor]:
    return [(item.name, item.shape, TYPES_BY_NAME[item.type_name]) for item in info.tensors]


def base_name(info: GGUFInfo) -> str:
    """Return the name that the file's begins with: without ``mmproj-``, type and part."""
    part = parse_part_name(info.path.name)
    stem = (part.stem if part else info.path.stem).removeprefix(_PROJECTOR_PREFIX)
    before, dash, last = stem.rpartition("-")
    return before if dash and last.upper() in QUANTIZED_FILE_TYPES else stem


def _model_files(info: GGUFInfo, base: str, wanted: FileType, recipe: QuantRecipe) -> Iterator[PlannedFile]:
    arch = info.architecture
    experts = info.metadata.get(f"{arch}.expert_count", 0)
    traits = ModelTraits(
        n_layers=info.integer(f"{arch}.block_count"),
        n_heads=info.integer(f"{arch}.attention.head_count"),
        n_kv_heads=info.integer(f"{arch}.attention.head_count_kv"),
        n_experts=experts if isinstance(experts, int) else 0,
    )
    shapes = {tensor.name: tensor.shape for tensor in info.tensors}
    choices = _choices(info, shapes, wanted, traits, recipe.wishes)
    tensors = _drafts(info, shapes, choices, recipe)
    draft = Draft("model", f"{base}-{wanted.name}", wanted.name, _metadata(info, wanted), tensors)
    yield from lay_out(draft, parts=_parts(info) if recipe.keep_split else None)


def _projector_files(
    info: GGUFInfo, base: str, types: Sequence[FileType], recipe: QuantRecipe
) -> Iterator[PlannedFile]:
    """Plan the projector in each of `types`; none: as it is."""
    stem = f"{_PROJECTOR_PREFIX}{base}"
    if not types:
        own = QUANTIZED_FILE_TYPES.get(info.file_type or "")
        shapes = {tensor.name: tensor.shape for tensor in info.tensors}
        kept = {item.name: Choice(TYPES_BY_NAME[item.type_name], "as it is", False) for item in info.tensors}
        name = own.name if own else "own"
        draft = Draft(
            "projector", f"{stem}-{name}", name, _entries(info), _drafts(info, shapes, kept, recipe)
        )
        yield from lay_out(draft)
    for wanted in types:
        width = info.integer(WIDTH_KEY)
        padded = padded_width(width, wanted.base)
        shapes = {item.name: padded_shape(item.name, item.shape, padded) for item in info.tensors}
        wishes = replace(recipe.wishes, pure=True, output_type=None, embedding_type=None)
        choices = _choices(info, shapes, wanted, ModelTraits(), wishes)
        metadata = {entry.key: entry for entry in _metadata(info, wanted)}
        if padded != width:
            metadata[WIDTH_KEY] = KeyValue(WIDTH_KEY, ValueType.UINT32, padded)
            metadata.setdefault(UNPADDED_KEY, KeyValue(UNPADDED_KEY, ValueType.UINT32, width))
        tensors = _drafts(info, shapes, choices, recipe)
        draft = Draft("projector", f"{stem}-{wanted.name}", wanted.name, tuple(metadata.values()), tensors)
        yield from lay_out(draft)


def _choices(
    info: GGUFInfo, shapes: _Shapes, wanted: FileType, traits: ModelTraits, wishes: Wishes
) -> dict[str, Choice]:
    tensors = [(item.name, shapes[item.name], TYPES_BY_NAME[item.type_name]) for item in info.tensors]
    choices = choose_types(tensors, wanted, traits, wishes, has_imatrix=False)
    needing = [name for name, choice in choices.items() if choice.needs_imatrix]
    if needing:
        raise UsageError(
            f"{wanted.name} needs an importance matrix, for {join_problems(needing, 3)}; "
            "give one with --imatrix or choose another type"
        )
    return choices


def _drafts(
    info: GGUFInfo, shapes: _Shapes, choices: dict[str, Choice], recipe: QuantRecipe
) -> list[DraftTensor]:
    drafts, again = [], []
    for tensor in info.tensors:
        shape, choice = shapes[tensor.name], choices[tensor.name]
        quantized = tensor.type_name not in _FLOATS
        as_is = quantized and choice.kind.name == tensor.type_name and shape == tensor.shape
        if quantized and not as_is:
            again.append(f"{tensor.name} ({tensor.type_name})")
        cut = Cut(zero_columns=shape[-1] - tensor.shape[-1] if len(shape) > 1 else 0)
        drafts.append(
            DraftTensor(tensor.name, shape, choice.kind, GGUFSource(tensor, as_is), cut, choice.why)
        )
    if again and not recipe.allow_requantize:
        raise GGUFError(
            f"{info.path}: is quantized already: {join_problems(again, 3)}; start from the original, "
            "or accept the double loss with --allow-requantize"
        )
    return drafts


def _metadata(info: GGUFInfo, wanted: FileType) -> tuple[KeyValue, ...]:
    """Return the source's metadata with the keys that a quantization changes."""
    ours = f"qwen3vl-edge {version('qwen3vl-edge')}"
    changed = [
        KeyValue("general.file_type", ValueType.UINT32, wanted.code),
        KeyValue("general.quantization_version", ValueType.UINT32, _QUANTIZATION_VERSION),
    ]
    if wanted.base.block > 1:
        changed.append(KeyValue("general.quantized_by", ValueType.STRING, ours))
    entries = {entry.key: entry for entry in (*_entries(info), *changed)}
    return tuple(entries.values())


def _entries(info: GGUFInfo) -> tuple[KeyValue, ...]:
    """Return all metadata as it stands, but for that of parts."""
    return tuple(
        KeyValue(key, info.kinds[key], tuple(value.values()) if isinstance(value, GGUFArray) else value)
        for key, value in info.metadata.items()
        if not key.startswith("split.")
    )


def _parts(info: GGUFInfo) -> list[range]:
    """Return which tensors stand in which file of the source."""
    parts, start = [], 0
    for path in info.paths:
        count = sum(tensor.path == path for tensor in info.tensors)
        parts.append(range(start, start + count))
        start += count
    return parts


def _source(infos: Sequence[GGUFInfo]) -> Source:
    """Name the files that the plan reads; like shards, they are identified by their headers."""
    files = [
        SourceFile(path.name, path.stat().st_size, _header_sha256(info, path))
        for info in infos
        for path in info.paths
    ]
    return Source(str(infos[0].path.parent), tuple(files))


def _header_sha256(info: GGUFInfo, path: Path) -> str:
    start = min((tensor.offset for tensor in info.tensors if tensor.path == path), default=0)
    with path.open("rb") as file:
        return hashlib.sha256(file.read(start)).hexdigest()
