"""What quantization costs, measured with text, pictures and clips."""
