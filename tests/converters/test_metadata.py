import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFWriter, size_label

from qwen3vl_edge.converters.general_metadata import GeneralMetadata
from qwen3vl_edge.converters.metadata import model_metadata
from qwen3vl_edge.converters.origin import Origin
from qwen3vl_edge.converters.vocab import Vocab
from qwen3vl_edge.errors import CheckpointError, UsageError
from qwen3vl_edge.gguf_format import Scalar
from qwen3vl_edge.hf_config import read_config
from qwen3vl_edge.manifest import current_versions
from qwen3vl_edge.writing.gguf_header import KeyValue
from tests.converters.differences import HUB_DIFFERENCES, MODEL_DIFFERENCES, PROJECTOR_DIFFERENCES
from tests.converters.spoil import edit_json
from tests.tiny_checkpoint import MOE, write_tiny_checkpoint

COMMIT = "89644892e4d85e24eaac8bacfd4f463576704203"
ORIGIN = Origin("Qwen/Qwen3-VL-2B-Instruct", COMMIT)
TWO_BILLION = [("token_embd.weight", (1000, 1000)), ("output.weight", (2000, 1_000_000))]
URL = "https://huggingface.co/Qwen/Qwen3-VL-2B-Instruct"

Entries = dict[str, Scalar | tuple[Scalar, ...]]


def general(folder: Path, *, name: str | None = None, origin: Origin | None = None) -> Entries:
    return by_key(GeneralMetadata.read(folder, name=name, origin=origin).entries("model", TWO_BILLION))


def by_key(entries: list[KeyValue]) -> Entries:
    assert len({item.key for item in entries}) == len(entries)
    return {item.key: item.value for item in entries}


def write_card(folder: Path, yaml: str) -> None:
    (folder / "README.md").write_text(f"---\n{yaml}\n---\n# A card\n", encoding="utf-8")


def test_keys_of_a_mixture_of_experts(tmp_path: Path) -> None:
    """Values and order as llama.cpp's converter (0c1e57098) writes them for this checkpoint."""
    folder = write_tiny_checkpoint(tmp_path / "tiny_moe", shape=MOE)
    config = read_config(folder)
    written = model_metadata(config, Vocab.read(folder, config), [], 32)
    assert [(item.key, item.value) for item in written if not item.key.startswith("tokenizer.")] == [
        ("general.architecture", "qwen3vlmoe"),
        ("qwen3vlmoe.block_count", 4),
        ("qwen3vlmoe.context_length", 4096),
        ("qwen3vlmoe.embedding_length", 256),
        ("qwen3vlmoe.feed_forward_length", 352),
        ("qwen3vlmoe.attention.head_count", 6),
        ("qwen3vlmoe.attention.head_count_kv", 2),
        ("qwen3vlmoe.rope.dimension_sections", (12, 10, 10, 0)),
        ("qwen3vlmoe.rope.freq_base", 5e6),
        ("qwen3vlmoe.attention.layer_norm_rms_epsilon", 1e-6),
        ("qwen3vlmoe.expert_count", MOE.n_experts),
        ("qwen3vlmoe.expert_used_count", 3),
        ("qwen3vlmoe.attention.key_length", 64),
        ("qwen3vlmoe.attention.value_length", 64),
        ("general.file_type", 32),
        ("qwen3vlmoe.expert_feed_forward_length", 96),
        ("qwen3vlmoe.n_deepstack_layers", 3),
        ("general.quantization_version", 2),
    ]


@pytest.mark.parametrize("n_experts", [0, 128])
def test_size_labels(checkpoint: Path, n_experts: int) -> None:
    """Against gguf's own writer, which counts the tensors that it is given."""
    tensors = [("token_embd.weight", (1000, 512)), ("output_norm.weight", (512,))]
    parts = ("gate", "up", "down") if n_experts else ()
    tensors += [(f"blk.0.ffn_{part}_exps.weight", (n_experts, 768, 512)) for part in parts]
    writer = GGUFWriter(None, "qwen3vlmoe")
    for name, shape in tensors:
        writer.add_tensor_info(name, shape, np.dtype(np.float32), 0)
    expected = size_label(*writer.get_total_parameter_count())
    found = by_key(GeneralMetadata.read(checkpoint).entries("model", tensors))
    assert found["general.size_label"] == expected
    assert ("x" in expected) == bool(n_experts)


