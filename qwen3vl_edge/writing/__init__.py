"""GGUF files from planned tensors: laid out, streamed, hashed, published all at once."""

from qwen3vl_edge.writing.bundle_writer import write_bundle
from qwen3vl_edge.writing.needs import Needs, find_needs
from qwen3vl_edge.writing.planned import Draft, PlannedFile, PlannedTensor, WritePlan, lay_out
from qwen3vl_edge.writing.targets import refuse_overwriting

__all__ = [
    "Draft",
    "Needs",
    "PlannedFile",
    "PlannedTensor",
    "WritePlan",
    "find_needs",
    "lay_out",
    "refuse_overwriting",
    "write_bundle",
]
