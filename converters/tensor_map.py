"""Applies the tables of `tensor_rules` to a checkpoint, checked both ways.

A name that no rule takes and a rule that finds no tensor are both faults.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from qwen3vl_edge.checkpoint import Checkpoint, TensorRef
from qwen3vl_edge.converters.expert_layout import expert_layout
from qwen3vl_edge.converters.sources import CheckpointSource
from qwen3vl_edge.converters.tensor_rules import (
    DENSE_RULES,
    EXPERT_RULES,
    MODEL_RULES,
    PROJECTOR_RULES,
    ROUTER_RULES,
    Part,
    Rule,
)
from qwen3vl_edge.errors import CheckpointError, join_problems
from qwen3vl_edge.model_config import ModelConfig
from qwen3vl_edge.writing.source import Cut

__all__ = ["Mapped", "expected_tensors", "map_tensors"]


@dataclass(frozen=True, slots=True)
class Mapped:
    """A tensor to write: its GGUF name, what it takes of which source, and its row-major shape."""

    target: str
    shape: tuple[int, ...]
    source: CheckpointSource
    cut: Cut


# Older exports: prefix as found -> prefix of the tables.
_OLD_PREFIXES = (("language_model.", "model.language_model."), ("visual.", "model.visual."))

_READABLE = ("BF16", "F16", "F32")
_FP8 = "F8_E4M3"
_SCALE = "_scale_inv"  # value = stored x scale_inv of its block


@dataclass(frozen=True, slots=True)
class _Expected:
    """A rule worked out for one layer; `shape` is that of each source."""

    sources: tuple[str, ...]
    target: str
    shape: tuple[int, ...]
    part: Part | None
    optional: bool
    stacked: bool


def map_tensors(checkpoint: Checkpoint, config: ModelConfig) -> tuple[list[Mapped], list[Mapped]]:
    """Assign every tensor of the checkpoint; returns those of the language model and of the projector.

    Both come in the order of llama.cpp's converter: file after file, by name (gguf-py/gguf/utility.py,
    0c1e57098). That is the order in which safetensors writes the tensors of one dtype.

    Raises:
        CheckpointError: all unknown, missing, misshapen, unreadable and doubled tensors in one line.
    """
    problems: list[str] = []
    found = _by_name(checkpoint.tensors, problems)
    sizes = _sizes(config)
    layout = expert_layout(checkpoint.folder, found, sizes) if config.text.moe else None
    expected = [list(_expand(rules, config, sizes)) for rules in (_model_rules(layout), PROJECTOR_RULES)]
    assigned = _Assignment(found, config.fp8_block, problems)
    model, projector = (assigned.take(items) for items in expected)
    problems += [
        f"unknown tensor {ref.name!r:.120}" for name, ref in found.items() if name not in assigned.known
    ]
    if problems:
        raise CheckpointError(f"{checkpoint.folder}: {join_problems(problems)}")
    return model, projector


def expected_tensors(config: ModelConfig) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Give name and shape of every tensor of a checkpoint as published, from its config alone."""
    rules = (*_model_rules("4.57" if config.text.moe else None), *PROJECTOR_RULES)
    shapes = {
        name: item.shape
        for item in _expand(rules, config, _sizes(config))
        if not item.optional
        for name in item.sources
    }
    yield from shapes.items()


def _by_name(refs: Iterable[TensorRef], problems: list[str]) -> dict[str, TensorRef]:
    found: dict[str, TensorRef] = {}
    for ref in refs:
        name = _table_name(ref.name)
        if name in found:
            problems.append(f"{ref.name!r:.120} and {found[name].name!r:.120} are the same tensor")
        found[name] = ref
    return found


def _table_name(name: str) -> str:
    for old, new in _OLD_PREFIXES:
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name


def _model_rules(layout: str | None) -> tuple[Rule, ...]:
    feed_forward = DENSE_RULES if layout is None else (*ROUTER_RULES, *EXPERT_RULES[layout])
    return (*MODEL_RULES, *feed_forward)


def _expand(rules: Iterable[Rule], config: ModelConfig, sizes: dict[str, int]) -> Iterator[_Expected]:
    layers = _layers(config)
    for rule in rules:
        shape = tuple(sizes[dim] if isinstance(dim, str) else dim for dim in rule.shape)
        stacked = "{e}" in rule.source
        n_sources = sizes["experts"] if stacked else 1
        optional = rule.unless_tied and config.tie_word_embeddings
        for n, m in layers[rule.over]:
            sources = tuple(rule.source.format(n=n, e=e) for e in range(n_sources))
            yield _Expected(sources, rule.target.format(m=m), shape, rule.part, optional, stacked)


