"""Batches for training: a pure function of stage, seed and index, made ahead in a worker process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from tools.demo_model.clips import appearing_clip, moving_clip
from tools.demo_model.encode import Encoded, Encoder, sampled_patches
from tools.demo_model.pixels import Patches, image_patches
from tools.demo_model.questions import (
    Sample,
    ask_appearance,
    ask_in_turns,
    ask_motion,
    ask_small_talk,
    ask_which,
    picture_turns,
    sample_picture,
)
from tools.demo_model.sights import CONTEXT_CLASSES, UNCLEAR, Sight, clip_sight, joined, picture_sight
from tools.demo_model.world import training_rng

BATCH_SIZE = 16
BATCHES_PER_POOL = 4  # A pool is sorted by length before it is cut, so that little is padded.
SYSTEM_PROMPT = "You are a helpful assistant."
FOLLOW_UP_SHARE = 0.6
BARE_CLIP_SHARE = 0.15


@dataclass(frozen=True)
class Stage:
    """One step of the curriculum.

    ``kinds`` weighs the kinds of conversation, ``n_items`` the pictures of one, two, ... shapes and
    ``tasks`` the ``n_questions`` asked about a picture, all of ``one_task`` where one answer would give
    away the next. A stage without kinds trains the vision tower alone.
    """

    name: str
    n_steps: int
    n_items: tuple[float, ...]
    kinds: dict[str, float]
    tasks: dict[str, float]
    n_questions: int = 4
    one_task: bool = False


@dataclass(frozen=True)
class Words:
    """B conversations of up to L tokens, padded on the right: (B, L), context (B, L, columns)."""

    ids: Tensor
    mask: Tensor
    types: Tensor
    weight: Tensor
    context: Tensor


@dataclass(frozen=True)
class Vision:
    """Pictures or clips in a row: patches (N, 1536) uint8, grids (pictures, 3) and what N/4 tokens see."""

    patches: Tensor
    grid: Tensor
    classes: Tensor
    box: Tensor


@dataclass(frozen=True)
class Batch:
    """Sixteen samples; without words they are bare pictures and clips, all under ``pictures``."""

    words: Words | None
    pictures: Vision | None
    clips: Vision | None


class Pools(Dataset[list[Batch]]):
    """Item ``i`` is pool ``i`` of a stage: ``BATCHES_PER_POOL`` batches of similar lengths."""

    def __init__(self, stage: Stage, stage_index: int, seed: int, encoder: Encoder) -> None:
        self._stage, self._stage_index, self._seed, self._encoder = stage, stage_index, seed, encoder

    def __len__(self) -> int:
        return self._stage.n_steps // BATCHES_PER_POOL

    def __getitem__(self, index: int) -> list[Batch]:
        n = BATCH_SIZE * BATCHES_PER_POOL
        first = ((self._seed * 64 + self._stage_index) << 24) + index * n
        starts = range(0, n, BATCH_SIZE)
        if not self._stage.kinds:
            return [bare_pictures(self._stage, range(first + at, first + at + BATCH_SIZE)) for at in starts]
        samples = (sample_conversation(self._stage, seed) for seed in range(first, first + n))
        encoded = sorted(map(self._encoder.encode, samples), key=lambda one: len(one.ids))
        batches = [collate(self._encoder, encoded[at : at + BATCH_SIZE]) for at in starts]
        return [batches[k] for k in training_rng(first).permutation(len(batches))]


def bare_pictures(stage: Stage, seeds: Sequence[int]) -> Batch:
    """Draw pictures and a few clips without a word about them."""
    patches: list[Patches] = []
    sights: list[Sight] = []
    for seed in seeds:
        rng = training_rng(seed)
        if rng.random() < BARE_CLIP_SHARE:
            clip = (moving_clip if rng.random() < 0.6 else appearing_clip)(rng)[0]
            patches.append(sampled_patches(clip))
            sights.append(clip_sight(clip, patches[-1]))
        else:
            scene = sample_picture(rng, _n_items(rng, stage))
            patches.append(image_patches(scene.draw()))
            sights.append(picture_sight(scene, patches[-1]))
    return Batch(None, _vision(patches, sights), None)


def sample_conversation(stage: Stage, seed: int) -> Sample:
    """Sample training conversation number ``seed`` of a stage."""
    rng = training_rng(seed)
    sample = _CONVERSATIONS[_draw(rng, stage.kinds)](rng, stage)
    return replace(sample, system=SYSTEM_PROMPT if rng.random() < 0.1 else None)


def _picture(rng: np.random.Generator, stage: Stage) -> Sample:
    scene = sample_picture(rng, _n_items(rng, stage))
    tasks = [_draw(rng, stage.tasks) for _ in range(1 if stage.one_task else stage.n_questions)]
    tasks *= stage.n_questions // len(tasks)
    # Every scene has a caption, so no conversation is left without a turn.
    turns = picture_turns(rng, scene, tasks) or picture_turns(rng, scene, ["caption"])
    return Sample("picture", turns, (scene,))


_CONVERSATIONS: dict[str, Callable[[np.random.Generator, Stage], Sample]] = {
    "picture": _picture,
    "which_image": lambda rng, _: ask_which(rng),
    "in_turns": lambda rng, stage: ask_in_turns(rng, list(stage.tasks)),
    "motion": lambda rng, _: ask_motion(rng, follow_up=rng.random() < FOLLOW_UP_SHARE),
    "appearance": lambda rng, _: ask_appearance(rng, follow_up=rng.random() < FOLLOW_UP_SHARE),
    "small_talk": lambda rng, _: ask_small_talk(rng),
}


def _draw(rng: np.random.Generator, weights: dict[str, float]) -> str:
    return str(rng.choice(list(weights), p=np.array(list(weights.values())) / sum(weights.values())))


def _n_items(rng: np.random.Generator, stage: Stage) -> int:
    weights = np.array(stage.n_items)
    return 1 + int(rng.choice(len(weights), p=weights / weights.sum()))


def collate(encoder: Encoder, samples: Sequence[Encoded]) -> Batch:
    """Stack conversations into one batch."""
    shape = len(samples), max(len(sample.ids) for sample in samples)
    ids = np.full(shape, encoder.padding)
    mask, weight = np.zeros(shape, np.int64), np.zeros(shape, np.float32)
    context = np.full((*shape, len(CONTEXT_CLASSES)), UNCLEAR)
    for row, sample in enumerate(samples):
        ids[row, : len(sample.ids)] = sample.ids
        mask[row, : len(sample.ids)] = 1
        weight[row, : len(sample.ids)] = sample.weight
        context[row, : len(sample.ids)] = sample.context
    words = Words(*map(torch.from_numpy, (ids, mask, encoder.token_types(ids), weight, context)))
    pictures = _vision([p for s in samples for p in s.images], [p for s in samples for p in s.image_sights])
    clips = _vision([c for s in samples for c in s.clips], [c for s in samples for c in s.clip_sights])
    return Batch(words, pictures, clips)


def _vision(patches: Sequence[Patches], sights: Sequence[Sight]) -> Vision | None:
    if not patches:
        return None
    values = torch.from_numpy(np.concatenate([one.values for one in patches]))
    seen = joined(sights)
    grid = torch.tensor([one.grid for one in patches])
    return Vision(values, grid, torch.from_numpy(seen.classes), torch.from_numpy(seen.box))
