import json
from collections.abc import Callable
from pathlib import Path

import pytest

from qwen3vl_edge.errors import CheckpointError
from qwen3vl_edge.hf_config import read_config
from qwen3vl_edge.hf_defaults import PreprocessorDefaults, SamplingDefaults
from qwen3vl_edge.limits import ImageLimits, VideoLimits
from qwen3vl_edge.model_config import MoEConfig
from tests.tiny_checkpoint import Spelling, TinyShape, tiny_config

Change = Callable[[dict], object]


def write(
    folder: Path, spelling: Spelling = "4.57", change: Change = lambda _: None, **options: bool
) -> Path:
    config = tiny_config(TinyShape(), spelling=spelling, **options)
    change(config)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def test_both_spellings_mean_the_same(tmp_path: Path) -> None:
    old, new = read_config(write(tmp_path, "4.57")), read_config(write(tmp_path, "5"))
    assert old.text == new.text
    assert old.vision == new.vision
    assert old.special_ids == new.special_ids
    assert old.text.rope_theta == 5_000_000
    assert old.text.mrope_section == (12, 10, 10)
    assert (old.transformers_version, new.transformers_version) == ("4.57.0.dev0", "5.23.0")


def test_values_reach_their_fields(tmp_path: Path) -> None:
    config = read_config(write(tmp_path))
    text, vision, shape = config.text, config.vision, TinyShape()
    assert (config.gguf_architecture, config.model_type) == ("qwen3vl", "qwen3_vl")
    assert (text.vocab_size, text.hidden, text.ffn, text.n_layers) == (300, 256, 352, 4)
    assert (text.n_heads, text.n_kv_heads, text.head_dim, text.context_length) == (6, 2, 64, 4096)
    assert text.rms_norm_eps == 1e-6
    assert (vision.n_layers, vision.hidden, vision.ffn, vision.n_heads) == (5, 80, 208, 5)
    assert (vision.out_hidden, vision.patch_size_px, vision.spatial_merge) == (256, 16, 2)
    assert (vision.grid, vision.token_side_px, vision.deepstack_layers) == (10, 32, shape.deepstack)
    assert (config.special_ids.eos, config.special_ids.bos, config.special_ids.pad) == (270, 268, None)
    assert config.text.moe is None
    assert config.fp8_block is None


@pytest.mark.parametrize("place", ["top", "text", "both"])
@pytest.mark.parametrize("tied", [True, False])
def test_tied_embeddings_may_be_said_in_either_place(tmp_path: Path, place: str, tied: bool) -> None:
    def change(config: dict) -> None:
        if place == "top":
            del config["text_config"]["tie_word_embeddings"]
        if place == "text":
            del config["tie_word_embeddings"]

    assert read_config(write(tmp_path, change=change, tied=tied)).tie_word_embeddings is tied


def moe_config(config: dict) -> None:
    config["architectures"], config["model_type"] = ["Qwen3VLMoeForConditionalGeneration"], "qwen3_vl_moe"
    config["text_config"]["model_type"] = "qwen3_vl_moe_text"
    config["text_config"] |= {"num_experts": 128, "num_experts_per_tok": 8, "moe_intermediate_size": 768}


def test_experts_and_quantization_are_read(tmp_path: Path) -> None:
    def change(config: dict) -> None:
        moe_config(config)
        config["quantization_config"] = {"quant_method": "fp8", "weight_block_size": [128, 128]}

    config = read_config(write(tmp_path, change=change))
    assert config.text.moe == MoEConfig(n_experts=128, n_experts_used=8, expert_ffn=768)
    assert config.gguf_architecture == "qwen3vlmoe"
    assert config.fp8_block == (128, 128)


def test_experts_as_transformers_5_counts_them(tmp_path: Path) -> None:
    def change(config: dict) -> None:
        moe_config(config)
        config["text_config"]["num_local_experts"] = config["text_config"].pop("num_experts")

    assert read_config(write(tmp_path, "5", change=change)).text.moe == MoEConfig(128, 8, 768)


