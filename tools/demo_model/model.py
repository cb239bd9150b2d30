"""Architecture, initial weights and files of the demo checkpoint."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, TypeAlias

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import nn
from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

from tools.demo_model import pixels
from tools.demo_model.tokenizer import MODEL_MAX_LENGTH, TEMPLATE, save_tokenizer, token_id

# transformers' model classes are typed too loosely for their own methods to pass.
Model: TypeAlias = Any

VOCAB_SIZE = 512
DEFAULT_OUT = Path(__file__).parents[2] / "qwen3vl_edge" / "demo" / "checkpoint"
DTYPE = "bfloat16"


def checkpoint_config(tokenizer: Tokenizer) -> dict[str, Any]:
    """config.json as the published checkpoints spell it."""
    ids = {name: token_id(tokenizer, f"<|{name}|>") for name in _NAMED_TOKENS}
    return {
        "architectures": ["Qwen3VLForConditionalGeneration"],
        "image_token_id": ids["image_pad"],
        "model_type": "qwen3_vl",
        "text_config": _text_config(bos=ids["endoftext"], eos=ids["im_end"]),
        "tie_word_embeddings": True,
        "transformers_version": "4.57.0",
        "video_token_id": ids["video_pad"],
        "vision_config": _vision_config(),
        "vision_end_token_id": ids["vision_end"],
        "vision_start_token_id": ids["vision_start"],
    }


_NAMED_TOKENS = ("endoftext", "im_end", "image_pad", "video_pad", "vision_start", "vision_end")


def _text_config(*, bos: int, eos: int) -> dict[str, Any]:
    # Rows of 256 and 768 are multiples of 256, so every K-quant applies.
    return {
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": bos,
        "dtype": DTYPE,
        "eos_token_id": eos,
        "head_dim": 64,
        "hidden_act": "silu",
        "hidden_size": 256,
        "initializer_range": 0.02,
        "intermediate_size": 768,
        "max_position_embeddings": MODEL_MAX_LENGTH,
        "model_type": "qwen3_vl_text",
        "num_attention_heads": 4,
        "num_hidden_layers": 5,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-06,
        "rope_scaling": {"mrope_interleaved": True, "mrope_section": [12, 10, 10], "rope_type": "default"},
        "rope_theta": 10000,
        "tie_word_embeddings": True,
        "use_cache": True,
        "vocab_size": VOCAB_SIZE,
    }


def _vision_config() -> dict[str, Any]:
    # 464 = 16 mod 32, like the 4304 of the family's large vision tower: no block quantization fits such rows.
    return {
        "deepstack_visual_indexes": [1, 3, 4],
        "depth": 6,
        "hidden_act": "gelu_pytorch_tanh",
        "hidden_size": 128,
        "in_channels": 3,
        "initializer_range": 0.02,
        "intermediate_size": 464,
        "model_type": "qwen3_vl",
        "num_heads": 2,
        "num_position_embeddings": 256,
        "out_hidden_size": 256,
        "patch_size": pixels.PATCH_PX,
        "spatial_merge_size": pixels.MERGE,
        "temporal_patch_size": pixels.TEMPORAL_PATCH,
    }


def _generation_config(config: dict[str, Any]) -> dict[str, Any]:
    text = config["text_config"]
    return {
        "bos_token_id": text["bos_token_id"],
        "do_sample": True,
        "eos_token_id": [text["eos_token_id"], text["bos_token_id"]],
        "pad_token_id": text["bos_token_id"],
        "repetition_penalty": 1.0,
        "temperature": 0.7,
        "top_k": 20,
        "top_p": 0.8,
        "transformers_version": config["transformers_version"],
    }


def _processor_config(kind: str, min_pixels: int, max_pixels: int) -> dict[str, Any]:
    return {
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        f"{kind}_processor_type": {"image": "Qwen2VLImageProcessorFast", "video": "Qwen3VLVideoProcessor"}[
            kind
        ],
        "merge_size": pixels.MERGE,
        "patch_size": pixels.PATCH_PX,
        "processor_class": "Qwen3VLProcessor",
        "size": {"longest_edge": max_pixels, "shortest_edge": min_pixels},
        "temporal_patch_size": pixels.TEMPORAL_PATCH,
    }


def new_model(config: dict[str, Any], seed: int) -> Model:
    """Make a float32 model whose signals neither fade nor grow with depth at the start."""
    torch.manual_seed(seed)
    model: Any = Qwen3VLForConditionalGeneration(Qwen3VLConfig(**_loadable(config)))
    model.float()
    n_residual = {
        "visual": 2 * config["vision_config"]["depth"],
        "text": 2 * config["text_config"]["num_hidden_layers"],
    }
    with torch.no_grad():
        for name, module in model.named_modules():
            if isinstance(module, nn.Linear) and name != "lm_head":
                gain = 1.0
                if ".blocks." in name and name.endswith(("attn.proj", "linear_fc2")):
                    gain = n_residual["visual"] ** -0.5
                if ".layers." in name and name.endswith(("o_proj", "down_proj")):
                    gain = n_residual["text"] ** -0.5
                module.weight.normal_(0, gain / math.sqrt(module.in_features))
        model.model.visual.pos_embed.weight.normal_(0, 0.2)
        model.model.language_model.embed_tokens.weight.normal_(0, 0.05)
    return model


def _loadable(config: dict[str, Any]) -> dict[str, Any]:
    """Copy deeply, since transformers edits nested dictionaries in place."""
    copied: dict[str, Any] = json.loads(json.dumps(config))
    return copied


def save_checkpoint(model: Model, tokenizer: Tokenizer, folder: Path) -> None:
    """Write a complete Hugging Face checkpoint, weights rounded to bf16."""
    folder.mkdir(parents=True, exist_ok=True)
    config = checkpoint_config(tokenizer)
    _write_json(folder / "config.json", config)
    _write_json(folder / "generation_config.json", _generation_config(config))
    image = _processor_config("image", pixels.IMAGE_MIN_PIXELS, pixels.IMAGE_MAX_PIXELS)
    _write_json(folder / "preprocessor_config.json", image)
    video = _processor_config("video", pixels.CLIP_MIN_PIXELS, pixels.CLIP_MAX_PIXELS)
    _write_json(folder / "video_preprocessor_config.json", video)
    save_tokenizer(tokenizer, folder)
    (folder / "chat_template.jinja").write_bytes(TEMPLATE.read_bytes())
    tensors = {
        k: v.to(torch.bfloat16).contiguous() for k, v in model.state_dict().items() if k != "lm_head.weight"
    }
    weights = folder / "model.safetensors"
    save_file(tensors, weights, metadata={"format": "pt"})
    weights.chmod(0o644)  # safetensors leaves it to its owner alone


def load_checkpoint(folder: Path) -> Model:
    """Load a saved checkpoint; its rounded weights are computed with in float32."""
    model: Any = Qwen3VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    return model.eval()


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
