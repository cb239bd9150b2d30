"""What a hub or a disk may hold: each ends in one clear line, at once, and with nothing written."""

import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from qwen3vl_edge.cli.main import run
from qwen3vl_edge.converters import convert
from qwen3vl_edge.errors import CheckpointError
from tests.converters.spoil import (
    SMALL,
    edit_header,
    edit_index,
    edit_json,
    put_values,
    rename_tensors,
    reshape_tensor,
)
from tests.safetensors_files import write_raw_safetensors
from tests.tiny_checkpoint import write_tiny_checkpoint

LIMIT_S = 5.0
EMBED = "model.language_model.embed_tokens.weight"
NORM = "model.language_model.norm.weight"
FIRST, SECOND, THIRD = (f"model-{i:05d}-of-00003.safetensors" for i in (1, 2, 3))

Spoil = Callable[[Path], object]


def change(name: str, key: str, value: object) -> Spoil:
    """Put `value` at the dotted `key` of a JSON file."""
    *parents, last = key.split(".")

    def edit(whole: dict) -> None:
        for parent in parents:
            whole = whole[parent]
        whole[last] = value

    return lambda folder: edit_json(folder / name, edit)


def entry(key: str, value: object, name: str = NORM) -> Spoil:
    """Put `value` into the header entry of the tensor `name`."""
    return lambda folder: edit_header(folder, lambda header: header[name].update({key: value}))


