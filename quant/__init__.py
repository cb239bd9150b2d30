"""Room for quantization recipes, importance matrices and what quantization costs; nothing stands here yet.

Q8_0, the one quantized type so far, is cast during conversion: `qwen3vl_edge.converters.transforms`.
"""