@pytest.mark.parametrize(
    ("key", "value", "what"),
    [
        ("num_experts_per_tok", 129, "is more than there are experts"),
        ("num_experts", 1025, r"outside 1\.\.1024"),
        ("decoder_sparse_step", 2, "only 1 is supported"),
        ("mlp_only_layers", [0], r"is \[0\]; only \[\] is supported"),
        ("norm_topk_prob", False, "only True is supported"),
    ],
)
def test_experts_that_llama_cpp_does_not_know(tmp_path: Path, key: str, value: object, what: str) -> None:
    def change(config: dict) -> None:
        moe_config(config)
        config["text_config"][key] = value

    with pytest.raises(CheckpointError, match=f"{key} {what}|{key} is {value}.*{what}"):
        read_config(write(tmp_path, change=change))


def test_the_outer_word_on_tied_embeddings_counts(tmp_path: Path) -> None:
    def change(config: dict) -> None:
        config["text_config"]["tie_word_embeddings"] = True

    assert read_config(write(tmp_path, change=change, tied=False)).tie_word_embeddings is False


def test_every_fault_is_reported_at_once(tmp_path: Path) -> None:
    def change(config: dict) -> None:
        config["text_config"]["hidden_size"] = "256"
        del config["text_config"]["num_hidden_layers"]
        config["text_config"]["rope_scaling"]["rope_type"] = "yarn"
        config["vision_config"]["depth"] = 0
        config["vision_config"]["temporal_patch_size"] = 3
        config["image_token_id"] = -1

    with pytest.raises(CheckpointError) as caught:
        read_config(write(tmp_path, change=change))
    message = str(caught.value)
    assert "\n" not in message
    for part in (
        "text_config: hidden_size is '256', an integer is expected",
        "text_config: num_hidden_layers is missing",
        "rope_scaling: rope_type is 'yarn'; only 'default' is supported",
        "vision_config: depth is 0, outside",
        "vision_config: temporal_patch_size is 3; only 2 is supported",
        "image_token_id is -1, outside 0..",
    ):
        assert part in message
    assert message.startswith(str(tmp_path / "config.json"))


@pytest.mark.parametrize(
    ("section", "key", "value", "what"),
    [
        ("text_config", "num_key_value_heads", 4, "does not divide num_attention_heads"),
        ("text_config", "head_dim", 60, "does not add up to head_dim / 2"),
        ("vision_config", "num_heads", 3, "does not divide hidden_size"),
        ("vision_config", "out_hidden_size", 128, "differs from text_config's hidden_size"),
        ("vision_config", "num_position_embeddings", 99, "is not a square number"),
        ("vision_config", "deepstack_visual_indexes", [0, 0], "names a layer twice"),
        ("vision_config", "deepstack_visual_indexes", [0, 5], "names a layer from 5 on"),
        (
            "vision_config",
            "deepstack_visual_indexes",
            [0, 1, 2, 3, 4],
            "leaves no layer of the text model without",
        ),
        ("text_config", "rms_norm_eps", 0.2, r"outside 1e-12\.\.0\.1"),
        ("text_config", "rope_theta", 1e13, r"outside 1\.\.1e\+12"),
        ("text_config", "max_position_embeddings", 1 << 25, "outside 1"),
        ("text_config", "num_hidden_layers", 513, r"outside 1\.\.512"),
        ("text_config", "model_type", "qwen3", "only 'qwen3_vl_text' is supported"),
        ("vision_config", "num_heads", 8, "does not leave each head a multiple of 4"),
        ("vision_config", "spatial_merge_size", 4, "only 2 is supported"),
        ("vision_config", "num_position_embeddings", 1024**2, "makes pictures of more than 8192 px"),
        ("vision_config", "in_channels", 4, "only 3 is supported"),
        ("vision_config", "hidden_act", "relu", "only 'gelu_pytorch_tanh' is supported"),
        ("text_config", "attention_bias", True, "only False is supported"),
        ("text_config", "hidden_act", "gelu", "only 'silu' is supported"),
    ],
)
def test_numbers_must_go_together(tmp_path: Path, section: str, key: str, value: object, what: str) -> None:
    with pytest.raises(CheckpointError, match=what):
        read_config(write(tmp_path, change=lambda config: config[section].update({key: value})))


@pytest.mark.parametrize("names", [["LlamaForCausalLM"], [], None, "Qwen3VLForConditionalGeneration"])
def test_other_models_are_refused(tmp_path: Path, names: object) -> None:
    with pytest.raises(CheckpointError, match="architectures is .* Qwen3VLForConditionalGeneration"):
        read_config(write(tmp_path, change=lambda config: config.update(architectures=names)))


