"""Hugging Face checkpoint -> bundle of GGUF files."""

from qwen3vl_edge.converters.convert import convert
from qwen3vl_edge.converters.origin import Origin
from qwen3vl_edge.converters.overrides import Override, parse_override
from qwen3vl_edge.converters.plan import Recipe, has_weights, model_tensors, ordered_halves, plan_conversion

__all__ = [
    "Origin",
    "Override",
    "Recipe",
    "convert",
    "has_weights",
    "model_tensors",
    "ordered_halves",
    "parse_override",
    "plan_conversion",
]
