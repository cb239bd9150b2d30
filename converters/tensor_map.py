"""Applies the tables of `tensor_rules` to a checkpoint, checked both ways.

A name that no rule takes and a rule that finds no tensor are both faults.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from qwen3vl_edge.checkpoint import Checkpoint, TensorRef
from qwen3vl_edge.converters.tensor_rules import MODEL_RULES, PROJECTOR_RULES, Rule
from qwen3vl_edge.errors import CheckpointError, join_problems
from qwen3vl_edge.model_config import ModelConfig

__all__ = ["Mapped", "map_tensors"]


@dataclass(frozen=True, slots=True)
class Mapped:
    """A tensor to write: its GGUF name, where its values come from, and its row-major shape."""

    target: str
    source: TensorRef
    shape: tuple[int, ...]
    frame: int | None


# Older exports: prefix as found -> prefix of the tables.
_OLD_PREFIXES = (("language_model.", "model.language_model."), ("visual.", "model.visual."))

_READABLE = ("BF16", "F16", "F32")


@dataclass(frozen=True, slots=True)
class _Expected:
    """A rule worked out for one layer."""

    source: str
    target: str
    shape: tuple[int, ...]
    frame: int | None
    optional: bool


def map_tensors(checkpoint: Checkpoint, config: ModelConfig) -> tuple[list[Mapped], list[Mapped]]:
    """Assign every tensor of the checkpoint; returns those of the language model and of the projector.

    Both come in the order in which the checkpoint holds them, so that it is read from front to back.

    Raises:
        CheckpointError: all unknown, missing, misshapen, unreadable and doubled tensors in one line.
    """
    problems: list[str] = []
    found = _by_name(checkpoint.tensors, problems)
    expected = {
        "model": list(_expand(MODEL_RULES, config)),
        "projector": list(_expand(PROJECTOR_RULES, config)),
    }
    known = {item.source for items in expected.values() for item in items}
    problems += [f"unknown tensor {ref.name!r:.120}" for name, ref in found.items() if name not in known]
    model, projector = (_assign(items, found, problems) for items in expected.values())
    if problems:
        raise CheckpointError(f"{checkpoint.folder}: {join_problems(problems)}")
    return model, projector


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


def _expand(rules: Iterable[Rule], config: ModelConfig) -> Iterator[_Expected]:
    sizes, layers = _sizes(config), _layers(config)
    for rule in rules:
        shape = tuple(sizes[dim] if isinstance(dim, str) else dim for dim in rule.shape)
        for n, m in layers[rule.over]:
            source, target = rule.source.format(n=n), rule.target.format(m=m)
            optional = rule.unless_tied and config.tie_word_embeddings
            yield _Expected(source, target, shape, rule.frame, optional)


def _sizes(config: ModelConfig) -> dict[str, int]:
    text, vision = config.text, config.vision
    return {
        "vocab": text.vocab_size,
        "hidden": text.hidden,
        "ffn": text.ffn,
        "head_dim": text.head_dim,
        "q": text.n_heads * text.head_dim,
        "kv": text.n_kv_heads * text.head_dim,
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


def _assign(expected: list[_Expected], found: dict[str, TensorRef], problems: list[str]) -> list[Mapped]:
    mapped = []
    for item in expected:
        ref = found.get(item.source)
        if ref is None:
            if not item.optional:
                problems.append(f"missing tensor {item.source!r}")
        elif ref.shape != item.shape:
            problems.append(
                f"{ref.name!r} has shape {list(ref.shape)}, config.json asks for {list(item.shape)}"
            )
        elif ref.dtype not in _READABLE:
            problems.append(f"{ref.name!r} is {ref.dtype}, one of {', '.join(_READABLE)} is expected")
        else:
            shape = item.shape if item.frame is None else item.shape[:2] + item.shape[3:]
            mapped.append(Mapped(item.target, ref, shape, item.frame))
    return sorted(mapped, key=lambda item: (item.source.path.name, item.source.offset))
