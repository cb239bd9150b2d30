"""Types that were chosen for a size, as a table."""

from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.filesize import decimal as in_bytes
from rich.table import Column, Table

from qwen3vl_edge.cli.layer_names import merged_name, without_layer
from qwen3vl_edge.cli.plain_text import plain
from qwen3vl_edge.quant.allocation import Chosen, TensorChoice
from qwen3vl_edge.writing import WritePlan

__all__ = ["choices_json", "show_choices"]

_LEAST_WIDTH = 100


def show_choices(chosen: Chosen, plan: WritePlan) -> None:
    """Print the choices, layers of a kind and type together: what each costs of the whole."""
    whole = [Column(name, no_wrap=True, overflow="fold") for name in ("tensors", "count", "type", "size")]
    table = Table(*whole, "error of the output", "share of the damage", box=None, pad_edge=False)
    for same, n_layers in _alike(chosen.choices):
        errors = [choice.error for choice in same]
        damage = sum(choice.damage for choice in same)
        table.add_row(
            plain(merged_name([choice.name for choice in same], n_layers)),
            str(len(same)),
            same[0].kind.name,
            in_bytes(sum(choice.n_bytes for choice in same)),
            _range(min(errors), max(errors)),
            f"{100 * damage / chosen.damage:.1f} %" if chosen.damage else "",
        )
    console = Console()
    Console(width=max(console.width, _LEAST_WIDTH)).print(table)
    console.print(plain(f"{plan.files[0].type}: {plan.n_bytes} bytes; {_gap(chosen)}"), highlight=False)
    if said := _at_an_end(chosen, plan):
        console.print(said, highlight=False)


def choices_json(chosen: Chosen) -> dict[str, object]:
    """Return all choices, each tensor by itself."""
    return {
        "damage": chosen.damage,
        "gap": chosen.gap,
        "tensors": [
            {
                "name": choice.name,
                "type": choice.kind.name,
                "error": choice.error,
                "damage": choice.damage,
                "size_bytes": choice.n_bytes,
            }
            for choice in chosen.choices
        ],
    }


def _alike(choices: Sequence[TensorChoice]) -> list[tuple[list[TensorChoice], int]]:
    """Put together what differs in nothing but the layer, with the number of layers; the largest first."""
    n_layers = Counter(without_layer(choice.name) for choice in choices)
    found: dict[tuple[str, str], list[TensorChoice]] = {}
    for choice in choices:
        found.setdefault((without_layer(choice.name), choice.kind.name), []).append(choice)
    by_size = sorted(found.items(), key=lambda item: -sum(choice.n_bytes for choice in item[1]))
    return [(same, n_layers[pattern]) for (pattern, _), same in by_size]


def _range(least: float, most: float) -> str:
    """Give errors, which are squares, as shares of the output itself."""
    low, high = (f"{100 * error**0.5:.2g}" for error in (least, most))
    return f"{low} %" if low == high else f"{low}–{high} %"


def _at_an_end(chosen: Chosen, plan: WritePlan) -> str:
    """Say so where a larger order would change nothing."""
    copied = {tensor.name for file in plan.files for tensor in file.tensors if tensor.copied}
    if all(choice.kind.block == 1 or choice.name in copied for choice in chosen.choices):
        return "nothing is lost: the order is as large as the source in 16 bits, or larger"
    return (
        ""
        if chosen.damage
        else "no type has an error, so that the smallest were taken; are these real weights?"
    )


def _gap(chosen: Chosen) -> str:
    return f"no other choice has less than {100 * (1 - chosen.gap):.2f} % of this one's expected damage"
