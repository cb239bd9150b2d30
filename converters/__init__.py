"""Hugging Face checkpoint -> bundle of GGUF files."""

from qwen3vl_edge.converters.convert import convert, run_plan
from qwen3vl_edge.converters.origin import Origin
from qwen3vl_edge.converters.needs import Needs, find_needs
from qwen3vl_edge.converters.overrides import Override, parse_override
from qwen3vl_edge.converters.plan import (
    ConversionPlan,
    PlannedFile,
    PlannedTensor,
    Recipe,
    plan_conversion,
)
from qwen3vl_edge.converters.split import parse_size
from qwen3vl_edge.converters.tensor_types import MODEL_TYPES, PROJECTOR_TYPES

__all__ = [
    "MODEL_TYPES",
    "PROJECTOR_TYPES",
    "ConversionPlan",
    "Needs",
    "Origin",
    "Override",
    "PlannedFile",
    "PlannedTensor",
    "Recipe",
    "convert",
    "find_needs",
    "parse_override",
    "parse_size",
    "plan_conversion",
    "run_plan",
]
