"""Importance matrices from text, pictures and clips."""
