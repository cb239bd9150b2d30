"""Which tensor of the checkpoint becomes which tensor of the GGUF files.

Literal tables, checked both ways: a name that no rule takes and a rule that finds no tensor are both
faults. Names on the right: gguf-py/gguf/constants.py (TENSOR_NAMES) and, for the projector,
conversion/qwen3vl.py of llama.cpp 0c1e57098.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from qwen3vl_edge.checkpoint import Checkpoint, TensorRef
from qwen3vl_edge.errors import CheckpointError, join_problems
from qwen3vl_edge.model_config import ModelConfig

__all__ = ["MODEL_RULES", "PROJECTOR_RULES", "Mapped", "Rule", "map_tensors"]


@dataclass(frozen=True, slots=True)
class Rule:
    """One tensor, or one for each layer where the names hold ``{n}`` (source) and ``{m}`` (target).

    `shape` names dimensions, row-major, or gives them as numbers. `frame` picks one temporal slice,
    [:, :, frame], of the patch embedding. A tensor marked `unless_tied` may be absent when the
    output shares the input embeddings.
    """

    source: str
    target: str
    shape: tuple[str | int, ...]
    over: str = ""
    frame: int | None = None
    unless_tied: bool = False


@dataclass(frozen=True, slots=True)
class Mapped:
    """A tensor to write: its GGUF name, where its values come from, and its row-major shape."""

    target: str
    source: TensorRef
    shape: tuple[int, ...]
    frame: int | None


_TEXT = "model.language_model"
_LAYER = f"{_TEXT}.layers.{{n}}"
_VISION = "model.visual"
_BLOCK = f"{_VISION}.blocks.{{n}}"
_MERGER = f"{_VISION}.merger"
_TAP = f"{_VISION}.deepstack_merger_list.{{n}}"

MODEL_RULES = (
    Rule(f"{_TEXT}.embed_tokens.weight", "token_embd.weight", ("vocab", "hidden")),
    Rule(f"{_TEXT}.norm.weight", "output_norm.weight", ("hidden",)),
    Rule("lm_head.weight", "output.weight", ("vocab", "hidden"), unless_tied=True),
    Rule(f"{_LAYER}.input_layernorm.weight", "blk.{m}.attn_norm.weight", ("hidden",), "layers"),
    Rule(f"{_LAYER}.self_attn.q_proj.weight", "blk.{m}.attn_q.weight", ("q", "hidden"), "layers"),
    Rule(f"{_LAYER}.self_attn.k_proj.weight", "blk.{m}.attn_k.weight", ("kv", "hidden"), "layers"),
    Rule(f"{_LAYER}.self_attn.v_proj.weight", "blk.{m}.attn_v.weight", ("kv", "hidden"), "layers"),
    Rule(f"{_LAYER}.self_attn.o_proj.weight", "blk.{m}.attn_output.weight", ("hidden", "q"), "layers"),
    Rule(f"{_LAYER}.self_attn.q_norm.weight", "blk.{m}.attn_q_norm.weight", ("head_dim",), "layers"),
    Rule(f"{_LAYER}.self_attn.k_norm.weight", "blk.{m}.attn_k_norm.weight", ("head_dim",), "layers"),
    Rule(f"{_LAYER}.post_attention_layernorm.weight", "blk.{m}.ffn_norm.weight", ("hidden",), "layers"),
    Rule(f"{_LAYER}.mlp.gate_proj.weight", "blk.{m}.ffn_gate.weight", ("ffn", "hidden"), "layers"),
    Rule(f"{_LAYER}.mlp.up_proj.weight", "blk.{m}.ffn_up.weight", ("ffn", "hidden"), "layers"),
    Rule(f"{_LAYER}.mlp.down_proj.weight", "blk.{m}.ffn_down.weight", ("hidden", "ffn"), "layers"),
)

_PATCH = ("v_hidden", 3, 2, "patch", "patch")  # channels out, RGB, frames of a pair, height, width

PROJECTOR_RULES = (
    Rule(f"{_VISION}.patch_embed.proj.weight", "v.patch_embd.weight", _PATCH, frame=0),
    Rule(f"{_VISION}.patch_embed.proj.weight", "v.patch_embd.weight.1", _PATCH, frame=1),
    Rule(f"{_VISION}.patch_embed.proj.bias", "v.patch_embd.bias", ("v_hidden",)),
    Rule(f"{_VISION}.pos_embed.weight", "v.position_embd.weight", ("positions", "v_hidden")),
    Rule(f"{_BLOCK}.norm1.weight", "v.blk.{m}.ln1.weight", ("v_hidden",), "blocks"),
    Rule(f"{_BLOCK}.norm1.bias", "v.blk.{m}.ln1.bias", ("v_hidden",), "blocks"),
    Rule(f"{_BLOCK}.norm2.weight", "v.blk.{m}.ln2.weight", ("v_hidden",), "blocks"),
    Rule(f"{_BLOCK}.norm2.bias", "v.blk.{m}.ln2.bias", ("v_hidden",), "blocks"),
    Rule(f"{_BLOCK}.attn.qkv.weight", "v.blk.{m}.attn_qkv.weight", ("v_qkv", "v_hidden"), "blocks"),
    Rule(f"{_BLOCK}.attn.qkv.bias", "v.blk.{m}.attn_qkv.bias", ("v_qkv",), "blocks"),
    Rule(f"{_BLOCK}.attn.proj.weight", "v.blk.{m}.attn_out.weight", ("v_hidden", "v_hidden"), "blocks"),
    Rule(f"{_BLOCK}.attn.proj.bias", "v.blk.{m}.attn_out.bias", ("v_hidden",), "blocks"),
    Rule(f"{_BLOCK}.mlp.linear_fc1.weight", "v.blk.{m}.ffn_up.weight", ("v_ffn", "v_hidden"), "blocks"),
    Rule(f"{_BLOCK}.mlp.linear_fc1.bias", "v.blk.{m}.ffn_up.bias", ("v_ffn",), "blocks"),
    Rule(f"{_BLOCK}.mlp.linear_fc2.weight", "v.blk.{m}.ffn_down.weight", ("v_hidden", "v_ffn"), "blocks"),
    Rule(f"{_BLOCK}.mlp.linear_fc2.bias", "v.blk.{m}.ffn_down.bias", ("v_hidden",), "blocks"),
    Rule(f"{_MERGER}.norm.weight", "v.post_ln.weight", ("v_hidden",)),
    Rule(f"{_MERGER}.norm.bias", "v.post_ln.bias", ("v_hidden",)),
    Rule(f"{_MERGER}.linear_fc1.weight", "mm.0.weight", ("merged", "merged")),
    Rule(f"{_MERGER}.linear_fc1.bias", "mm.0.bias", ("merged",)),
    Rule(f"{_MERGER}.linear_fc2.weight", "mm.2.weight", ("hidden", "merged")),
    Rule(f"{_MERGER}.linear_fc2.bias", "mm.2.bias", ("hidden",)),
    Rule(f"{_TAP}.norm.weight", "v.deepstack.{m}.norm.weight", ("merged",), "taps"),
    Rule(f"{_TAP}.norm.bias", "v.deepstack.{m}.norm.bias", ("merged",), "taps"),
    Rule(f"{_TAP}.linear_fc1.weight", "v.deepstack.{m}.fc1.weight", ("merged", "merged"), "taps"),
    Rule(f"{_TAP}.linear_fc1.bias", "v.deepstack.{m}.fc1.bias", ("merged",), "taps"),
    Rule(f"{_TAP}.linear_fc2.weight", "v.deepstack.{m}.fc2.weight", ("hidden", "merged"), "taps"),
    Rule(f"{_TAP}.linear_fc2.bias", "v.deepstack.{m}.fc2.bias", ("hidden",), "taps"),
)

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
