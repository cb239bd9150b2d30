"""The opinion of tests/converters/nonsense.py is worth something: what it must see, it sees."""

from pathlib import Path

from gguf import GGUFReader

from qwen3vl_edge.converters import convert
from tests.converters.nonsense import nonsense_in_projector


def test_a_tap_without_its_tensors_is_nonsense(checkpoint: Path, tmp_path: Path) -> None:
    bundle = convert(checkpoint, tmp_path)
    path, hidden = bundle.projector, 256
    assert nonsense_in_projector(path, hidden) == []
    assert nonsense_in_projector(path, hidden + 1) == ["hidden"]
    reader = GGUFReader(path, "r+")
    field = reader.fields["clip.vision.is_deepstack_layers"]
    on, off = (field.parts[field.data[field.contents().index(state)]] for state in (True, False))
    on[0], off[0] = False, True  # as many as before, but of another layer
    reader.data.flush()
    assert nonsense_in_projector(path, hidden) == ["deepstack"]
