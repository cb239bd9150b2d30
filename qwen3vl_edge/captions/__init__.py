"""Captions for folders: what to caption, how to ask, a worker that never stops the run, nothing lost."""
