"""Builds the demo model: a tiny Qwen3-VL trained on a generated world of coloured shapes."""
