"""A model in parts against ``convert_hf_to_gguf.py --split-max-size``."""

import re
from pathlib import Path

import pytest

from qwen3vl_edge.converters import Recipe, plan_conversion
from qwen3vl_edge.quant.run import run_plan
from qwen3vl_edge.writing.split import parse_size
from tests.converters.listing import read_listing
from tests.parity.oracle import data_of, run_oracle
from tests.tiny_checkpoint import MOE, TinyShape, write_tiny_checkpoint

pytestmark = pytest.mark.parity


# 334848: in BF16 the dense one's first three tensors fill a part to the last byte
@pytest.mark.parametrize("size", ["334848", "2M"])
@pytest.mark.parametrize("kind", ["bf16", "q8_0"])
@pytest.mark.parametrize("shape", [TinyShape(), MOE], ids=["dense", "moe"])
def test_parts_are_the_same(shape: TinyShape, kind: str, size: str, tmp_path: Path) -> None:
    checkpoint = write_tiny_checkpoint(tmp_path / "Tiny-Qwen3-VL", shape=shape)
    (tmp_path / "theirs").mkdir()
    theirs = run_oracle(checkpoint, tmp_path / "theirs", [kind], "--any-vocab", f"--split-max-size={size}")
    recipe = Recipe((kind,), split_max_bytes=parse_size(size))
    (parts,) = run_plan(plan_conversion(checkpoint, recipe), tmp_path / "ours").models
    expected = sorted(theirs.iterdir())
    assert len(parts) > 1
    assert [_number(part.name) for part in parts] == [_number(path.name) for path in expected]
    for part, path in zip(parts, expected, strict=True):
        ours = tmp_path / "ours" / part.name
        found, wanted = read_listing(ours), read_listing(path)
        assert list(found.tensors.items()) == list(wanted.tensors.items())
        assert _split_keys(found.metadata) == _split_keys(wanted.metadata)
        assert data_of(ours) == data_of(path)


def _number(name: str) -> str:
    """Give how the file is numbered: ``-00001-of-00003.gguf``."""
    found = re.search(r"-\d{5}-of-\d{5}\.gguf$", name)
    assert found, name
    return found[0]


def _split_keys(metadata: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in metadata.items() if key.startswith("split.")}
