"""Writes the checkpoint that conversion is measured on: ``python -m tools.bench.source FOLDER``.

Qwen3-VL-2B in its true shape and with the true vocabulary, 4.3 GB of seeded bfloat16.
"""

import shutil
import sys
from pathlib import Path

from tests.goldens import GOLDEN
from tests.true_shapes import write_seeded
from tools.oracle import TOKENIZER

__all__ = ["write_source"]


def write_source(folder: Path) -> None:
    """Write the checkpoint into `folder`, which is made."""
    write_seeded("2B", folder)
    for file in TOKENIZER.iterdir():
        shutil.copy(file, folder)
    shutil.copy(GOLDEN / "templates" / "instruct.jinja", folder / "chat_template.jinja")


if __name__ == "__main__":
    write_source(Path(sys.argv[1]))
