"""Samples -> token ids, patches and training targets, all as numpy arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerFast

from tools.demo_model.pixels import Patches, clip_patches, frame_indices, image_patches, stamps
from tools.demo_model.questions import Part, Sample, Turn
from tools.demo_model.sights import CONTEXT_CLASSES, UNCLEAR, Floats, Ints, Sight, clip_sight, picture_sight
from tools.demo_model.world import Clip

IMAGE_PAD, VIDEO_PAD = "<|image_pad|>", "<|video_pad|>"
VISION_START, VISION_END = "<|vision_start|>", "<|vision_end|>"
DIGIT_EMPHASIS = 4  # Digits carry what boxes and times say; the words around them are always the same.
TEXT_TYPE, IMAGE_TYPE, VIDEO_TYPE = 0, 1, 2


@dataclass(frozen=True)
class Encoded:
    """One conversation of L tokens; ``weight`` (L,) is what predicting each token counts in the loss.

    Sights are known for samples of this world. ``context`` (L, 3) is what a picture token can know from
    the words before it: which picture it belongs to, and the seconds and tenths of its pair's stamp.
    """

    ids: Ints
    weight: Floats
    images: tuple[Patches, ...]
    clips: tuple[Patches, ...]
    context: Ints
    image_sights: tuple[Sight, ...] = ()
    clip_sights: tuple[Sight, ...] = ()


class Encoder:
    """Turns conversations into arrays by the rules of the reference processor."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self._tokenizer = tokenizer
        self._answer_start: list[int] = self._ids_of("<|im_start|>assistant\n")
        self._answer_end: int = self._ids_of("<|im_end|>")[0]
        self._digits = self._ids_of("0123456789")
        self.image_pad: int = self._ids_of(IMAGE_PAD)[0]
        self.video_pad: int = self._ids_of(VIDEO_PAD)[0]
        self.padding: int = self._ids_of("<|endoftext|>")[0]

    def encode(self, sample: Sample) -> Encoded:
        """Encode a whole conversation, answers included."""
        ids, images, clips = self._encode(sample.system, sample.turns, open_answer=False)
        shown = [part for turn in sample.turns for part in turn.parts if isinstance(part, Clip)]
        stills = [picture_sight(*pair) for pair in zip(sample.scenes, images, strict=True)]
        moving = [clip_sight(*pair) for pair in zip(shown, clips, strict=True)]
        times = [_stamps(clip) for clip in shown]
        context = self._context(ids, [one.n_tokens for one in images], times)
        return Encoded(ids, self._weights(ids), images, clips, context, tuple(stills), tuple(moving))

    def prompt(self, system: str | None, parts: Sequence[Part]) -> Encoded:
        """Encode one user turn, ready for the model to answer."""
        ids, images, clips = self._encode(system, (Turn(tuple(parts), ""),), open_answer=True)
        return Encoded(ids, np.zeros(len(ids), np.float32), images, clips, np.empty((0, 3), np.int64))

    def decode(self, ids: Sequence[int]) -> str:
        """Text of an answer, without special tokens."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))

    def token_types(self, ids: Ints) -> Ints:
        """0 for text, 1 for image pads, 2 for video pads."""
        return np.where(
            ids == self.image_pad, IMAGE_TYPE, np.where(ids == self.video_pad, VIDEO_TYPE, TEXT_TYPE)
        )

    def _encode(
        self, system: str | None, turns: Sequence[Turn], *, open_answer: bool
    ) -> tuple[Ints, tuple[Patches, ...], tuple[Patches, ...]]:
        pictures = [part for turn in turns for part in turn.parts if not isinstance(part, str)]
        cut = [
            (sampled_patches(part), _stamps(part)) if isinstance(part, Clip) else (image_patches(part), None)
            for part in pictures
        ]
        text = str(
            self._tokenizer.apply_chat_template(
                _messages(system, turns, with_answers=not open_answer),
                tokenize=False,
                add_generation_prompt=open_answer,
            )
        )
        ids = np.array(self._ids_of(_with_pads(text, cut)), np.int64)
        images = tuple(patches for patches, times in cut if times is None)
        clips = tuple(patches for patches, times in cut if times is not None)
        return ids, images, clips

    def _context(self, ids: Ints, n_tokens: Sequence[int], times: Sequence[Sequence[str]]) -> Ints:
        context = np.full((len(ids), len(CONTEXT_CLASSES)), UNCLEAR)
        order = np.repeat(np.arange(len(n_tokens)), n_tokens)
        context[ids == self.image_pad, 0] = np.minimum(order, CONTEXT_CLASSES[0] - 1)
        stamped = [(int(time[:-2]) % 10, int(time[-1])) for clip in times for time in clip]
        if stamped:
            n_pads = int((ids == self.video_pad).sum())
            context[ids == self.video_pad, 1:] = np.repeat(stamped, n_pads // len(stamped), axis=0)
        return context

    def _weights(self, ids: Ints) -> Floats:
        """Weigh tokens: each answer counts 1 / number of answers, shared among its tokens."""
        weight = np.zeros(len(ids), np.float32)
        n_start = len(self._answer_start)
        answers = [
            slice(at + n_start, at + n_start + int(np.argmax(ids[at + n_start :] == self._answer_end)) + 1)
            for at in np.flatnonzero(ids == self._answer_start[0])
            if ids[at : at + n_start].tolist() == self._answer_start
        ]
        for answer in answers:
            emphasis = np.where(np.isin(ids[answer], self._digits), DIGIT_EMPHASIS, 1)
            weight[answer] = emphasis / emphasis.sum() / len(answers)
        return weight

    def _ids_of(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])


def sampled_patches(clip: Clip) -> Patches:
    """Patches of the frames that the reference looks at."""
    return clip_patches([clip.frame_at(index) for index in frame_indices(clip.n_frames, clip.fps)])


def _stamps(clip: Clip) -> list[str]:
    return stamps(frame_indices(clip.n_frames, clip.fps), clip.fps)


def _messages(system: str | None, turns: Sequence[Turn], *, with_answers: bool) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = [] if system is None else [{"role": "system", "content": system}]
    for turn in turns:
        messages.append({"role": "user", "content": [_content(part) for part in turn.parts]})
        if with_answers:
            messages.append({"role": "assistant", "content": turn.answer})
    return messages


def _content(part: Part) -> dict[str, str]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    return {"type": "video" if isinstance(part, Clip) else "image"}


def _with_pads(text: str, cut: Sequence[tuple[Patches, list[str] | None]]) -> str:
    """Replace the template's placeholders, in order, by as many pads as there are tokens to see."""
    pieces: list[str] = []
    rest = text
    for patches, times in cut:
        pad = IMAGE_PAD if times is None else VIDEO_PAD
        before, _, rest = rest.partition(f"{VISION_START}{pad}{VISION_END}")
        pieces += [before, _picture_text(patches.n_tokens) if times is None else _clip_text(patches, times)]
    return "".join([*pieces, rest])


def _picture_text(n_tokens: int) -> str:
    return VISION_START + IMAGE_PAD * n_tokens + VISION_END


def _clip_text(patches: Patches, times: Sequence[str]) -> str:
    n_tokens = patches.n_tokens // len(times)
    return "".join(f"<{time} seconds>{VISION_START}{VIDEO_PAD * n_tokens}{VISION_END}" for time in times)