@pytest.mark.parametrize("folder_name", ["Qwen3-VL-2B-Instruct", COMMIT])
def test_a_checkpoint_of_the_hub(checkpoint: Path, folder_name: str) -> None:
    found = general(checkpoint.rename(checkpoint.with_name(folder_name)), origin=ORIGIN)
    assert (
        found.items()
        >= {
            "general.name": "Qwen3 VL 2B Instruct",
            "general.organization": "Qwen",
            "general.basename": "Qwen3-VL",
            "general.finetune": "Instruct",
            "general.size_label": "2B",
            "general.source.url": URL,
            "general.source.repo_url": URL,
            "qwen3vl_edge.version": current_versions()["qwen3vl-edge"],
            "qwen3vl_edge.source.repository": "Qwen/Qwen3-VL-2B-Instruct",
            "qwen3vl_edge.source.revision": COMMIT,
        }.items()
    )


def test_a_folder_of_the_hubs_cache_knows_where_it_comes_from(checkpoint: Path, tmp_path: Path) -> None:
    place = tmp_path / "hub" / "models--Qwen--Qwen3-VL-2B-Instruct" / "snapshots" / COMMIT
    place.parent.mkdir(parents=True)
    shutil.move(checkpoint, place)
    (tmp_path / "link").symlink_to(place)
    for folder in (place, tmp_path / "link"):
        read = GeneralMetadata.read(folder)
        assert (read.origin, read.base) == (ORIGIN, "Qwen3-VL-2B-Instruct")
    assert Origin.of_snapshot(place.parent) is None
    assert Origin.of_snapshot(place.with_name("main")) is None
    assert Origin.of_snapshot(Path("/")) is None


def test_a_local_folder_claims_nothing(checkpoint: Path) -> None:
    found = general(checkpoint)
    assert not {item.key for item in HUB_DIFFERENCES} & found.keys()
    assert found["general.name"] == "Tiny Qwen3 VL"
    assert found["qwen3vl_edge.version"] == current_versions()["qwen3vl-edge"]


def test_the_name_that_a_config_remembers(checkpoint: Path) -> None:
    edit_json(checkpoint / "config.json", lambda value: value.update(_name_or_path="Org/Other-2B-Chat"))
    assert general(checkpoint)["general.name"] == "Other 2B Chat"
    assert general(checkpoint, origin=ORIGIN)["general.name"] == "Qwen3 VL 2B Instruct"
    edit_json(checkpoint / "config.json", lambda value: value.update(_name_or_path=["x"]))
    assert general(checkpoint)["general.name"] == "Tiny Qwen3 VL"


def test_the_users_name_wins(checkpoint: Path) -> None:
    write_card(checkpoint, "name: from the card")
    assert general(checkpoint)["general.name"] == "from the card"
    assert general(checkpoint, name="Mine: all/mine", origin=ORIGIN)["general.name"] == "Mine: all/mine"
    with pytest.raises(UsageError, match=r"--name 'a\\x1bb' holds control characters .*; give another one"):
        general(checkpoint, name="a\x1bb")


def test_the_card_wins_over_the_origin(checkpoint: Path) -> None:
    write_card(checkpoint, "url: https://example.org\nrepo_url: https://example.org/git\nsize_label: 3B")
    found = general(checkpoint, origin=ORIGIN)
    assert found["general.source.url"] == "https://example.org"
    assert found["general.source.repo_url"] == "https://example.org/git"
    assert found["general.size_label"] == "3B"


def test_who_quantized(checkpoint: Path) -> None:
    read = GeneralMetadata.read(checkpoint)
    version = current_versions()["qwen3vl-edge"]
    quantized = by_key(read.entries("model", TWO_BILLION, quantized=True))
    assert quantized["general.quantized_by"] == f"qwen3vl-edge {version}"
    assert "general.quantized_by" not in by_key(read.entries("mmproj", TWO_BILLION))


def test_a_card_in_full(checkpoint: Path) -> None:
    """As llama.cpp's converter reads it, whose YAML takes 1.50, no and null for other things than texts."""
    write_card(
        checkpoint,
        "license: [apache-2.0, mit]\nlicense_name: null\nlicense_link:\nversion: 1.50\n"
        "language:\n- en\n- no\n"
        "tags:\n\t- demo\n\t- 7\n\t- [deep]\npipeline_tag: image-text-to-text\n"
        "base_model:\n- Qwen/Qwen3-VL-2B\n- {name: Other, version: 2, author: [x], more: {deep: 1}}\n"
        "datasets: a/b-v1.0",
    )
    found = general(checkpoint)
    assert {key: value for key, value in found.items() if "sampling" not in key} == {
        "general.type": "model",
        "general.name": "Tiny Qwen3 VL",
        "general.version": "1.50",
        "general.size_label": "2.0B",
        "general.license": "apache-2.0,mit",
        "general.base_model.count": 2,
        "general.base_model.0.name": "Qwen3 VL 2B",
        "general.base_model.0.organization": "Qwen",
        "general.base_model.0.repo_url": "https://huggingface.co/Qwen/Qwen3-VL-2B",
        "general.base_model.1.name": "Other",
        "general.base_model.1.author": "x",
        "general.base_model.1.version": "2",
        "general.dataset.count": 1,
        "general.dataset.0.name": "B v1.0",
        "general.dataset.0.version": "v1.0",
        "general.dataset.0.organization": "A",
        "general.dataset.0.repo_url": "https://huggingface.co/a/b-v1.0",
        "general.tags": ("demo", "7", "image-text-to-text"),
        "general.languages": ("en", "no"),
        "qwen3vl_edge.version": current_versions()["qwen3vl-edge"],
    }


