"""What the documents tell a user to type exists."""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from qwen3vl_edge.cli.main import app

ROOT = Path(__file__).parents[1]
_COMMAND = re.compile(r"(?:^(?:\$ )?(?:[^|`\n]*\| )?qwen3vl-edge|^run) (.+)$", re.MULTILINE)
DOCUMENTS = (
    "README.md",
    "tools/demo.sh",
    "docs/runtime.md",
    "docs/chat.md",
    "docs/captions.md",
    "docs/compare.md",
    "docs/imatrix.md",
)
TYPED = [(name, line) for name in DOCUMENTS for line in _COMMAND.findall((ROOT / name).read_text())]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_there_is_something_to_check(document: str) -> None:
    assert [line for name, line in TYPED if name == document]


def test_the_readme_shows_every_command() -> None:
    shown = {shlex.split(line, comments=True)[0] for name, line in TYPED if name == "README.md"}
    assert {"ask", "caption", "chat", "convert", "inspect"} <= shown


@pytest.mark.parametrize(("document", "line"), TYPED)
def test_commands_and_options_exist(document: str, line: str) -> None:
    command, *rest = shlex.split(line.split("|", maxsplit=1)[0], comments=True)
    shown = CliRunner().invoke(app, [command, "--help"] if not command.startswith("-") else ["--help"])
    assert shown.exit_code == 0, f"{document}: no command {command}"
    for option in (word for word in rest if re.fullmatch(r"-[a-z]|--[a-z-]+", word)):
        assert re.search(rf"(?<![\w-]){option}(?![\w-])", shown.stdout), (
            f"{document}: {command} has no {option}"
        )


def test_make_targets_exist() -> None:
    made = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for name in ("README.md", "CONTRIBUTING.md"):
        told = set(re.findall(r"(?:^|`)make ([a-z-]+)", (ROOT / name).read_text(), re.MULTILINE))
        assert told
        assert told <= made, name