def instead(name: str, make: Callable[[Path], object]) -> Spoil:
    """Put something else in the place of a file."""

    def replace(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        make(folder / name)

    return replace


def link_outside(name: str) -> Spoil:
    """Move a file out of the folder and leave a link to it."""

    def move(folder: Path) -> None:
        (folder / name).rename(folder.parent / name)
        (folder / name).symlink_to(f"../{name}")

    return move


def header_length(length: int) -> Spoil:
    def write(folder: Path) -> None:
        path = folder / "model.safetensors"
        path.write_bytes(length.to_bytes(8, "little") + path.read_bytes()[8:])

    return write


def raw_header(header: bytes) -> Spoil:
    return lambda folder: (folder / "model.safetensors").write_bytes(
        len(header).to_bytes(8, "little") + header + bytes(8)
    )


def text(name: str, content: str) -> Spoil:
    return lambda folder: (folder / name).write_text(content, encoding="utf-8")


def cut(name: str, kept: float) -> Spoil:
    def truncate(folder: Path) -> None:
        raw = (folder / name).read_bytes()
        (folder / name).write_bytes(raw[: int(len(raw) * kept)])

    return truncate


WEIGHTS = {
    "an empty file": (instead("model.safetensors", Path.touch), "not a whole safetensors file"),
    "a header longer than the file": (header_length(1 << 40), "not a whole safetensors file"),
    "a header of all bits": (header_length((1 << 64) - 1), "not a whole safetensors file"),
    "a shorter header": (header_length(100), "not valid JSON"),
    "a header that is no object": (raw_header(b"[1, 2, 3, 4]"), "does not begin with {"),
    "a pickle": (instead("model.safetensors", lambda p: p.write_bytes(b"\x80\x04]." * 99)), "not a whole"),
    "a truncated file": (cut("model.safetensors", 0.9), "bytes of data, the file has"),
    "overlapping tensors": (entry("data_offsets", [0, 64]), "overlaps the tensor before it"),
    "an unaligned tensor": (entry("data_offsets", [1, 65]), "begins at 1, which is no multiple of BF16's"),
    "offsets the wrong way round": (entry("data_offsets", [64, 0]), r"\[begin, end\] is expected"),
    "offsets beyond the file": (
        entry("data_offsets", [1 << 40, (1 << 40) + 64]),
        "leaves a hole|the file has",
    ),
    "a negative shape": (entry("shape", [-32]), "a list of integers in 0"),
    "a huge shape": (entry("shape", [1 << 50, 1 << 50]), "does not take 64 bytes"),
    "a shape with too many sides": (entry("shape", [1] * 9), "has 9 dimensions"),
    "a shape of fractions": (entry("shape", [32.0]), "a list of integers"),
    "another shape": (lambda f: reshape_tensor(f, EMBED, [32, 296]), r"has shape \[32, 296\]"),
    "an unknown dtype": (entry("dtype", "F4"), "dtype is 'F4'"),
    "integers for weights": (entry("dtype", "I16"), "is I16, one of"),
    "a dtype that is no text": (entry("dtype", 16), "a string is expected"),
    "a path for a name": (
        lambda f: rename_tensors(f, lambda name: "../../etc/passwd" if name == NORM else name),
        "unknown tensor '../../etc/passwd'",
    ),
    "a name of several lines": (
        lambda f: rename_tensors(f, lambda name: "a\nb" if name == NORM else name),
        "printable characters",
    ),
    "an endless name": (
        lambda f: rename_tensors(f, lambda name: "n" * 100_000 if name == NORM else name),
        "printable characters",
    ),
    "one name twice": (raw_header(b'{"a": {}, "a": {}}'), "key 'a' stands there twice"),
    "metadata that is no text": (
        lambda f: edit_header(f, lambda header: header.update(__metadata__={"format": 5})),
        "__metadata__: format is 5",
    ),
    "no numbers": (lambda f: put_values(f, NORM, np.nan), f"'{NORM}' holds 32 NaN"),
    "infinite numbers": (lambda f: put_values(f, NORM, -np.inf), "32 infinite"),
    "a deep header": (raw_header(b'{"a": ' * 100_000), "nested too deeply"),
    "a wide header": (raw_header(b'{"a": [' + b"0," * 3_000_000 + b"0]}"), "more than 1500000 values"),
    "a header of digits": (raw_header(b'{"a": ' + b"9" * 20_000_000 + b"}"), "has 20000000 digits"),
    "a header of brackets": (raw_header(b'{"a": ' + b"[" * 20_000_000), "more than 1500000 values"),
    "a header of tensors": (
        raw_header(b"{" + b",".join(b'"%d":{"dtype":{}}' % i for i in range(200_000)) + b"}"),
        "dtype is {}, a string is expected.* and 599980 more",
    ),
    "a header of 33 MiB": (raw_header(b"{}" + b" " * (33 << 20)), "not a whole safetensors file"),
    "a header of keys": (
        raw_header(b"{" + b",".join(b'"%d":{}' % i for i in range(700_000)) + b"}"),
        "700000 tensors are more than the 200000 allowed",
    ),
}

CONFIGS = {
    "another model": (change("config.json", "architectures", ["Qwen3ForCausalLM"]), "architectures is"),
    "no model": (change("config.json", "architectures", {}), "architectures is"),
    "a list": (text("config.json", "[]"), "a JSON object is expected, found list"),
    "nothing": (text("config.json", ""), "not valid JSON"),
    "an epsilon of nothing": (change("config.json", "text_config.rms_norm_eps", 0), r"outside 1e-12\.\.0\.1"),
    "an epsilon beyond numbers": (text("config.json", '{"a": 1e999}'), "too large a number"),
    "no rotation": (
        change("config.json", "text_config.rope_scaling.mrope_section", [12, 0, 0]),
        "integers in 1",
    ),
    "uneven rotation": (
        change("config.json", "text_config.rope_scaling.mrope_section", [10, 1, 1]),
        "is not interleaved evenly",
    ),
    "a theta of nothing": (change("config.json", "text_config.rope_theta", 0.5), r"outside 1\.\.1e\+12"),
    "more layers than llama.cpp takes": (
        change("config.json", "text_config.num_hidden_layers", 513),
        "outside",
    ),
    "merges of three": (change("config.json", "vision_config.spatial_merge_size", 3), "only 2 is supported"),
    "heads of two": (change("config.json", "vision_config.num_heads", 8), "each head a multiple of 4"),
    "huge pictures": (
        change("config.json", "vision_config.num_position_embeddings", 1 << 20),
        "more than 8192 px",
    ),
    "half a surrogate": (change("config.json", "transformers_version", "\ud800"), "not valid Unicode"),
    "hot sampling": (change("generation_config.json", "temperature", 1e9), r"outside 0\.\.100"),
    "an end that is no id": (
        change("generation_config.json", "eos_token_id", [1, "x"]),
        "a list of integers",
    ),
    "no spread": (change("preprocessor_config.json", "image_std", [0, 0, 0]), "a list of numbers"),
    "patches of another model": (
        change("preprocessor_config.json", "patch_size", 14),
        "patch_size × merge_size",
    ),
    "an endless card": (text("README.md", "---\n" + "a: [" * 40_000 + "\n---\n"), r"README\.md"),
    "a large file": (text("generation_config.json", " " * (2 << 20)), "bytes are more than the"),
}

TOKENIZERS = {
    "a token without bytes": (
        lambda f: edit_json(f / "tokenizer.json", lambda v: v["model"]["vocab"].pop("!")),
        "a token is missing for the bytes '!'",
    ),
    "fewer merges": (
        lambda f: edit_json(f / "tokenizer.json", lambda v: v["model"]["merges"].pop()),
        "no merge makes the tokens 'ed'",
    ),
    "fewer tokens": (
        lambda f: edit_json(f / "tokenizer.json", lambda v: v["model"]["vocab"].pop("ed")),
        "merges make unknown tokens 'ed'",
    ),
    "a merge of unknown tokens": (
        lambda f: edit_json(f / "tokenizer.json", lambda v: v["model"]["merges"].append(["Ж", "Ж"])),
        "merges name unknown tokens 'Ж'",
    ),
    "a merge with nothing": (
        lambda f: edit_json(f / "tokenizer.json", lambda v: v["model"]["merges"].append(["", "a"])),
        "a merge has an empty side",
    ),
    "one token with two ids": (
        lambda f: edit_json(f / "tokenizer.json", lambda v: v["added_tokens"][3].update(content="!")),
        "the token '!' has 2 ids",
    ),
    "a token with a NUL": (
        lambda f: edit_json(
            f / "tokenizer.json", lambda v: v["added_tokens"][-1].update(content="</think>\0")
        ),
        "tokens are empty or hold a NUL",
    ),
    "a gap": (
        lambda f: edit_json(f / "tokenizer.json", lambda v: v["added_tokens"][-1].update(id=295)),
        "no token has the id 293",
    ),
    "no special tokens": (
        lambda f: edit_json(f / "tokenizer.json", lambda v: v["added_tokens"].clear()),
        "added tokens are missing",
    ),
    "an end that is no token": (
        change("tokenizer_config.json", "eos_token", "<end>"),
        "eos_token '<end>' is no added",
    ),
    "an end that is text": (change("tokenizer_config.json", "eos_token", 5), "a string is expected"),
    "other merging": (change("tokenizer.json", "model.ignore_merges", True), "which llama.cpp cannot do"),
    "an empty template": (text("chat_template.jinja", " \n"), "chat_template is empty"),
    "a template with a NUL": (text("chat_template.jinja", "a\0b"), "holds a NUL"),
}

THINGS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a folder": (Path.mkdir, "is not a regular file"),
    "a pipe": (getattr(os, "mkfifo", Path.mkdir), "is not a regular file"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "is a link out of the folder"),
    "a link to nothing": (lambda path: path.symlink_to("nothing"), "is a link that leads nowhere"),
    "a link to itself": (lambda path: path.symlink_to(path.name), "is a link that leads nowhere"),
}
OPENED = (
    "config.json", "model.safetensors", "model.safetensors.index.json", "generation_config.json",
    "preprocessor_config.json", "video_preprocessor_config.json", "tokenizer.json", "tokenizer_config.json",
    "chat_template.jinja", "README.md", "notes.txt",
)  # fmt: skip


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A sound checkpoint that the test may spoil."""
    folder = write_tiny_checkpoint(tmp_path / "Small", shape=SMALL)
    for name in ("vocab.json", "merges.txt"):
        (folder / name).unlink()
    # the same tokens again; without them a change of tokenizer.json alone is the only fault
    edit_json(folder / "tokenizer_config.json", lambda value: value.pop("added_tokens_decoder"))
    return folder


def refused(folder: Path, what: str) -> None:
    """Convert `folder`: `what` is said, in one line and soon, and nothing is written."""
    out = folder.parent / "out"
    began = time.monotonic()
    with pytest.raises(CheckpointError, match=what) as caught:
        convert(folder, out)
    assert time.monotonic() - began < LIMIT_S
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert len(message) < 10_000
    assert folder.name in message or NORM in message
    assert not out.exists() or not list(out.iterdir())


def test_the_unspoilt_one_converts(small: Path) -> None:
    assert convert(small, small.parent / "out").model.is_file()


@pytest.mark.parametrize("case", [*WEIGHTS, *CONFIGS, *TOKENIZERS])
def test_files(small: Path, case: str) -> None:
    spoil, what = {**WEIGHTS, **CONFIGS, **TOKENIZERS}[case]
    spoil(small)
    refused(small, what)


@pytest.mark.parametrize("name", OPENED)
@pytest.mark.parametrize("thing", THINGS)
def test_things_in_the_place_of_files(small: Path, name: str, thing: str) -> None:
    make, what = THINGS[thing]
    instead(name, make)(small)
    refused(small, f"'{name}' {what}")


@pytest.mark.parametrize(
    "name", ["model.safetensors", "config.json", "tokenizer.json", "chat_template.jinja"]
)
def test_links_out_of_the_folder(small: Path, name: str) -> None:
    link_outside(name)(small)
    refused(small, f"'{name}' is a link out of the folder")


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json", "config.json"])
def test_files_cut_anywhere(small: Path, name: str) -> None:
    whole = (small / name).read_bytes()
    for kept in np.linspace(0, len(whole) - 2, 40, dtype=int):
        (small / name).write_bytes(whole[:kept])
        refused(small, f"{name}: not (valid JSON|UTF-8)")


SHARDS: dict[str, tuple[Spoil, str]] = {
    "a shard that is missing": (lambda f: (f / SECOND).unlink(), f"names files that are not there: {SECOND}"),
    "a shard that no one names": (
        lambda f: shutil.copy(f / FIRST, f / "model-00004-of-00004.safetensors"),
        "model-00004-of-00004.safetensors would not be read",
    ),
    "one file beside the shards": (
        lambda f: write_raw_safetensors(f / "model.safetensors", {}, b""),
        r"model\.safetensors would not be read",
    ),
    "a tensor that the index lacks": (lambda f: edit_index(f, **{NORM: None}), "is not in the index"),
    "a tensor in another shard": (lambda f: edit_index(f, **{NORM: THIRD}), "where the index puts it"),
    "a tensor in two shards": (lambda f: shutil.copy(f / FIRST, f / THIRD), "stands in both"),
    "a shard elsewhere": (lambda f: edit_index(f, **{NORM: "../x.safetensors"}), "a file name ending in"),
    "a shard that is a number": (lambda f: edit_index(f, **{NORM: 5}), "weight_map names 5"),
    "a shard with an endless name": (
        lambda f: edit_index(f, **{NORM: "x" * 5000 + ".safetensors"}),
        "weight_map",
    ),
    "an empty index": (text("model.safetensors.index.json", '{"weight_map": {}}'), "missing or empty"),
    "a wide index": (
        text("model.safetensors.index.json", '{"weight_map": {' + '"a":"b",' * 2_500_000 + '"b":"c"}}'),
        "more than 1500000 values",
    ),
}


@pytest.mark.parametrize("case", SHARDS)
def test_shards(tmp_path: Path, case: str) -> None:
    folder = write_tiny_checkpoint(tmp_path / "Small", shape=SMALL, sharded=True)
    spoil, what = SHARDS[case]
    spoil(folder)
    refused(folder, what)


def test_the_command_says_it_once_and_exits_with_1(
    small: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    change("config.json", "architectures", ["Qwen3ForCausalLM"])(small)
    out = small.parent / "out"
    monkeypatch.setattr(sys, "argv", ["qwen3vl-edge", "convert", str(small), "-o", str(out)])
    with pytest.raises(SystemExit) as left:
        run()
    said = capsys.readouterr()
    assert left.value.code == 1
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    assert json.dumps("Qwen3ForCausalLM").replace('"', "'") in said.err
    assert not out.exists()
