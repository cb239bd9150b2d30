"""Pure parts of the chat: paths in lines, completion, blocks of Markdown, text made safe."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen3vl_edge.cli.terminal.completion import candidates
from qwen3vl_edge.cli.terminal.dropped import Link, named_files, split_line
from qwen3vl_edge.cli.terminal.loop import is_open
from qwen3vl_edge.cli.terminal.markdown_blocks import n_final, parsed, showable
from qwen3vl_edge.cli.terminal.safe_text import safe


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "cat.png",
        "my cat.png",
        "it's.jpg",
        "clip.mp4",
        "notes.txt",
        ".hidden.png",
        "a.q3vl",
        "b.json",
    ):
        (tmp_path / name).touch()
    (tmp_path / "sub").mkdir()
    (tmp_path / "my frames").mkdir()
    (tmp_path / "sub" / "dog.webp").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.parametrize(
    ("line", "pieces"),
    [
        ("hello", ["hello"]),
        ("cat.png hello", [Path("cat.png"), "hello"]),
        ("hello ./cat.png", ["hello", Path("cat.png")]),
        ("What is in cat.png?", ["What is in", Path("cat.png"), "?"]),
        ("'my cat.png' \"my cat.png\" my\\ cat.png", [Path("my cat.png")] * 3),
        ("it\\'s.jpg x", [Path("it's.jpg"), "x"]),
        ("it's not 'cat.png' but", ["it's not", Path("cat.png"), "but"]),
        ("the 'first thing' in sub/dog.webp isn't", ["the 'first thing' in", Path("sub/dog.webp"), "isn't"]),
        ("notes.txt none.png .png", ["notes.txt none.png .png"]),
        ("a\nb cat.png\n\nc  d", ["a\nb", Path("cat.png"), "c  d"]),
        ("see https://a.org/x.PNG?s=1, ok", ["see", Link("https://a.org/x.PNG?s=1"), ", ok"]),
        ("see https://a.org/page.html", ["see https://a.org/page.html"]),
        ("http://[half.png", ["http://[half.png"]),
        ("x" * 5000 + ".png", ["x" * 5000 + ".png"]),
        ("nul\0.png", ["nul\0.png"]),
        ("~nobody-there/a.png", ["~nobody-there/a.png"]),
        ("trailing\\", ["trailing\\"]),
        ("", []),
    ],
)
def test_files_in_a_line(line: str, pieces: list[object]) -> None:
    assert split_line(line) == pieces


def test_file_urls_and_home(tmp_path: Path) -> None:
    url = (tmp_path / "my cat.png").as_uri()
    assert split_line(f"{url} ~/clip.mp4") == [tmp_path / "my cat.png", tmp_path / "clip.mp4"]


@given(st.text())
def test_a_line_without_files_stays_as_it_is(line: str) -> None:
    assert "".join(map(str, split_line(line))) == line.strip()


@pytest.mark.parametrize(
    ("argument", "names"),
    [
        ("my cat.png", ["my cat.png"]),
        ("my cats.png", ["my", "cats.png"]),
        ("'no such.png' \"x y\" a\\ b c", ["no such.png", "x y", "a\\ b", "c"]),
        ("''", []),
        ('cat.png ""', ["cat.png"]),
        ("my frames", ["my frames"]),
        ("my frames cat.png", ["my", "frames", "cat.png"]),
        (".", ["."]),
        ("", []),
    ],
)
def test_files_of_a_command(argument: str, names: list[str]) -> None:
    assert named_files(argument) == names


@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("/he", ["/help"]),
        ("/e", ["/edit", "/export", "/exit"]),
        (
            "/image ",
            [
                *("/image sample", "/image cat.png", "/image it\\'s.jpg", "/image my\\ cat.png"),
                *("/image my\\ frames/", "/image sub/"),
            ],
        ),
        ("/image my\\ c", ["/image my\\ cat.png"]),
        ("/image cat.png su", ["/image cat.png sub/"]),
        ("/image .h", ["/image .hidden.png"]),
        ("/image ~/cl", []),
        ("/video ~/cl", ["/video ~/clip.mp4"]),
        ("/load ", ["/load last", "/load a.q3vl", "/load my\\ frames/", "/load sub/"]),
        ("/export ./", ["/export ./b.json", "/export ./my\\ frames/", "/export ./sub/"]),
        ("/set te", ["/set temperature"]),
        ("/set when-full s", ["/set when-full stop", "/set when-full shrink"]),
        ("/help im", ["/help image"]),
        ("/undo ", []),
        ("look at ./su", ["look at ./sub/"]),
        ("look at sub", []),
        ("look at ./sub/d", ["look at ./sub/dog.webp"]),
        ("look at ~/none/", []),
    ],
)
def test_completion(line: str, completed: list[str]) -> None:
    found = candidates(line)
    assert [line[: len(line) - item.n_replaced] + item.text for item in found] == completed


@pytest.mark.parametrize("word", ["word ", "'", '"', "\\", "x", "'a b' ", "./sub/d "])
def test_pasted_lines_may_be_very_long(word: str) -> None:
    """Each character is looked at a few times: with this many, a second look at the rest takes minutes."""
    line = word * (1_000_000 // len(word))
    assert split_line(f"{line} cat.png") == [line.strip(), Path("cat.png")]
    assert len(candidates(f"{line} ./su")) <= 1


def test_what_is_completed_is_what_is_attached() -> None:
    for item in candidates("/image "):
        if not item.text.endswith(("/", "sample")):
            assert [type(piece) for piece in split_line(item.text)] == [type(Path())]


@pytest.mark.parametrize(
    ("text", "final"),
    [
        ("one line", ""),
        ("one\n\ntwo", ""),  # the second may be a heading's underline, a table's second row …
        ("one\n\ntwo\n", "one\n\n"),
        ("- a\n- b\n\n", ""),
        ("- a\n\nafter\n", "- a\n\n"),
        ("```\ncode\n\nmore\n", ""),
        ("```\ncode\n```\nafter\n", "```\ncode\n```\n"),
        ("text\n| a |\n|---|\n| 1 |\n", "text\n"),
        ("para\n-", ""),
        ("para\n---\nnext\n", "para\n---\n"),
    ],
)
def test_final_blocks(text: str, final: str) -> None:
    assert text[: n_final(text)] == final


PIECES = st.sampled_from(
    [
        "word ",
        "\n",
        "\n\n",
        "- item",
        "1. x\n",
        "```\n",
        "| a | b |\n",
        "|---|---|\n",
        "# h\n",
        "> q\n",
        "    code\n",
        *("---\n", "===\n", "**b**", "<b>", "[l]: /u\n", "\t", "~~~\n", "* ", "\\", "\x85", "\u2028", "`"),
    ]
)


@given(st.lists(PIECES, max_size=30))
def test_blocks_that_are_printed_for_good_never_change(pieces: list[str]) -> None:
    """What was cut off along the way parses to the same blocks as the whole text."""
    tail, cut = "", []
    for piece in pieces:
        tail += piece
        if n := n_final(tail):
            cut.append(tail[:n])
            tail = tail[n:]
    whole = "".join(pieces)
    assert "".join(cut) + tail == whole
    assert [kind for part in [*cut, tail] for kind in _kinds(part)] == _kinds(whole)


def _kinds(text: str) -> list[str]:
    return [token.type for token in parsed(text) if token.level == 0]


@pytest.mark.parametrize(
    ("tail", "shown"),
    [
        ("a par", "a par"),
        ("a par\n--", "a par"),
        ("```py\nx = 1\ny =", "```py\nx = 1"),
        ("| a | b |\n|---|---|\n| 1 ", "| a | b |\n|---|---|"),
        ("text\n```p", "text"),
        ("- one\n- tw", "- one\n- tw"),
    ],
)
def test_what_is_shown_of_an_unfinished_block(tail: str, shown: str) -> None:
    assert showable(tail) == shown


@given(st.text())
def test_no_control_reaches_the_terminal(text: str) -> None:
    made = safe(text)
    assert not [c for c in made if c not in "\n\t" and (ord(c) < 32 or 127 <= ord(c) < 160)]
    if text.isprintable():
        assert made == text


def test_escapes_are_written_out() -> None:
    assert safe("\x1b[2J\u202e\r\n") == "\\x1b[2J\\u202e\\r\n"


@pytest.mark.parametrize(
    ("text", "still"),
    [('"""', True), ('"""a\nb', True), ('"""a"""', False), ("a", False), ('""""', True), ("", False)],
)
def test_open_quotes(text: str, still: bool) -> None:
    assert is_open(text) == still
