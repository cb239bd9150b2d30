"""What a terminal would see: every protocol is read back to pixels by a small decoder of its own."""

import re
from base64 import b64decode
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from rich.color import Color

from qwen3vl_edge.cli.preview import (
    Ask,
    Cell,
    Protocol,
    ask_cell,
    detect_protocol,
    has_truecolor,
    preview,
)

Grid = NDArray[np.int64]
Paint = tuple[int, ...] | None

SIZES = [(1, 1), (3, 7), (1, 5000), (5000, 1), (37, 53), (480, 640), (1000, 700)]
"""Height and width."""

MAX_ROWS, MAX_SIDE_PX = 20, 640
COLUMNS = [1, 2, 7, 40, 81, 200]

PALETTE = np.array([Color.from_ansi(number).get_truecolor() for number in range(256)])
"""The 256 colours as rich knows them."""


def picture(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """Smooth, different in every corner, with some noise."""
    ramps = np.stack(
        np.broadcast_arrays(
            np.linspace(0, 255, width)[None, :],
            np.linspace(255, 0, height)[:, None],
            np.linspace(0, 255, height)[:, None] * np.linspace(0, 1, width),
        ),
        axis=-1,
    )
    noise = np.random.default_rng(seed).integers(-20, 21, (height, width, 3))
    return np.clip(ramps + noise, 0, 255).astype(np.uint8)


def stretched(pixels: NDArray[np.uint8], width: int, height: int) -> Grid:
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)).astype(int)


# Decoders. Each takes the whole text and fails at anything that its protocol does not need.


def read_blocks(text: str) -> Grid:
    """Give the pixels of half-blocks, shape (height, width, 3); -1 where the background shows."""
    rows: list[list[tuple[int, ...]]] = []
    for line in text.split("\n")[:-1]:
        fg, bg = None, None
        above, below = [], []
        position = 0
        for token in re.finditer(r"\x1b\[([0-9;]+)m|▀", line):
            assert token.start() == position, f"unexpected {line[position : token.start()]!r}"
            position = token.end()
            if token[1] is not None:
                fg, bg = select(token[1], fg, bg)
                continue
            assert fg is not None
            above.append(fg)
            below.append(bg or (-1, -1, -1))
        assert position == len(line)
        assert (fg, bg) == (None, None), "colours run on into the next line"
        rows += [above, below]
    assert text.endswith("\n")
    grid = np.array(rows)
    return grid[:-1] if (grid[-1] < 0).all() else grid


def select(code: str, fg: Paint, bg: Paint) -> tuple[Paint, Paint]:
    """Apply one SGR sequence."""
    numbers = [int(number) for number in code.split(";")]
    while numbers:
        match numbers:
            case [0, *numbers]:
                fg = bg = None
            case [38, 2, r, g, b, *numbers]:
                fg = (r, g, b)
            case [48, 2, r, g, b, *numbers]:
                bg = (r, g, b)
            case [38, 5, n, *numbers]:
                fg = tuple(PALETTE[n])
            case [48, 5, n, *numbers]:
                bg = tuple(PALETTE[n])
            case _:
                raise AssertionError(f"not a colour: {code}")
    return fg, bg


def unwrap(text: str) -> tuple[str, int]:
    """Give the picture itself and the lines that are kept free for it."""
    found = re.fullmatch(r"(\n+)\x1b\[(\d+)A\x1b7([^\n]*)\x1b8(\n+)", text)
    assert found is not None
    assert len(found[1]) == len(found[4]) == int(found[2])
    return found[3], int(found[2])