def _sizes(config: ModelConfig) -> dict[str, int]:
    text, vision, moe = config.text, config.vision, config.text.moe
    return {
        "vocab": text.vocab_size,
        "hidden": text.hidden,
        "ffn": text.ffn,
        "head_dim": text.head_dim,
        "q": text.n_heads * text.head_dim,
        "kv": text.n_kv_heads * text.head_dim,
        "experts": moe.n_experts if moe else 0,
        "expert_ffn": moe.expert_ffn if moe else 0,
        "expert_gate_up": 2 * moe.expert_ffn if moe else 0,
        "v_hidden": vision.hidden,
        "v_qkv": 3 * vision.hidden,
        "v_ffn": vision.ffn,
        "merged": vision.hidden * vision.spatial_merge**2,
        "positions": vision.n_positions,
        "patch": vision.patch_size_px,
    }


def _layers(config: ModelConfig) -> dict[str, list[tuple[int, int]]]:
    """Return the (source, target) numbers that a rule runs over; a tap takes the number of its block."""
    return {
        "": [(0, 0)],
        "layers": [(n, n) for n in range(config.text.n_layers)],
        "blocks": [(n, n) for n in range(config.vision.n_layers)],
        "taps": list(enumerate(config.vision.deepstack_layers)),
    }


class _Assignment:
    """The tensors found, being assigned: notes faults, and which names are known by now."""

    def __init__(
        self, found: dict[str, TensorRef], fp8_block: tuple[int, int] | None, problems: list[str]
    ) -> None:
        self._found, self._fp8_block, self._problems = found, fp8_block, problems
        self.known: set[str] = set()

    def take(self, expected: Sequence[_Expected]) -> list[Mapped]:
        """Assign what is there, sorted by file and name."""
        mapped = []
        for item in expected:
            source = self._source(item)
            if source is not None:
                cut, shape = _cut(item.part, source.shape)
                mapped.append(Mapped(item.target, shape, source, cut))
        return sorted(mapped, key=lambda item: (item.source.refs[0].path.name, item.source.refs[0].name))

    def _source(self, item: _Expected) -> CheckpointSource | None:
        self.known.update(item.sources)
        refs = [self._ref(name, item.shape, optional=item.optional) for name in item.sources]
        sound = tuple(ref for ref in refs if ref is not None)
        if len(sound) != len(refs):
            return None
        if len({ref.dtype for ref in sound}) > 1:
            self._problems.append(f"the experts of {item.sources[0]!r} are not all of one dtype")
            return None
        if sound[0].dtype != _FP8:
            return CheckpointSource(sound, item.stacked)
        return self._scaled(sound, item)

    def _ref(self, name: str, shape: tuple[int, ...], *, optional: bool = False) -> TensorRef | None:
        ref = self._found.get(name)
        if ref is None:
            if not optional:
                self._problems.append(f"missing tensor {name!r}")
            return None
        readable = _READABLE if self._fp8_block is None or len(shape) < 2 else (*_READABLE, _FP8)
        if ref.shape != shape:
            fault = f"has shape {list(ref.shape)}, config.json asks for {list(shape)}"
        elif ref.dtype not in readable:
            fault = f"is {ref.dtype}, one of {', '.join(readable)} is expected"
        else:
            return ref
        self._problems.append(f"{ref.name!r} {fault}")
        return None

    def _scaled(self, refs: tuple[TensorRef, ...], item: _Expected) -> CheckpointSource | None:
        """Find the scales of FP8 tensors, shaped like the tensors' blocks."""
        block = self._fp8_block or (1, 1)
        *outer, rows, columns = refs[0].shape
        shape = (*outer, -(-rows // block[0]), -(-columns // block[1]))
        names = [name + _SCALE for name in item.sources]
        self.known.update(names)
        scales = [self._scale(name, shape) for name in names]
        sound = tuple(scale for scale in scales if scale is not None)
        return CheckpointSource(refs, item.stacked, sound, block) if len(sound) == len(refs) else None

    def _scale(self, name: str, shape: tuple[int, ...]) -> TensorRef | None:
        ref = self._ref(name, shape)
        if ref is not None and ref.dtype == _FP8:
            self._problems.append(f"{ref.name!r} is {_FP8}, one of {', '.join(_READABLE)} is expected")
            return None
        return ref


def _cut(part: Part | None, shape: tuple[int, ...]) -> tuple[Cut, tuple[int, ...]]:
    """Give the cut of a source of `shape`, and the shape of what it leaves."""
    everything, half = slice(None), shape[-1] // 2
    half_rows = shape[-2] // 2 if len(shape) > 1 else 0
    match part:
        case None:
            return Cut(), shape
        case "frame 0" | "frame 1":
            return Cut((everything, int(part == "frame 1"))), shape[:2] + shape[3:]
        case "gate columns" | "up columns":
            columns = slice(0, half) if part == "gate columns" else slice(half, None)
            return Cut((everything, columns), transposed=True), (shape[0], half, shape[1])
        case "gate rows" | "up rows":
            rows = slice(0, half_rows) if part == "gate rows" else slice(half_rows, None)
            return Cut((rows,)), (shape[0], half_rows, shape[2])
        case "transposed":
            return Cut(transposed=True), (shape[0], shape[2], shape[1])