def test_absent_preprocessor_files_mean_the_family(tmp_path: Path) -> None:
    found = PreprocessorDefaults.read(tmp_path)
    assert found.image == ImageLimits(65536, 16777216, 32)
    assert found.video == VideoLimits(4096, 25165824, 2.0, 4, 768)
    assert found.mean == found.std == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    "pixels",
    [{"size": {"shortest_edge": 1024, "longest_edge": 4096}}, {"min_pixels": 1024, "max_pixels": 4096}],
)
@pytest.mark.parametrize("file", ["preprocessor_config.json", "processor_config.json"])
def test_pixel_limits_in_every_spelling(tmp_path: Path, pixels: dict, file: str) -> None:
    settings = {**pixels, "image_mean": [0.1, 0.2, 0.3]}
    whole = settings if file.startswith("pre") else {"image_processor": settings}
    (tmp_path / file).write_text(json.dumps(whole))
    video = {**pixels, "fps": 3, "min_frames": 2, "max_frames": 9}
    (tmp_path / "video_preprocessor_config.json").write_text(json.dumps(video))
    found = PreprocessorDefaults.read(tmp_path, 28)
    assert found.image == ImageLimits(1024, 4096, 28)
    assert found.video == VideoLimits(1024, 4096, 3.0, 2, 9, factor=28)
    assert found.mean == (0.1, 0.2, 0.3)


@pytest.mark.parametrize(
    ("file", "value", "what"),
    [
        ("preprocessor_config.json", {"min_pixels": 4096, "max_pixels": 2048}, "above its largest"),
        ("preprocessor_config.json", {"image_mean": [0.5, 0.5, 2]}, r"numbers in 0\.\.1"),
        ("preprocessor_config.json", {"image_std": [0.5, 0.5, 0]}, r"numbers in 0\.001\.\.1"),
        ("preprocessor_config.json", {"max_pixels": 1000}, "max_pixels is 1000, outside 1024"),
        ("preprocessor_config.json", {"patch_size": 14}, "patch_size × merge_size is 14 × 2 px"),
        ("preprocessor_config.json", {"temporal_patch_size": 1}, "2 is expected"),
        ("video_preprocessor_config.json", {"fps": 0}, "fps is 0, outside"),
        ("preprocessor_config.json", {"image_mean": [0.5]}, "1 channels instead of 3"),
        ("video_preprocessor_config.json", {"min_frames": 9, "max_frames": 5}, "more than max_frames"),
        ("video_preprocessor_config.json", {"fps": "2"}, "fps is '2'"),
    ],
)
def test_faulty_preprocessor_files(tmp_path: Path, file: str, value: dict, what: str) -> None:
    (tmp_path / file).write_text(json.dumps(value))
    with pytest.raises(CheckpointError, match=what):
        PreprocessorDefaults.read(tmp_path)


def test_sampling_defaults(tmp_path: Path) -> None:
    assert SamplingDefaults.read(tmp_path) == SamplingDefaults()
    path = tmp_path / "generation_config.json"
    path.write_text('{"do_sample": true, "temperature": 0.7, "top_k": 20, "top_p": 0.8, "eos_token_id": [1]}')
    assert SamplingDefaults.read(tmp_path) == SamplingDefaults(True, 0.7, 0.8, 20)
    path.write_text(
        '{"top_p": 0, "min_p": 2, "temperature": 101, "repetition_penalty": 0, "presence_penalty": -3}'
    )
    with pytest.raises(CheckpointError) as caught:
        SamplingDefaults.read(tmp_path)
    assert str(caught.value).count("outside") == 5
    path.write_text('{"eos_token_id": [1, -1], "pad_token_id": "x"}')
    with pytest.raises(CheckpointError, match=r"eos_token_id is \[1, -1\].*pad_token_id is 'x'"):
        SamplingDefaults.read(tmp_path)
    path.write_text('{"temperature": "warm", "top_k": -1}')
    with pytest.raises(CheckpointError, match=r"temperature is 'warm'.*; .*top_k is -1"):
        SamplingDefaults.read(tmp_path)
