"""Programs that hold the same conversation, each in a process of its own.

``python -m tools.bench.contenders.NAME MODEL PROJECTOR PICTURE RESULT`` opens the pair, asks, and writes what
it took to the file RESULT.
"""
