"""A chat on the scripted engine, and a picture to ask it about."""

from pathlib import Path

import pytest
from PIL import Image

from tests.cli.chat_fakes import Talk, scripted_talk


@pytest.fixture
def talk(tmp_path: Path) -> Talk:
    return scripted_talk(tmp_path)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "grey picture.png"
    Image.new("RGB", (320, 256), "grey").save(path)
    return path
