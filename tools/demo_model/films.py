"""The demo model on clips from real files: ``python -m tools.demo_model.films [N]``.

N fresh clips (default 200), half of them asked for a direction of motion and half for a time of appearance,
are written by OpenCV as mp4, webm and avi. transformers sees the frames of each as OpenCV decodes them from
first to last, sampled by the training's own code; F16 and Q8_0 bundles answer from the paths alone.
"""

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from qwen3vl_edge.bundle import Bundle
from qwen3vl_edge.converters import convert
from qwen3vl_edge.demo import CHECKPOINT
from qwen3vl_edge.messages import Content, Message
from qwen3vl_edge.runtime.engine import Generated, GenerateOptions
from qwen3vl_edge.runtime.engine_settings import EngineSettings
from qwen3vl_edge.runtime.llama_engine import LlamaEngine
from qwen3vl_edge.sampling import GREEDY
from qwen3vl_edge.video import load_clip
from tools.demo_model.evaluate import (
    MAX_NEW_TOKENS,
    AnswerFunction,
    TaskResult,
    judge,
    summarise,
    transformers_backend,
)
from tools.demo_model.questions import Part, Sample, ask_appearance, ask_motion
from tools.demo_model.world import Clip, held_out_rng

_TASKS = {"motion": ask_motion, "appearance": ask_appearance}
_CONTAINERS = {".mp4": "mp4v", ".webm": "VP80", ".avi": "MJPG"}
_FIRST = 500_000_000  # of the held-out seeds; the evaluation takes those before
_THREADS = 2


def main(n_clips: int = 200) -> None:
    """Print the scores side by side."""
    torch.set_num_threads(_THREADS)
    with tempfile.TemporaryDirectory() as folder:
        samples, paths = _films(Path(folder), n_clips)
        columns = {"transformers, float32": _scores(samples, transformers_backend(CHECKPOINT))}
        for kind, projector in (("f16", "f16"), ("q8_0", "q8_0")):
            bundle = convert(CHECKPOINT, Path(folder) / kind, type=kind, projector_type=projector)
            columns[f"{kind}, projector {projector}"] = _bundle_scores(bundle, samples, paths)
    for name, results in columns.items():
        print(f"{name:24}", "  ".join(f"{row.task} {row.score:.3f} of {row.n}" for row in results))


def _films(folder: Path, n_clips: int) -> tuple[list[Sample], dict[int, Path]]:
    """Write the clips; gives the samples, with clips as their files have them, and the files by clip."""
    samples, paths = [], {}
    for number, task in zip(range(n_clips), (task for _ in count() for task in _TASKS), strict=False):
        sample = _TASKS[task](held_out_rng(_FIRST + number))
        turn = sample.turns[0]
        drawn = next(part for part in turn.parts if isinstance(part, Clip))
        suffix = list(_CONTAINERS)[number // len(_TASKS) % len(_CONTAINERS)]
        path = folder / f"{number}{suffix}"
        decoded = _written(drawn, path)
        paths[id(decoded)] = path
        parts = tuple(decoded if isinstance(part, Clip) else part for part in turn.parts)
        samples.append(Sample(sample.task, (replace(turn, parts=parts),)))
    return samples, paths


def _written(clip: Clip, path: Path) -> Clip:
    """Write a clip, and give what decoding the file from first to last brings back."""
    width, height = (side // 2 * 2 for side in clip.frame_at(0).size)  # codecs take even sides
    code = cv2.VideoWriter.fourcc(*_CONTAINERS[path.suffix])
    writer = cv2.VideoWriter(str(path), code, clip.fps, (width, height))
    for frame in clip.frames():
        writer.write(np.ascontiguousarray(np.asarray(frame)[:height, :width, ::-1]))
    writer.release()
    capture = cv2.VideoCapture(str(path))
    frames = []
    while (read := capture.read())[0]:
        frames.append(Image.fromarray(np.ascontiguousarray(read[1][:, :, ::-1])))
    return Clip(clip.fps, len(frames), frames.__getitem__)


def _scores(samples: Sequence[Sample], answer: AnswerFunction) -> list[TaskResult]:
    return summarise(list(judge(iter(samples), answer)), list(_TASKS))


def _bundle_scores(bundle: Bundle, samples: Sequence[Sample], paths: dict[int, Path]) -> list[TaskResult]:
    with LlamaEngine(bundle, EngineSettings(n_threads=_THREADS)) as engine:
        options = GenerateOptions(GREEDY, MAX_NEW_TOKENS)

        def answer(parts: Sequence[Part]) -> str:
            content = tuple(_content(engine, part, paths) for part in parts)
            events = engine.generate(engine.info.template.parts([Message("user", content)]), options)
            return "".join(event.text for event in events if isinstance(event, Generated))

        return _scores(samples, answer)


def _content(engine: LlamaEngine, part: Part, paths: dict[int, Path]) -> Content:
    if isinstance(part, Clip):
        return load_clip(paths[id(part)], engine.info.video_limits)
    if isinstance(part, Image.Image):
        raise TypeError("these samples have no pictures")
    return part


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
