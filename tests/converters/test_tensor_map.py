from pathlib import Path

import pytest

from qwen3vl_edge.checkpoint import Checkpoint
from qwen3vl_edge.converters.tensor_map import Mapped, map_tensors
from qwen3vl_edge.converters.tensor_rules import (
    DENSE_RULES,
    EXPERT_RULES,
    MODEL_RULES,
    PROJECTOR_RULES,
    ROUTER_RULES,
)
from qwen3vl_edge.errors import CheckpointError
from qwen3vl_edge.hf_config import read_config
from qwen3vl_edge.writing.source import Cut
from tests.converters.spoil import edit_json, rename_tensors, reshape_tensor
from tests.tiny_checkpoint import TinyShape, tiny_tensors, write_tiny_checkpoint

# Published names against those that llama.cpp loads (src/llama-arch.cpp, tools/mtmd/clip-impl.h).
PAIRS = {
    "model.language_model.embed_tokens.weight": ["token_embd.weight"],
    "model.language_model.norm.weight": ["output_norm.weight"],
    "lm_head.weight": ["output.weight"],
    "model.language_model.layers.2.input_layernorm.weight": ["blk.2.attn_norm.weight"],
    "model.language_model.layers.2.post_attention_layernorm.weight": ["blk.2.ffn_norm.weight"],
    "model.language_model.layers.2.self_attn.o_proj.weight": ["blk.2.attn_output.weight"],
    "model.language_model.layers.2.self_attn.q_norm.weight": ["blk.2.attn_q_norm.weight"],
    "model.language_model.layers.2.mlp.down_proj.weight": ["blk.2.ffn_down.weight"],
    "model.visual.patch_embed.proj.weight": ["v.patch_embd.weight", "v.patch_embd.weight.1"],
    "model.visual.pos_embed.weight": ["v.position_embd.weight"],
    "model.visual.blocks.4.norm2.bias": ["v.blk.4.ln2.bias"],
    "model.visual.blocks.4.attn.proj.weight": ["v.blk.4.attn_out.weight"],
    "model.visual.blocks.4.mlp.linear_fc1.weight": ["v.blk.4.ffn_up.weight"],
    "model.visual.merger.linear_fc2.weight": ["mm.2.weight"],
    "model.visual.merger.norm.bias": ["v.post_ln.bias"],
    "model.visual.deepstack_merger_list.1.linear_fc1.weight": ["v.deepstack.2.fc1.weight"],
    "model.visual.deepstack_merger_list.2.norm.weight": ["v.deepstack.3.norm.weight"],
}


def mapped(folder: Path) -> tuple[list[Mapped], list[Mapped]]:
    return map_tensors(Checkpoint.open(folder), read_config(folder))


def test_names(tmp_path: Path) -> None:
    model, projector = mapped(write_tiny_checkpoint(tmp_path, tied=False))
    found: dict[str, list[str]] = {}
    for item in [*model, *projector]:
        found.setdefault(item.source.refs[0].name, []).append(item.target)
    assert found.keys() == tiny_tensors(TinyShape(), tied=False).keys()
    assert {name: found[name] for name in PAIRS} == PAIRS
    targets = [item.target for item in [*model, *projector]]
    assert len(set(targets)) == len(targets)
    assert [item.shape for item in projector if item.cut != Cut()] == [(80, 3, 16, 16)] * 2


def test_tables_name_each_tensor_once() -> None:
    experts = [(*MODEL_RULES, *ROUTER_RULES, *rules) for rules in EXPERT_RULES.values()]
    for rules in ((*MODEL_RULES, *DENSE_RULES), *experts, PROJECTOR_RULES):
        assert len({(rule.source, rule.part) for rule in rules}) == len(rules)
        assert len({rule.target for rule in rules}) == len(rules)


@pytest.mark.parametrize(
    "rename",
    [
        lambda name: name.removeprefix("model."),
        lambda name: name.replace("model.visual.", "visual."),
        lambda name: name.replace("model.language_model.", "language_model."),
    ],
)
def test_older_names_are_accepted(checkpoint: Path, rename: object) -> None:
    expected = [[item.target for item in half] for half in mapped(checkpoint)]
    rename_tensors(checkpoint, rename)  # type: ignore[arg-type]
    assert [[item.target for item in half] for half in mapped(checkpoint)] == expected


def test_all_faults_in_one_error(checkpoint: Path) -> None:
    embed = "model.language_model.embed_tokens.weight"
    lost = "model.visual.blocks.3.norm1.bias"
    rename_tensors(checkpoint, lambda name: "model.visual.blocks.5.norm1.bias" if name == lost else name)
    reshape_tensor(checkpoint, embed, [256, 300])
    reshape_tensor(checkpoint, "model.visual.merger.norm.bias", [80], "I16")
    with pytest.raises(CheckpointError) as caught:
        mapped(checkpoint)
    message = str(caught.value)
    for part in (
        "unknown tensor 'model.visual.blocks.5.norm1.bias'",
        f"missing tensor '{lost}'",
        f"'{embed}' has shape [256, 300], config.json asks for [300, 256]",
        "'model.visual.merger.norm.bias' is I16, one of BF16, F16, F32 is expected",
    ):
        assert part in message
    assert "\n" not in message


def test_square_kernels_are_not_transposed_unseen(checkpoint: Path) -> None:
    reshape_tensor(checkpoint, "model.visual.patch_embed.proj.weight", [80, 2, 3, 16, 16])
    with pytest.raises(CheckpointError, match=r"has shape \[80, 2, 3, 16, 16\]"):
        mapped(checkpoint)


def test_one_tensor_under_two_names(checkpoint: Path) -> None:
    first, second = "model.visual.blocks.0.norm1.bias", "model.visual.blocks.0.norm2.bias"
    rename_tensors(checkpoint, lambda name: first.removeprefix("model.") if name == second else name)
    with pytest.raises(CheckpointError, match=r"are the same tensor; missing tensor .*norm2\.bias"):
        mapped(checkpoint)


@pytest.mark.parametrize("tied", [True, False])
def test_output_head(tmp_path: Path, tied: bool) -> None:
    write_tiny_checkpoint(tmp_path, tied=not tied)
    both = {"tie_word_embeddings": tied}
    edit_json(
        tmp_path / "config.json", lambda config: (config.update(both), config["text_config"].update(both))
    )
    if tied:  # the checkpoint holds a head all the same: it is written, as transformers 5 uses it
        assert "output.weight" in [item.target for item in mapped(tmp_path)[0]]
    else:
        with pytest.raises(CheckpointError, match=r"missing tensor 'lm_head\.weight'"):
            mapped(tmp_path)


def test_tensors_come_in_the_order_of_the_files(tmp_path: Path) -> None:
    for half in mapped(write_tiny_checkpoint(tmp_path, sharded=True)):
        places = [(item.source.refs[0].path.name, item.source.refs[0].offset) for item in half]
        assert places == sorted(places)
