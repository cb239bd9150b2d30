"""Sizes to order: the type of every tensor chosen so that the least is lost within a budget of bytes."""

from qwen3vl_edge.quant.allocation.budget import Order, parse_order
from qwen3vl_edge.quant.allocation.candidates import DEFAULT_TYPES, ORDERED_TYPES, parse_types
from qwen3vl_edge.quant.allocation.choose import Chosen, TensorChoice
from qwen3vl_edge.quant.allocation.halves import Half
from qwen3vl_edge.quant.allocation.order import Ordered, plan_order
from qwen3vl_edge.quant.allocation.recipe_file import (
    SavedRecipe,
    read_recipe,
    refuse_replacing,
    save_recipe,
)

__all__ = [
    "DEFAULT_TYPES",
    "ORDERED_TYPES",
    "Chosen",
    "Half",
    "Order",
    "Ordered",
    "SavedRecipe",
    "TensorChoice",
    "parse_order",
    "parse_types",
    "plan_order",
    "read_recipe",
    "refuse_replacing",
    "save_recipe",
]
