"""Convert, quantize and run Qwen3-VL on your own machine."""
