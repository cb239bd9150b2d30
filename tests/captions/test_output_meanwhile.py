"""A file of records that somebody else changes while a run writes to it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from qwen3vl_edge.captions import outlet
from qwen3vl_edge.captions.record import Format
from qwen3vl_edge.captions.values import Outcome, Request
from qwen3vl_edge.errors import JournalError
from tests.captions.run_cases import Case, write_pictures
from tests.captions.test_record_file import captions_in

_NAMES = [f"{n:02}.jpg" for n in range(12)]


def _emptied(out: Path) -> None:
    out.write_bytes(b"")


def _longer(out: Path) -> None:
    with out.open("ab") as file:
        file.write(b"of another program\n")


@pytest.mark.parametrize("form", ["jsonl", "csv"])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (Path.unlink, "cannot be written .No such file"),
        (_emptied, "changed by another program .0 bytes"),
        (_longer, "changed by another program"),
    ],
)
def test_it_is_neither_filled_with_zeros_nor_written_over(
    change: Callable[[Path], None], said: str, form: Format, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outlet, "_MOST_ITEMS", 2)
    write_pictures(tmp_path / "p", _NAMES)
    out = tmp_path / f"out.{form}"
    case = Case(tmp_path / "p", None, [(out, form)], tmp_path / "journal")
    answer = case.outcome

    def meddled(request: Request) -> Outcome:
        if request.path.name == _NAMES[5]:
            change(out)
        return answer(request)

    monkeypatch.setattr(case, "outcome", meddled)
    with pytest.raises(JournalError, match=rf"out\.{form}: {said}"):
        case.run()
    assert not out.exists() or b"\0" not in out.read_bytes()
    monkeypatch.setattr(case, "outcome", answer)
    out.unlink(missing_ok=True)  # as the message says
    assert case.run().all_captioned
    assert sorted(captions_in(out)) == [(name, f"Describe. {name}") for name in _NAMES]
