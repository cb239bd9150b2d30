"""The command as a user calls it, in this process."""

import sys
from collections.abc import Callable

import pytest

from qwen3vl_edge.cli.main import run

__all__ = ["Call", "calling"]

Call = Callable[..., tuple[int, str, str]]


def calling(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *before: str) -> Call:
    """Give what runs the command with its arguments behind `before`: exit code, stdout and stderr."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["qwen3vl-edge", *before, *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            run()
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        assert left.value.code is None or isinstance(left.value.code, int)
        return left.value.code or 0, said.out, said.err

    return call
