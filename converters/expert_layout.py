"""In which of the known layouts a checkpoint holds its experts."""

from collections.abc import Mapping
from pathlib import Path

from qwen3vl_edge.checkpoint import TensorRef
from qwen3vl_edge.converters.tensor_rules import EXPERT_RULES
from qwen3vl_edge.errors import CheckpointError

__all__ = ["expert_layout"]


def expert_layout(folder: Path, found: Mapping[str, TensorRef], sizes: Mapping[str, int]) -> str:
    """Return the key of `EXPERT_RULES` whose names and shapes those of layer 0 are.

    Shapes alone decide, with no need for the version that saved the checkpoint: ``gate_up_proj`` fits both
    fused layouts only where hidden = 2 · expert_ffn, ``down_proj`` only where hidden = expert_ffn, and
    never do both hold. The other layers are checked like any tensor.

    Args:
        folder: For errors.
        found: The tensors by name.
        sizes: The dimensions that the rules name.

    Raises:
        CheckpointError: the experts are missing or shaped otherwise.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for layout, rules in EXPERT_RULES.items():
        wanted = {
            rule.source.format(n=0, e=0): tuple(sizes[str(dim)] for dim in rule.shape) for rule in rules
        }
        shapes = {name: found[name].shape for name in wanted if name in found} or shapes
        if all(name in found and found[name].shape == shape for name, shape in wanted.items()):
            return layout
    if not shapes:
        raise CheckpointError(
            f"{folder}: layer 0 has no experts, but config.json is that of a mixture of experts"
        )
    listed = ", ".join(f"{name!r} {list(shape)}" for name, shape in shapes.items())
    raise CheckpointError(
        f"the experts of layer 0 fit no known layout for the sizes in config.json: {listed}"
    )
