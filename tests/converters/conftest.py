from pathlib import Path

import pytest

from tests.tiny_checkpoint import write_tiny_checkpoint


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A sound tiny checkpoint that the test may spoil."""
    return write_tiny_checkpoint(tmp_path / "Tiny-Qwen3-VL")
