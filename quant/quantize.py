"""The plan of quantizing GGUF files: the same model in other types."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version

from qwen3vl_edge.errors import GGUFError, join_problems
from qwen3vl_edge.ggml_types import QUANTIZATION_VERSION, TYPES_BY_NAME
from qwen3vl_edge.gguf_format import GGUFArray, ValueType
from qwen3vl_edge.gguf_info import GGUFInfo
from qwen3vl_edge.manifest import Source, SourceFile
from qwen3vl_edge.quant.file_types import QUANTIZED_FILE_TYPES, FileType, find_file_type
from qwen3vl_edge.quant.gguf_source import GGUFSource
from qwen3vl_edge.quant.imatrix import Imatrix
from qwen3vl_edge.quant.importance import Importance, importance_of, refuse_missing_importance
from qwen3vl_edge.quant.mixes import ModelTraits
from qwen3vl_edge.quant.projector import (
    UNPADDED_KEY,
    WIDTH_KEY,
    added_columns,
    of_projector,
    padded_shape,
    padded_width,
)
from qwen3vl_edge.quant.recipes import Choice, SourceTensor, Wishes, choose_types, refuse_unmatched
from qwen3vl_edge.split_names import parse_part_name
from qwen3vl_edge.writing.gguf_header import KeyValue
from qwen3vl_edge.writing.planned import Draft, PlannedFile, PlannedTensor, WritePlan, lay_out
from qwen3vl_edge.writing.source import Cut

__all__ = ["QuantRecipe", "base_name", "listed", "plan_quantization", "traits_of"]

_PROJECTOR_PREFIX = "mmproj-"
_FLOATS = ("F32", "F16", "BF16")


@dataclass(frozen=True, slots=True)
class QuantRecipe:
    """What to make of GGUF files.

    Args:
        types: Of the language model, one file for each.
        projector_type: Of the projector; None: as it is.
        wishes: What the user wants otherwise than the recipes.
        imatrix: How much errors matter, by tensor and column.
        keep_split: Cut the language model where the source is cut.
        allow_requantize: Whether tensors that are quantized already may be quantized again.
    """

    types: tuple[str, ...]
    projector_type: str | None = None
    wishes: Wishes = field(default_factory=Wishes)
    imatrix: Imatrix | None = None
    keep_split: bool = False
    allow_requantize: bool = False


def plan_quantization(
    model: GGUFInfo | None, projector: GGUFInfo | None, recipe: QuantRecipe, *, name: str | None = None
) -> WritePlan:
    """Plan the types and places of all tensors.

    Args:
        model: The language model, all of its parts; None: `recipe.types` are the projector's.
        projector: None: only the language model is quantized.
        recipe: What to make of them.
        name: Of the files; None: after the source's, without its type.

    Raises:
        UsageError: an unknown type, one that needs an importance matrix, or overrides that fit nothing.
        GGUFError: a tensor is quantized already, the matrix is of another model, or a file is not of
            this model family.
    """
    types = [find_file_type(wanted) for wanted in dict.fromkeys(recipe.types)]
    sources = [info for info in (model, projector) if info is not None]
    tensors = [item for info in sources for item in listed(info)]
    refuse_unmatched(tensors, recipe.wishes.overrides)
    importance = recipe.imatrix.for_tensors(_unpadded(sources)) if recipe.imatrix else {}
    base = name or base_name(sources[0])
    files: list[PlannedFile] = []
    if model is not None:
        for wanted in types:
            draft = _model_draft(model, base, wanted, recipe, importance)
            files += lay_out(draft, parts=_parts(model) if recipe.keep_split else None)
        types = [find_file_type(recipe.projector_type)] if recipe.projector_type else []
    if projector is not None:
        drafts = [_projector_draft(projector, base, wanted, recipe, importance) for wanted in types]
        for draft in drafts or [_as_it_is(projector, base)]:
            files += lay_out(draft)
    inputs = tuple(path for info in sources for path in info.paths)
    return WritePlan(base, _source(sources), tuple(files), inputs=inputs)


def _unpadded(sources: Sequence[GGUFInfo]) -> list[tuple[str, tuple[int, ...]]]:
    """Return the shapes that the checkpoint had: what an importance matrix may be of."""
    shapes = []
    for info in sources:
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
    stem = (part.stem if part else info.path.stem).removeprefix(_PROJECTOR_PREFIX)
    before, dash, last = stem.rpartition("-")
    return before if dash and last.upper() in QUANTIZED_FILE_TYPES else stem


def _model_draft(
    info: GGUFInfo, base: str, wanted: FileType, recipe: QuantRecipe, importance: Importance
) -> Draft:
    has_imatrix = recipe.imatrix is not None
    choices = choose_types(listed(info), wanted, traits_of(info), recipe.wishes, has_imatrix=has_imatrix)
    refuse_missing_importance(wanted, choices, importance)
    tensors = _drafts(info, choices, importance, again=recipe.allow_requantize)
    return Draft("model", f"{base}-{wanted.name}", wanted.name, _metadata(info, wanted, recipe), tensors)


def _projector_draft(
    info: GGUFInfo, base: str, wanted: FileType, recipe: QuantRecipe, importance: Importance
) -> Draft:
    """Draft the projector by its own recipe: one type for all, the MLP padded."""
    before = info.integer(WIDTH_KEY)
    width = padded_width(before, wanted.base)
    tensors = [(name, padded_shape(name, shape, width), kind) for name, shape, kind in listed(info)]
    wishes = of_projector(recipe.wishes)
    choices = choose_types(tensors, wanted, ModelTraits(), wishes, has_imatrix=recipe.imatrix is not None)
    refuse_missing_importance(wanted, choices, importance)
    metadata = {entry.key: entry for entry in _metadata(info, wanted, recipe)}
    if width != before:
        metadata[WIDTH_KEY] = KeyValue(WIDTH_KEY, ValueType.UINT32, width)
        metadata.setdefault(UNPADDED_KEY, KeyValue(UNPADDED_KEY, ValueType.UINT32, before))
    drafts = _drafts(info, choices, importance, again=recipe.allow_requantize, width=width)
    stem = f"{_PROJECTOR_PREFIX}{base}-{wanted.name}"
    return Draft("projector", stem, wanted.name, tuple(metadata.values()), drafts)


def _as_it_is(info: GGUFInfo, base: str) -> Draft:
    """Draft a copy of the projector."""
    choices = {name: Choice(kind, "as it is", needs_imatrix=False) for name, _, kind in listed(info)}
    kind = info.file_type or "own"
    stem = f"{_PROJECTOR_PREFIX}{base}-{kind}"
    return Draft("projector", stem, kind, _entries(info), _drafts(info, choices, {}, again=False))


def _drafts(
    info: GGUFInfo,
    choices: Mapping[str, Choice],
    importance: Importance,
    *,
    again: bool,
    width: int | None = None,
) -> list[PlannedTensor]:
    drafts, quantized = [], []
    for tensor in info.tensors:
        choice = choices[tensor.name]
        shape = tensor.shape if width is None else padded_shape(tensor.name, tensor.shape, width)
        has_blocks = tensor.type_name not in _FLOATS
        as_is = has_blocks and choice.kind.name == tensor.type_name and shape == tensor.shape
        if has_blocks and not as_is:
            quantized.append(f"{tensor.name} ({tensor.type_name})")
        drafts.append(
            PlannedTensor(
                name=tensor.name,
                shape=shape,
                kind=choice.kind,
                source=GGUFSource(tensor, as_is),
                cut=Cut(zero_columns=added_columns(tensor.shape, shape)),
                why=choice.why,
                importance=importance_of(tensor.name, shape, importance),
            )
        )
    if quantized and not again:
        raise GGUFError(
            f"{info.path}: is quantized already: {join_problems(quantized, 3)}; start from the original, "
            "or accept the double loss with --allow-requantize"
        )
    return drafts


def _metadata(info: GGUFInfo, wanted: FileType, recipe: QuantRecipe) -> tuple[KeyValue, ...]:
    """Return the source's metadata with the keys that a quantization changes."""
    changed = [
        KeyValue("general.file_type", ValueType.UINT32, wanted.code),
        KeyValue("general.quantization_version", ValueType.UINT32, QUANTIZATION_VERSION),
    ]
    if wanted.base.block > 1:
        ours = f"qwen3vl-edge {version('qwen3vl-edge')}"
        changed.append(KeyValue("general.quantized_by", ValueType.STRING, ours))
    if recipe.imatrix is not None:
        changed += recipe.imatrix.metadata()
    return tuple({entry.key: entry for entry in (*_entries(info), *changed)}.values())


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
    files = tuple(file for info in infos for file in _source_files(info))
    return Source(str(infos[0].path.parent), files)


def _source_files(info: GGUFInfo) -> Iterator[SourceFile]:
    for path in info.paths:
        start = min((tensor.offset for tensor in info.tensors if tensor.path == path), default=0)
        yield SourceFile.of(path, start)