def read_kitty(text: str) -> tuple[Grid, int, int]:
    """Give pixels, columns and rows of a kitty picture."""
    sequences = re.findall(r"\x1b_G([^;\x1b]*);([A-Za-z0-9+/=]*)\x1b\\", text)
    assert text == "".join(f"\x1b_G{keys};{data}\x1b\\" for keys, data in sequences)
    (first, *others), chunks = zip(*sequences, strict=True)
    found = re.fullmatch(r"a=T,f=100,q=2,c=(\d+),r=(\d+),m=([01])", first)
    assert found is not None
    assert [int(found[3]), *(int(keys.removeprefix("m=")) for keys in others)] == [1] * len(others) + [0]
    assert all(len(chunk) <= 4096 for chunk in chunks)
    assert all(len(chunk) % 4 == 0 and chunk for chunk in chunks)
    return read_png("".join(chunks)), int(found[1]), int(found[2])


def read_iterm2(text: str) -> tuple[Grid, int, int]:
    """Give pixels, columns and rows of an iTerm2 picture."""
    keys = r"inline=1;size=(\d+);width=(\d+);height=(\d+);preserveAspectRatio=1"
    found = re.fullmatch(rf"\x1b\]1337;File={keys}:([A-Za-z0-9+/=]*)\x07", text)
    assert found is not None
    assert len(b64decode(found[4], validate=True)) == int(found[1])
    return read_png(found[4]), int(found[2]), int(found[3])


def read_png(data: str) -> Grid:
    with Image.open(BytesIO(b64decode(data, validate=True))) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        return np.asarray(image).astype(int)


def read_sixels(text: str) -> Grid:
    """Give the pixels of a sixel picture, -1 where nothing was drawn (VT340 manual, chapter 14)."""
    found = re.fullmatch(r'\x1bP[0-9;]*q"1;1;(\d+);(\d+)([^\x1b]*)\x1b\\', text)
    assert found is not None
    width, height = int(found[1]), int(found[2])
    grid = np.full((height + 6, width, 3), -1)
    registers: dict[str, Grid] = {}
    color, x, top, position = np.array([-1, -1, -1]), 0, 0, 0
    for token in re.finditer(r"#(\d+)(?:;2;(\d+);(\d+);(\d+))?|(?:!(\d+))?([?-~])|\$|-", found[3]):
        assert token.start() == position
        position = token.end()
        if token[2]:
            registers[token[1]] = np.rint(np.array(token.group(2, 3, 4), dtype=int) * 2.55).astype(int)
        if token[1]:
            assert int(token[1]) < 256
            color = registers[token[1]]
        elif token[6]:
            end = x + int(token[5] or 1)
            assert end <= width
            for row in range(6):
                if (ord(token[6]) - 0x3F) >> row & 1:
                    grid[top + row, x:end] = color
            x = end
        else:
            x, top = 0, top + 6 * (token[0] == "-")
    assert position == len(found[3])
    assert (grid[height:] == -1).all()
    return grid[:height]


def test_the_sixel_decoder_reads_what_another_hand_wrote() -> None:
    """The word HI in green on yellow, the example of https://en.wikipedia.org/wiki/Sixel."""
    colors = "#0;2;0;0;0#1;2;100;100;0#2;2;0;100;0"
    grid = read_sixels(f'\x1bPq"1;1;14;7{colors}#1~~@@vv@@~~@@~~$#2??}}}}GG}}}}??}}}}??-#1!14@\x1b\\')
    names = {(255, 255, 0): ".", (0, 255, 0): "#"}
    assert ["".join(names[tuple(dot)] for dot in row) for row in grid.tolist()] == [
        "..............",
        "..##..##..##..",
        "..##..##..##..",
        "..######..##..",
        "..##..##..##..",
        "..##..##..##..",
        "..............",
    ]


# What is drawn


