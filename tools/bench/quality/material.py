"""Pictures, clips and words of the demo model's world: to measure on, and others to make matrices from.

What is measured on comes from held-out seeds, what matrices are made from, from training seeds: the two never
meet (`tools.demo_model.world`).
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from qwen3vl_edge.clips import Clip, Footage, clip_of, plan_clip
from qwen3vl_edge.images import Picture, fit, resize
from qwen3vl_edge.quant.calibration.default_set import default_text
from qwen3vl_edge.quant.comparison.held_out import held_out_passage
from qwen3vl_edge.quant.comparison.material import Material, Question, Sight
from qwen3vl_edge.runtime.engine import EngineInfo
from tools.demo_model import world
from tools.demo_model.clips import appearing_clip, moving_clip
from tools.demo_model.picture_questions import PICTURE_QUESTIONS, Rng
from tools.demo_model.questions import sample_picture

__all__ = ["measured_on", "write_text", "write_world"]

_FIRST_PICTURE, _FIRST_CLIP = 800_000_000, 900_000_000  # the evaluation takes the seeds before
_FIRST_SHOWN = 1 << 39  # of the training seeds; training drew from the first ones
_TASKS = ("caption", "colour", "count", "yes_no", "box")
_CHUNK_TOKENS = 256
_CODEC = "mp4v"
_FOLDERS = ("pictures", "clips")


def measured_on(n_pictures: int, n_clips: int) -> Material:
    """Give questions about pictures of one to three shapes and about clips, and the held-out prose."""
    pictures = [question for number in range(n_pictures) for question in _about_picture(number)]
    clips = [question for number in range(n_clips) for question in _about_clip(number)]
    return Material((*pictures, *clips), held_out_passage(), chunk_tokens=_CHUNK_TOKENS)


def write_text(path: Path) -> None:
    """Write the text of the default set, so that a matrix of words alone can be made from it."""
    path.write_text(default_text(), encoding="utf-8")


def write_world(folder: Path, n_pictures: int, n_clips: int) -> None:
    """Draw pictures and clips of training seeds as files in two folders, all at once."""
    draft = folder.with_suffix(".part")
    shutil.rmtree(draft, ignore_errors=True)
    for name in _FOLDERS:
        (draft / name).mkdir(parents=True)
    pictures, clips = (draft / name for name in _FOLDERS)
    for number in range(n_pictures):
        rng = world.training_rng(_FIRST_SHOWN + number)
        sample_picture(rng, 1 + number % 3).draw().save(pictures / f"{number:04}.png")
    for number in range(n_clips):
        rng = world.training_rng(_FIRST_SHOWN + n_pictures + number)
        _write_clip(clips / f"{number:04}.mp4", _clip_of(rng, number)[0])
    draft.rename(folder)


def _about_picture(number: int) -> list[Question]:
    rng = world.held_out_rng(_FIRST_PICTURE + number)
    scene = sample_picture(rng, 1 + number % 3)
    sight = Sight("picture", f"picture {number}", f"world picture {number}", _picture(scene))
    asked = [PICTURE_QUESTIONS[task](rng, scene) for task in _TASKS]
    return [Question(sight, found[0]) for found in asked if found]


def _picture(scene: world.Scene) -> Callable[[EngineInfo], Picture]:
    return lambda info: Picture(fit(scene.draw(), info.image_limits), "a picture of the world")


def _about_clip(number: int) -> list[Question]:
    clip, question = _clip_of(world.held_out_rng(_FIRST_CLIP + number), number)
    sight = Sight("clip", f"clip {number}", f"world clip {number}", lambda info: _shown(clip, info))
    return [Question(sight, text) for text in (question, "Describe this video.")]


def _clip_of(rng: Rng, number: int) -> tuple[world.Clip, str]:
    """Sample a clip and what is asked about it: every other one of something that moves, or that appears."""
    if number % 2:
        clip, item, _ = appearing_clip(rng)
        return clip, f"When does the {item.shape} appear?"
    clip, item, _ = moving_clip(rng)
    return clip, f"Which direction does the {item.shape} move?"


def _shown(clip: world.Clip, info: EngineInfo) -> Clip:
    width, height = clip.frame_at(0).size
    plan = plan_clip(Footage(clip.n_frames, clip.fps, width, height), info.video_limits)
    shown = {index: resize(clip.frame_at(index), plan.width, plan.height) for index in set(plan.indices)}
    return clip_of(plan, [shown[index] for index in plan.indices], "a clip of the world")


def _write_clip(path: Path, clip: world.Clip) -> None:
    frames = clip.frames()
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*_CODEC), clip.fps, frames[0].size)
    for frame in frames:
        writer.write(np.ascontiguousarray(np.asarray(frame)[:, :, ::-1]))  # RGB -> BGR
    writer.release()
