import csv
import io
import json
import os
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen3vl_edge.captions.found_lines import found_lines
from qwen3vl_edge.captions.record import (
    COLUMNS,
    Caption,
    Format,
    Record,
    csv_header,
    line,
    path_and_caption,
)
from qwen3vl_edge.errors import JournalError

_CAPTION = Caption("p", "Describe.", " A cat. ", "A cat.", "stop", 4)
_DONE = Record("a/b.jpg", "done", (_CAPTION,), None, "demo", "Q8_0", "0.1.0", (), 64, 48, 1.23456)
_FAILED = Record("a/c.jpg", "failed", (), "a/c.jpg: damaged", "demo", "Q8_0", "0.1.0")
_NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)


def _with(path: str, text: str) -> Record:
    return replace(_DONE, path=path, captions=(replace(_CAPTION, text=text),))


def test_the_object_of_a_caption() -> None:
    assert json.loads(line(_DONE, "jsonl")) == {
        "path": "a/b.jpg",
        "caption": "A cat.",
        "status": "done",
        "model": "demo",
        "quantization": "Q8_0",
        "prompt": "Describe.",
        "version": "0.1.0",
        "stop_reason": "stop",
        "width": 64,
        "height": 48,
        "tokens": 4,
        "seconds": 1.235,
    }


def test_the_object_of_an_error() -> None:
    found = json.loads(line(_FAILED, "jsonl"))
    assert (found["path"], found["error"], found["status"]) == ("a/c.jpg", "a/c.jpg: damaged", "failed")
    assert "caption" not in found


def test_several_prompts_have_their_names() -> None:
    other = replace(_CAPTION, name="tags", text="cat, mat", n_tokens=3)
    record = replace(_DONE, captions=(_CAPTION, other))
    found = json.loads(line(record, "jsonl"))
    assert found["caption"] == "A cat."
    assert found["captions"] == {"p": "A cat.", "tags": "cat, mat"}
    assert found["tokens"] == 7
    assert record.text == "A cat.\ncat, mat"
    cells = next(csv.DictReader([csv_header().decode(), line(record, "csv").decode()]))
    assert json.loads(cells["captions"]) == found["captions"]


@given(_NAMES, st.text(st.characters(exclude_categories=["Cs"])), st.sampled_from(["jsonl", "csv"]))
def test_a_line_reads_back(path: str, text: str, form: Format) -> None:
    raw = line(_with(path, text), form)
    assert path_and_caption(raw, form, "file") == (path, text)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=5), st.booleans())
def test_csv_is_rfc_4180(texts: list[str], is_failed: bool) -> None:
    records = [_with(f"{n}.jpg", text) for n, text in enumerate(texts)] + [_FAILED] * is_failed
    raw = csv_header() + b"".join(line(record, "csv") for record in records)
    assert raw.endswith(b"\r\n")
    rows = list(csv.reader(io.StringIO(raw.decode(), newline=""), strict=True))
    assert rows[0] == list(COLUMNS)
    assert [row[1] for row in rows[1:]] == texts + [""] * is_failed
    assert {len(row) for row in rows} == {len(COLUMNS)}
    found = list(found_lines(io.BytesIO(raw), "csv", "file"))
    assert [each.at + each.n_bytes for each in found] == [each.at for each in found[1:]] + [len(raw)][
        : len(found)
    ]


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_a_name_that_is_no_text_is_escaped(form: Format) -> None:
    path = os.fsdecode(b"caf\xe9.jpg")
    raw = line(_with(path, "ü"), form)
    assert b"\\udce9" in raw
    raw.decode()  # valid UTF-8 all the same
    if form == "jsonl":
        assert path_and_caption(raw, form, "file")[0] == path


def test_a_formula_is_left_as_it_is() -> None:
    assert line(_with("=1+1", "=SUM(A1)"), "csv").startswith(b"=1+1,=SUM(A1),")


@pytest.mark.parametrize(
    ("raw", "form", "said"),
    [
        (b"[1]\n", "jsonl", "not a record"),
        (b'{"path": "a"}\n', "jsonl", "not a record"),
        (b"{\n", "jsonl", "not JSON"),
        (b"\xff\n", "jsonl", "not JSON"),
        (b"a,b\r\n", "csv", "2 columns"),
        (b"\xff\r\n", "csv", "not CSV"),
    ],
)
def test_what_is_no_record_is_said(raw: bytes, form: Format, said: str) -> None:
    with pytest.raises(JournalError, match=f"file: .*{said}"):
        path_and_caption(raw, form, "file")
