"""The oracle: Qwen3-VL as transformers 5.23 runs it on the CPU in float32, pixels by its PIL processor.

transformers' video processor needs torchvision, which has no CPU build for the pinned torch; its
patch layout (``video_processing_qwen3_vl.py``, ``patchify``) is written out in `_video_patches`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from tokenizers import Tokenizer
from transformers import AutoModelForImageTextToText
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.utils.chat_template_utils import render_jinja_template

from qwen3vl_edge.clips import Clip
from qwen3vl_edge.images import Picture
from qwen3vl_edge.messages import Message

PATCH, MERGE, TEMPORAL = 16, 2, 2


@dataclass(frozen=True)
class ReferencePrompt:
    """What the reference model is given; arrays as transformers' processor would make them."""

    text: str
    """The template's own rendering, every vision triple expanded to its pads."""
    inputs: dict[str, torch.Tensor]


class Reference:
    """A checkpoint opened by transformers."""

    def __init__(self, folder: Path) -> None:
        self.template = (folder / "chat_template.jinja").read_text(encoding="utf-8")
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._pixels = Qwen2VLImageProcessorPil.from_pretrained(folder)
        self.model = AutoModelForImageTextToText.from_pretrained(
            folder, dtype=torch.float32, attn_implementation="eager"
        ).eval()

    def prompt(self, messages: Sequence[Message], *, add_vision_id: bool = False) -> ReferencePrompt:
        """Render, expand, tokenize and patchify `messages` as transformers does."""
        text = render(self.template, messages, add_vision_id=add_vision_id)
        patches: dict[str, list[NDArray[np.float32]]] = {"image": [], "video": []}
        grids: dict[str, list[tuple[int, int, int]]] = {"image": [], "video": []}
        for item in (item for message in messages for item in message.content):
            if isinstance(item, Picture):
                # fitted already; tests/parity/test_pixels.py compares the fitting itself
                made = self._pixels(Image.fromarray(item.pixels), do_resize=False, return_tensors="np")
                patches["image"].append(made["pixel_values"])
                grids["image"].append(tuple(int(n) for n in made["image_grid_thw"][0]))
            elif isinstance(item, Clip):
                patches["video"].append(_video_patches(item))
                grids["video"].append((len(item.pairs), item.plan.height // PATCH, item.plan.width // PATCH))
        text = expand(text, messages)
        ids = torch.tensor([self._tokenizer.encode(text, add_special_tokens=False).ids])
        config = self.model.config
        kinds = (ids == config.image_token_id).long() + 2 * (ids == config.video_token_id).long()
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "mm_token_type_ids": kinds}
        for kind, name in (("image", "pixel_values"), ("video", "pixel_values_videos")):
            if patches[kind]:
                inputs[name] = torch.from_numpy(np.concatenate(patches[kind]))
                inputs[f"{kind}_grid_thw"] = torch.tensor(grids[kind])
        return ReferencePrompt(text, inputs)

    @torch.no_grad()
    def next_logits(self, prompt: ReferencePrompt) -> NDArray[np.float32]:
        """Give the logits after the prompt, shape (vocab_size,)."""
        logits: torch.Tensor = self.model(**prompt.inputs, logits_to_keep=1).logits
        return logits[0, -1].numpy()

    @torch.no_grad()
    def greedy(self, prompt: ReferencePrompt, n_tokens: int) -> list[int]:
        """Continue the prompt greedily; gives the new token ids."""
        made = self.model.generate(**prompt.inputs, max_new_tokens=n_tokens, do_sample=False)
        return [int(token) for token in made[0, prompt.inputs["input_ids"].shape[1] :]]


def render(template: str, messages: Sequence[Message], *, add_vision_id: bool = False) -> str:
    """Render with transformers' own Jinja."""
    rendered, _ = render_jinja_template(
        conversations=[[_as_template_message(message) for message in messages]],
        chat_template=template,
        add_generation_prompt=True,
        add_vision_id=add_vision_id,
    )
    return str(rendered[0])


def expand(text: str, messages: Sequence[Message]) -> str:
    """Replace each vision triple by what ``Qwen3VLProcessor`` puts there."""
    for item in (item for message in messages for item in message.content):
        if isinstance(item, Picture):
            height, width, _ = item.pixels.shape
            pads = "<|image_pad|>" * _n_tokens(height, width)
            text = text.replace("<|vision_start|><|image_pad|><|vision_end|>", f"\0{pads}\1", 1)
        elif isinstance(item, Clip):
            pads = "<|video_pad|>" * _n_tokens(item.plan.height, item.plan.width)
            moments = "".join(f"<{stamp:.1f} seconds>\0{pads}\1" for stamp in item.plan.stamps_s)
            text = text.replace("<|vision_start|><|video_pad|><|vision_end|>", moments, 1)
    return text.replace("\0", "<|vision_start|>").replace("\1", "<|vision_end|>")


def _as_template_message(message: Message) -> dict[str, object]:
    kinds = {Picture: "image", Clip: "video"}
    content = [
        {"type": "text", "text": item} if isinstance(item, str) else {"type": kinds[type(item)]}
        for item in message.content
    ]
    return {"role": message.role, "content": content}


def _n_tokens(height: int, width: int) -> int:
    return (height // (PATCH * MERGE)) * (width // (PATCH * MERGE))


def _video_patches(clip: Clip) -> NDArray[np.float32]:
    """Give a clip's patches, shape (pairs · grid_h · grid_w, 3 · 2 · 16 · 16), normalised to ±1."""
    frames = np.stack([frame for pair in clip.pairs for frame in pair]).astype(np.float32)
    values = (frames / np.float32(255) - np.float32(0.5)) / np.float32(0.5)
    n_frames, height, width, channels = values.shape
    grid_t, grid_h, grid_w = n_frames // TEMPORAL, height // PATCH, width // PATCH
    values = values.transpose(0, 3, 1, 2).reshape(
        grid_t, TEMPORAL, channels, grid_h // MERGE, MERGE, PATCH, grid_w // MERGE, MERGE, PATCH
    )
    # (t, gh, gw, mh, mw, C, tp, ph, pw)
    ordered = values.transpose(0, 3, 6, 4, 7, 2, 1, 5, 8)
    return ordered.reshape(grid_t * grid_h * grid_w, channels * TEMPORAL * PATCH * PATCH)
