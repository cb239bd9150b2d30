from pathlib import Path

import pytest

from qwen3vl_edge.errors import CheckpointError
from qwen3vl_edge.json_fields import Fields, parse_object, read_object, read_text, shown


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        (b"{", "not valid JSON"),
        (b"[]", "a JSON object is expected, found list"),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b'{"a": -Infinity}', "-Infinity is not JSON"),
        (b'{"a": 1, "b": 2, "a": 3}', "key 'a' stands there twice"),
        (b'{"a": {"b": 1, "b": 1}}', "key 'b' stands there twice"),
        (b"\xff{}", "not valid JSON"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
        (b'{"a": ' + b"9" * 10_000 + b"}", "99999999999999999999… has 10000 digits"),
        (b'{"a": 1e400}', "1e400 is too large a number"),
        (b'{"a": ["\\ud83d\\ude00", "\\uD800"]}', "not valid Unicode"),
        (b'{"a\\nb": 1, "a\\nb": 2}', r"key 'a\\nb' stands there twice"),
        (b'{"a": [' + b"0," * 1_500_000 + b"0]}", "more than 1500000 values"),
    ],
)
def test_refuses_what_is_not_one_clean_object(raw: bytes, what: str) -> None:
    with pytest.raises(CheckpointError, match=what):
        parse_object(raw, "x.json", CheckpointError)


def test_surrogate_pairs_are_characters() -> None:
    assert parse_object(b'{"a": "\\ud83d\\ude00", "b": "\\\\ud800"}', "x", CheckpointError) == {
        "a": "😀",
        "b": "\\ud800",
    }


def test_what_files_say_is_shown_in_one_short_line() -> None:
    deep: list[object] = []
    for _ in range(5000):
        deep = [deep]
    values: tuple[object, ...] = (
        "two\nlines\u2028",
        "x" * 10_000,
        10**900,
        deep,
        [["x" * 50] * 50] * 50,
        {"k": deep},
    )
    for value in values:
        assert len(shown(value)) <= 120
        assert shown(value).isprintable()
    assert shown([1, "2"]) == "[1, '2']"
    fields = Fields({"two\nlines": 5, "x" * 500: 5}, "c.json")
    for key in fields.values:
        fields.text(key)
        fields.section(key)
    assert all(problem.isprintable() and len(problem) < 300 for problem in fields.problems)
    assert fields.problems[0] == r"c.json: 'two\nlines' is 5, a string is expected"


def test_refuses_files_that_are_too_large_or_absent(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_object(path, 100, CheckpointError)
    path.write_text('{"a": "' + "x" * 100 + '"}')
    with pytest.raises(CheckpointError, match="more than the 100 allowed"):
        read_object(path, 100, CheckpointError)
    assert read_object(path, 1000, CheckpointError) == {"a": "x" * 100}


def test_text_files(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_bytes("a\r\nb\rc\nß".encode())
    assert read_text(path, 100, CheckpointError) == "a\nb\nc\nß"
    with pytest.raises(CheckpointError, match="more than the 5 allowed"):
        read_text(path, 5, CheckpointError)
    path.write_bytes(b"\xff")
    with pytest.raises(CheckpointError, match="not UTF-8 text"):
        read_text(path, 100, CheckpointError)


def test_every_fault_is_noted_with_file_and_key() -> None:
    fields = Fields(
        {"i": "1", "big": 11, "b": True, "n": "x", "f": 1, "t": 2, "list": [1, "2"], "objects": [1], "s": {}},
        "c.json",
    )
    assert fields.integer("i") == 1
    assert fields.integer("big", most=10) == 1
    assert fields.integer("b") == 1  # true is no integer
    fields.number("n")
    fields.flag("f")
    fields.text("t")
    fields.integers("list")
    fields.numbers("list", least=0.0, most=1.0)
    fields.sections("objects")
    fields.section("s").integer("inner")
    fields.integer("absent")
    assert fields.problems == [
        "c.json: i is '1', an integer is expected",
        "c.json: big is 11, outside 1..10",
        "c.json: b is True, an integer is expected",
        "c.json: n is 'x', a number is expected",
        "c.json: f is 1, true or false is expected",
        "c.json: t is 2, a string is expected",
        "c.json: list is [1, '2'], a list of integers in 0..9007199254740992 is expected",
        "c.json: list is [1, '2'], a list of numbers in 0..1 is expected",
        "c.json: objects is [1], a list of objects is expected",
        "c.json: s: inner is missing",
        "c.json: absent is missing",
    ]


def test_sound_values_and_defaults_note_nothing() -> None:
    fields = Fields({"i": 3, "n": 2, "t": "x", "f": False, "l": [0, 1], "null": None}, "c.json")
    assert fields.integer("i") == 3
    assert fields.number("n") == 2.0
    assert fields.text("t") == "x"
    assert fields.flag("f", True) is False
    assert fields.integers("l") == (0, 1)
    assert fields.integer("null", 7) == 7
    assert fields.number("absent", 0.5) == 0.5
    assert not fields.has("null")
    assert fields.problems == []
