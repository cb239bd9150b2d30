"""What training minimises: the loss on the answers' words and the loss on what the picture tokens see."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tools.demo_model.data import Vision, Words
from tools.demo_model.model import Model
from tools.demo_model.sights import BACKGROUND, CLASSES, CONTEXT_CLASSES, ITEM_CLASSES, SCENE_CLASSES, UNCLEAR

BOX_WEIGHT, LENS_WEIGHT, CONTEXT_WEIGHT = 8.0, 0.3, 0.5
CONTEXT_LAYER = 2  # of the language model; below it, tokens have seen the words before them
# Motion, then hundreds and rest of each coordinate. The rest is finer than a patch shows well and with more
# weight adds mostly noise.
SEEN_WEIGHTS = (1.0, *(0.25, 0.05) * 4)
ITEM_SHARE = 0.75  # of a class loss, whose rest is background, however small the items are


@dataclass(frozen=True)
class Names:
    """Token ids of the words for colours and shapes."""

    colours: tuple[int, ...]
    shapes: tuple[int, ...]


class Probe(nn.Module):
    """Reads what the picture tokens see straight off them; teaches the tower, then is dropped."""

    def __init__(self, hidden_size: int, names: Names) -> None:
        super().__init__()
        self._names = names
        self.classes = nn.Linear(hidden_size, sum(CLASSES))
        self.box = nn.Linear(hidden_size, 4)
        self.context = nn.Linear(hidden_size, sum(CONTEXT_CLASSES))

    def context_loss(self, hidden: Tensor, target: Tensor) -> Tensor:
        """Loss of hidden states (n, hidden) of pictures' tokens against their context (n, columns)."""
        total = hidden.new_zeros((), dtype=torch.float32)
        for column, logits in enumerate(self.context(hidden).float().split(CONTEXT_CLASSES, dim=-1)):
            known = target[:, column] != UNCLEAR
            if known.any():
                total = total + nn.functional.cross_entropy(logits[known], target[known, column])
        return total

    def lens_loss(self, tokens: Tensor, embeddings: Tensor, target: Tensor) -> Tensor:
        """Loss of tokens (n, hidden) read as words: what is red should resemble the word red.

        It lets the language model find what a question names by resemblance.
        """
        seen = target[:, 0] > BACKGROUND
        normed = nn.functional.rms_norm(tokens[seen].float(), tokens.shape[-1:])
        total = normed.new_zeros(())
        for column, ids in enumerate((self._names.colours, self._names.shapes)):
            logits = normed @ embeddings[list(ids)].detach().float().T  # (seen, words)
            total = total + nn.functional.cross_entropy(logits, target[seen, column] - 1)
        return total

    def loss(self, tokens: Tensor, target: Tensor, box: Tensor) -> Tensor:
        """Loss of tokens (n, hidden) against classes (n, columns) and boxes (n, 4)."""
        seen = target[:, 0] > BACKGROUND
        total = BOX_WEIGHT * nn.functional.smooth_l1_loss(self.box(tokens[seen]).float(), box[seen], beta=0.1)
        for column, logits in enumerate(self.classes(tokens).float().split(CLASSES, dim=-1)):
            losses = nn.functional.cross_entropy(
                logits, target[:, column], ignore_index=UNCLEAR, reduction="none"
            )
            if column < len(ITEM_CLASSES):
                background = target[:, column] == BACKGROUND
                total = (
                    total + ITEM_SHARE * losses[seen].mean() + (1 - ITEM_SHARE) * losses[background].mean()
                )
            elif column < len(CLASSES) - len(SCENE_CLASSES):
                total = total + SEEN_WEIGHTS[column - len(ITEM_CLASSES)] * losses[seen].mean()
            else:
                total = total + losses.mean()
        return total


def scaled(patches: Tensor) -> Tensor:
    """uint8 -> -1..1: the family's rescaling and normalisation in one."""
    return patches.float() / 127.5 - 1


def seeing_loss(model: Model, probe: Probe, vision: Vision) -> Tensor:
    """Loss of the vision tower alone."""
    device = model.device
    seen = model.model.visual(scaled(vision.patches.to(device)), vision.grid.to(device))
    return probe.loss(seen.pooler_output, vision.classes.to(device), vision.box.to(device))


def saying_loss(
    model: Model, probe: Probe, words: Words, pictures: Vision | None, clips: Vision | None
) -> tuple[Tensor, Tensor]:
    """Loss on the answers' tokens, a mean per conversation and then over the batch, and the probe's loss."""
    seen: list[Tensor] = []
    early: list[Tensor] = []
    hooks = [
        model.model.visual.merger.register_forward_hook(lambda _m, _i, output: seen.append(output)),
        model.model.language_model.layers[CONTEXT_LAYER].register_forward_hook(
            lambda _m, _i, output: early.append(output)
        ),
    ]
    hidden = _hidden_states(model, words, pictures, clips)
    for hook in hooks:
        hook.remove()
    weight, target = words.weight[:, 1:].to(model.device), words.ids[:, 1:].to(model.device)
    counted = weight > 0
    logits = model.lm_head(hidden[:, :-1][counted]).float()  # (counted tokens, vocabulary)
    losses = nn.functional.cross_entropy(logits, target[counted], reduction="none")
    spoken = (losses * weight[counted]).sum() / len(words.ids)
    # The model encodes all pictures first and then all clips.
    shown = [vision for vision in (pictures, clips) if vision is not None]
    if not shown:
        return spoken, spoken.new_zeros(())
    classes, box = torch.cat([v.classes for v in shown]), torch.cat([v.box for v in shown])
    tokens = torch.cat(seen)
    sight = probe.loss(tokens, classes.to(model.device), box.to(model.device))
    sight = sight + LENS_WEIGHT * probe.lens_loss(
        tokens, model.get_input_embeddings().weight, classes.to(model.device)
    )
    context = words.context.to(model.device)
    of_pictures = (context != UNCLEAR).any(dim=-1)
    return spoken, sight + CONTEXT_WEIGHT * probe.context_loss(early[0][of_pictures], context[of_pictures])


def _hidden_states(model: Model, words: Words, pictures: Vision | None, clips: Vision | None) -> Tensor:
    """Last hidden states (B, L, hidden)."""
    inputs: dict[str, Tensor] = {}
    if pictures is not None:
        inputs |= {"pixel_values": scaled(pictures.patches.to(model.device)), "image_grid_thw": pictures.grid}
    if clips is not None:
        inputs |= {
            "pixel_values_videos": scaled(clips.patches.to(model.device)),
            "video_grid_thw": clips.grid,
        }
    inputs |= {"input_ids": words.ids, "attention_mask": words.mask, "mm_token_type_ids": words.types}
    on_device = {name: value.to(model.device) for name, value in inputs.items()}
    hidden: Tensor = model.model(**on_device, use_cache=False).last_hidden_state
    return hidden
