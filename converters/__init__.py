"""Hugging Face checkpoint -> bundle of GGUF files."""

from qwen3vl_edge.converters.convert import convert, run_plan
from qwen3vl_edge.converters.plan import ConversionPlan, PlannedFile, PlannedTensor, plan_conversion
from qwen3vl_edge.converters.tensor_types import MODEL_TYPES, PROJECTOR_TYPES

__all__ = [
    "MODEL_TYPES",
    "PROJECTOR_TYPES",
    "ConversionPlan",
    "PlannedFile",
    "PlannedTensor",
    "convert",
    "plan_conversion",
    "run_plan",
]