@pytest.mark.parametrize(
    "card",
    [
        "license: !!python/object/apply:os.system [touch x]",
        "license: !!int abc\ntags: !!map [a]",
        "license: 2024-13-45",
        "license: " + "9" * 5000,
        "license: " + "1:" * 5000 + "1",
        "license: {a: b}\nname: {a: b}\nbase_model: {a: b}\ntags: {a: b}\nlicense_link: 1e999",
        "base_model: [[a, [b]], 3, null, {name: {x: y}}]\nname: [[x]]\nsize_label: [[x]]\nlicense: .nan",
        "model_name: '-'\nname: '-'\nbase_model: ['/', '-', '//', 'a/', ' ', './x', 'x/-1b-']\nlicense: yes",
    ],
)
def test_strange_cards_give_plain_texts(checkpoint: Path, card: str) -> None:
    write_card(checkpoint, card)
    found = general(checkpoint)
    assert found["general.name"]
    for value in found.values():
        items = value if isinstance(value, tuple) else (value,)
        assert all(isinstance(item, str | int | float) for item in items)
    if "license: 2024" in card:
        assert found["general.license"] == "2024-13-45"


@pytest.mark.parametrize(
    "use",
    ["tags: *a18", "license: *a18", "base_model: [*a18]", "<<: *a18", "<<: [*a18, *a18]", "tags: &b [*b]"],
)
def test_aliases_cannot_grow(checkpoint: Path, use: str) -> None:
    lines = ["a0: &a0 [x, x]", *(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 19))]
    card = "\n".join([*lines, use, "license_link: here"])
    write_card(checkpoint, card)
    assert len(repr(GeneralMetadata.read(checkpoint).card)) < len(card)
    found = general(checkpoint)
    assert found["general.license.link"] == "here"
    assert not {"general.tags", "general.license"} & found.keys()


@pytest.mark.parametrize(
    ("card", "why"),
    [
        ("license: [mit", "the model card cannot be read (line 3: expected ',' or ']', but got "),
        ("license: " + "[" * 5000, "the model card cannot be read"),
        ("- " * 5000, "the model card cannot be read"),
        ('license: "\\UFFFFFFFF"', "the model card cannot be read"),
        ("license: m\x00it", "the model card cannot be read"),
        ("# " + "x" * (128 << 10), "characters of YAML, more than the 131072 allowed"),
        ('license: "\\e[31mred"', "general.license holds control characters"),
        ('tags: [a, "\\uD800"]', "general.tags holds control characters or half of a surrogate pair"),
        ("base_model: [{name: " + "ü" * 40000 + "}]", "general.base_model.0.name has 80000 bytes, more than"),
        ("license: [" + "abcdefg, " * 9000 + "]", "general.license has 71999 bytes, more than the 65536"),
    ],
)
def test_cards_that_cannot_be_used(checkpoint: Path, card: str, why: str) -> None:
    write_card(checkpoint, card)
    with pytest.raises(CheckpointError) as caught:
        general(checkpoint)
    message = str(caught.value)
    assert why in message
    assert "README.md" in message
    assert message.isprintable()
    assert len(message) < 400


def test_a_card_without_yaml_says_nothing(checkpoint: Path) -> None:
    plain = general(checkpoint)
    for text in (
        "",
        "# A card\nlicense: mit\n",
        "---\n---\n",
        "---\n",
        "---\n- a\n- b\n---\n",
        "---\njust text\n",
    ):
        (checkpoint / "README.md").write_text(text, encoding="utf-8")
        assert general(checkpoint) == plain


def test_names_that_cannot_be_stored(checkpoint: Path) -> None:
    edit_json(checkpoint / "config.json", lambda value: value.update(_name_or_path="a\x1bb"))
    with pytest.raises(CheckpointError, match=r"general\.name holds control characters"):
        general(checkpoint)
    (checkpoint / "config.json").write_text(json.dumps({"_name_or_path": "x" * 70000}), encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"general\.name has 70000 bytes"):
        general(checkpoint)


def test_every_difference_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "conversion.md").read_text(encoding="utf-8")
    listed = (*MODEL_DIFFERENCES, *PROJECTOR_DIFFERENCES, *HUB_DIFFERENCES)
    assert [item.key for item in listed if f"`{item.key}`" not in text] == []