def rows_for(columns: int) -> int:
    return min(max(columns // 2, 1), MAX_ROWS)


def assert_fits(
    shown: tuple[int, int], pixels: NDArray[np.uint8], columns: int, unit: tuple[int, int]
) -> None:
    """Fail unless the picture fills its box one way, keeps its aspect but for rounding, and stays inside.

    Args:
        shown: Width and height in units.
        pixels: The picture.
        columns: Of the box, each twice as high as wide.
        unit: Width and height of a unit in halves of a cell's height.
    """
    box = (columns, 2 * rows_for(columns))
    scale = min(box[0] / pixels.shape[1], box[1] / pixels.shape[0])
    for side in (0, 1):
        exact = pixels.shape[1 - side] * scale / unit[side]
        assert shown[side] == pytest.approx(max(exact, 1), abs=0.51)
        assert shown[side] * unit[side] <= box[side]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("columns", COLUMNS)
def test_half_blocks_are_the_picture_in_small(size: tuple[int, int], columns: int) -> None:
    pixels = picture(*size)
    drawn = read_blocks(preview(pixels, columns, "blocks", truecolor=True))
    height, width = drawn.shape[:2]
    assert_fits((width, height), pixels, columns, (1, 1))
    assert (drawn == stretched(pixels, width, height)).all()


def test_every_colour_becomes_the_nearest_of_256() -> None:
    levels = np.arange(0, 256, 17)
    cube = np.stack(np.meshgrid(levels, levels, levels), axis=-1)
    for slab in cube:  # (16, 16, 3), just the dots of 16 columns and 8 lines: nothing is scaled
        drawn = read_blocks(preview(slab.astype(np.uint8), 16, "blocks"))
        least = ((slab[:, :, None] - PALETTE[16:]) ** 2).sum(axis=-1).min(axis=-1)
        assert (((slab - drawn) ** 2).sum(axis=-1) == least).all()


def test_a_colour_is_named_only_where_it_changes() -> None:
    line = "\x1b[38;2;7;8;9;48;2;7;8;9m" + "▀" * 20 + "\x1b[0m\n"
    plain = np.broadcast_to(np.array([7, 8, 9], np.uint8), (40, 40, 3))
    assert preview(plain, 20, "blocks", truecolor=True) == line * 10


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("columns", COLUMNS)
@pytest.mark.parametrize("protocol", ["kitty", "iterm2"])
def test_a_png_is_sent_for_the_terminal_to_fit(
    size: tuple[int, int], columns: int, protocol: Protocol
) -> None:
    pixels = picture(*size)
    text, n_lines = unwrap(preview(pixels, columns, protocol))
    sent, wide, high = read_kitty(text) if protocol == "kitty" else read_iterm2(text)
    assert_fits((wide, high), pixels, columns, (1, 2))
    assert n_lines == high
    assert max(sent.shape[:2]) == min(max(size), MAX_SIDE_PX)
    assert (sent == stretched(pixels, sent.shape[1], sent.shape[0])).all()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("columns", [1, 7, 81])
@pytest.mark.parametrize("cell", [None, Cell(10, 20), Cell(24, 48)])
def test_sixels_are_the_picture_in_its_size_on_the_screen(
    size: tuple[int, int], columns: int, cell: Cell | None
) -> None:
    pixels = picture(*size)
    text, n_lines = unwrap(preview(pixels, columns, "sixel", cell=cell))
    drawn = read_sixels(text)
    height, width = drawn.shape[:2]
    shape = cell or Cell(6, 12)
    scale = min(columns * shape.width_px / size[1], rows_for(columns) * shape.height_px / size[0])
    scale = min(scale, MAX_SIDE_PX / max(size))
    assert width == pytest.approx(max(size[1] * scale, 1), abs=1)
    assert height == pytest.approx(max(size[0] * scale, 1), abs=1)
    assert width <= columns * shape.width_px
    assert (n_lines - 1) * shape.height_px < height <= n_lines * shape.height_px
    assert n_lines <= rows_for(columns)
    assert (drawn >= 0).all(), "a dot was left out"
    assert np.abs(drawn - stretched(pixels, width, height)).mean() < 12


def test_few_colours_survive_sixels_but_for_the_rounding_to_percent() -> None:
    colors = np.random.default_rng(1).integers(0, 256, (60, 3))
    tiles = colors[np.random.default_rng(2).integers(0, 60, (20, 20))]
    pixels = tiles.repeat(12, axis=0).repeat(12, axis=1).astype(np.uint8)
    text, n_lines = unwrap(preview(pixels, 40, "sixel"))  # 40 × 6 px wide, 20 × 12 px high: not scaled
    assert n_lines == 20
    assert np.abs(read_sixels(text) - pixels).max() <= 2


def test_a_sixel_picture_character_by_character() -> None:
    """Seven rows of one column: red, then six of blue; a band of six and one of the row that is left."""
    pixels = np.array([[[255, 0, 0]]] + [[[0, 0, 255]]] * 6, np.uint8)
    text, n_lines = unwrap(preview(pixels, 2, "sixel", cell=Cell(1, 7)))
    assert n_lines == 1
    red, blue = ("0", "1") if "#0;2;100;0;0" in text else ("1", "0")
    colors = {red: "100;0;0", blue: "0;0;100"}
    table = "".join(f"#{number};2;{colors[number]}" for number in "01")
    passes = {red: f"#{red}@", blue: f"#{blue}}}"}
    assert text == f'\x1bP9;1q"1;1;1;7{table}{passes["0"]}${passes["1"]}-#{blue}@\x1b\\'


@pytest.mark.parametrize("protocol", ["blocks", "kitty", "iterm2", "sixel"])
def test_fewer_lines_can_be_asked_for(protocol: Protocol) -> None:
    text = preview(picture(300, 300), 80, protocol, rows=5)
    assert (text.count("\n") if protocol == "blocks" else unwrap(text)[1]) == 5
    assert text.endswith("\n")


@pytest.mark.parametrize("protocol", ["kitty", "iterm2"])
def test_the_shape_of_a_cell_counts(protocol: Protocol) -> None:
    text, _ = unwrap(preview(picture(100, 100), 30, protocol, cell=Cell(10, 15)))
    _, wide, high = read_kitty(text) if protocol == "kitty" else read_iterm2(text)
    assert (wide * 10, high * 15) == (220, 225)


@pytest.mark.parametrize(
    ("size", "columns", "rows", "protocol"),
    [
        ((9, 9), 40, 20, "none"),
        ((9, 9), 0, 20, "blocks"),
        ((9, 9), -1, 20, "kitty"),
        ((9, 9), 40, 0, "sixel"),
        ((0, 9), 40, 20, "blocks"),
        ((9, 0), 40, 20, "iterm2"),
    ],
)
def test_nothing_comes_where_nothing_can(
    size: tuple[int, int], columns: int, rows: int, protocol: Protocol
) -> None:
    assert preview(np.zeros((*size, 3), np.uint8), columns, protocol, rows=rows) == ""


@settings(max_examples=25, deadline=None)
@given(
    st.tuples(st.integers(1, 400), st.integers(1, 400)),
    st.integers(1, 300),
    st.integers(1, 40),
    st.booleans(),
    st.sampled_from([None, Cell(7, 17), Cell(9, 18), Cell(30, 61)]),
)
def test_no_picture_leaves_its_box(
    size: tuple[int, int], columns: int, rows: int, truecolor: bool, cell: Cell | None
) -> None:
    pixels = picture(*size, seed=columns)
    most = min(rows_for(columns), rows)
    shape = cell or Cell(6, 12)

    grid = read_blocks(preview(pixels, columns, "blocks", truecolor, rows=rows, cell=cell))
    assert grid.shape[1] <= columns
    assert grid.shape[0] <= 2 * most
    _, wide, high = read_kitty(unwrap(preview(pixels, columns, "kitty", rows=rows, cell=cell))[0])
    assert (wide <= columns, high <= most) == (True, True)
    dots = read_sixels(unwrap(preview(pixels, columns, "sixel", rows=rows, cell=cell))[0])
    assert dots.shape[1] <= columns * shape.width_px
    assert dots.shape[0] <= most * shape.height_px


# What the terminal is


def silent(query: str) -> str:
    raise AssertionError(f"asked {query!r}")


@pytest.mark.parametrize(
    ("environ", "found"),
    [
        ({"TERM": "xterm-kitty"}, "kitty"),
        ({"TERM": "xterm-256color", "KITTY_WINDOW_ID": "1"}, "kitty"),
        ({"TERM": "xterm-ghostty", "TERM_PROGRAM": "ghostty"}, "kitty"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "ghostty"}, "kitty"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, "iterm2"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, "iterm2"),
        ({"TERM": "foot"}, "sixel"),
        ({"TERM": "foot-extra"}, "sixel"),
        ({"TERM": "mlterm-256color"}, "sixel"),
        ({"TERM": "xterm-sixel"}, "sixel"),
        ({"TERM": "foot", "KITTY_WINDOW_ID": "1"}, "sixel"),  # foot, started from kitty's shell
        ({"TERM": "xterm-kitty", "TERM_PROGRAM": "iTerm.app"}, "kitty"),
        ({"TERM": "tmux-256color"}, "blocks"),
        ({"TERM": "screen.xterm-256color"}, "blocks"),
        ({"TERM": "xterm-kitty", "TMUX": "/tmp/tmux-0/default,1,0"}, "blocks"),  # noqa: S108
        ({"TERM": "xterm-kitty", "STY": "1.pts-0"}, "blocks"),
        ({"TERM": "foot", "ZELLIJ": "0"}, "blocks"),
        ({"TERM": "dumb"}, "none"),
        ({"TERM": "vt220"}, "none"),
        ({"TERM": "xterm-kitty", "NO_COLOR": "1"}, "none"),
        ({"TERM": "xterm-kitty", "NO_COLOR": ""}, "kitty"),
    ],
)
def test_names_say_what_a_terminal_can_draw(environ: dict[str, str], found: Protocol) -> None:
    assert detect_protocol(environ, True, silent) == found
    assert detect_protocol(environ, False, silent) == "none"


@pytest.mark.parametrize(
    ("environ", "reply", "found"),
    [
        ({"TERM": "xterm-256color"}, "\x1b[?63;1;2;4;6;9;15;22c", "sixel"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "vscode"}, "\x1b[?62;4;22c", "sixel"),
        ({"TERM": "xterm-256color"}, "\x1b[?4;6c", "blocks"),  # a VT132: the first number is no attribute
        ({"TERM": "xterm-256color"}, "\x1b[?64;14;40;44c", "blocks"),
        ({"TERM": "xterm-256color"}, "typed;4c", "blocks"),
        ({"TERM": "xterm-256color"}, "", "blocks"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "vscode", "KITTY_WINDOW_ID": "1"}, "", "blocks"),
        ({}, "", "blocks"),
    ],
)
def test_a_terminal_without_a_name_is_asked(environ: dict[str, str], reply: str, found: Protocol) -> None:
    assert detect_protocol(environ, True, answering({"\x1b[c": reply})) == found
    assert detect_protocol(environ, True) == "blocks"


def answering(replies: dict[str, str]) -> Ask:
    return lambda query: replies[query]


@pytest.mark.parametrize(
    ("reply", "cell"),
    [
        ("\x1b[6;20;10t\x1b[?62;4c", Cell(width_px=10, height_px=20)),
        ("\x1b[?62;4c", None),
        ("\x1b[6;0;0t\x1b[?62c", None),
        ("\x1b[6;9999;9999t\x1b[?62c", None),
        ("\x1b[6;99999;10t\x1b[?62c", None),
        ("", None),
    ],
)
def test_the_size_of_a_cell_is_asked_for(reply: str, cell: Cell | None) -> None:
    assert ask_cell(answering({"\x1b[16t\x1b[c": reply})) == cell


@pytest.mark.parametrize(
    ("environ", "truecolor"),
    [
        ({"COLORTERM": "truecolor"}, True),
        ({"COLORTERM": "24bit"}, True),
        ({"COLORTERM": "yes"}, False),
        ({}, False),
        ({"COLORTERM": "truecolor", "STY": "1.pts-0"}, False),
    ],
)
def test_truecolor_is_what_colorterm_says(environ: dict[str, str], truecolor: bool) -> None:
    assert has_truecolor(environ) == truecolor
