"""Checkpoints by the name that they have on Hugging Face's hub."""

from qwen3vl_edge.hub.checkpoint import HubCheckpoint, HubReference, fetch_checkpoint, parse_reference

__all__ = ["HubCheckpoint", "HubReference", "fetch_checkpoint", "parse_reference"]
