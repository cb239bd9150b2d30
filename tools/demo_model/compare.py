"""The demo model in several types on the same samples: ``python -m tools.demo_model.compare``.

transformers, an F32 bundle and quantized bundles answer the held-out samples of `evaluate`; all but the
first through the package, from pixels to text.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image

from qwen3vl_edge.bundle import Bundle, find_bundles
from qwen3vl_edge.clips import Clip, Footage, clip_of, plan_clip
from qwen3vl_edge.converters import Recipe, convert, plan_conversion
from qwen3vl_edge.demo import CHECKPOINT
from qwen3vl_edge.images import Picture, fit, flatten, resize
from qwen3vl_edge.messages import Content, Message
from qwen3vl_edge.quant.run import run_plan
from qwen3vl_edge.runtime.engine import Generated, GenerateOptions
from qwen3vl_edge.runtime.engine_settings import EngineSettings
from qwen3vl_edge.runtime.llama_engine import LlamaEngine
from qwen3vl_edge.sampling import GREEDY
from tools.demo_model import world
from tools.demo_model.evaluate import (
    MAX_NEW_TOKENS,
    AnswerFunction,
    TaskResult,
    evaluate,
    transformers_backend,
)
from tools.demo_model.questions import Part

_THREADS = 2
_TYPES = ("Q8_0", "Q6_K", "Q4_K_M", "Q3_K_M", "Q2_K")


def engine_backend(engine: LlamaEngine) -> AnswerFunction:
    """Answer greedily with an open bundle."""
    options = GenerateOptions(GREEDY, MAX_NEW_TOKENS)

    def answer(parts: Sequence[Part]) -> str:
        messages = [Message("user", tuple(_content(engine, part) for part in parts))]
        events = engine.generate(engine.info.template.parts(messages), options)
        return "".join(event.text for event in events if isinstance(event, Generated))

    return answer


def main() -> None:
    """Print the scores side by side."""
    torch.set_num_threads(_THREADS)
    columns = {"transformers, float32": evaluate(transformers_backend(CHECKPOINT))}
    with tempfile.TemporaryDirectory() as folder:
        exact = convert(CHECKPOINT, Path(folder) / "exact", type="f32", projector_type="f32")
        columns["F32, projector F32"] = _scores(exact)
        plan = plan_conversion(CHECKPOINT, Recipe(_TYPES, "Q8_0"))
        run_plan(plan, Path(folder) / "quantized")
        for wanted, bundle in zip(_TYPES, find_bundles(Path(folder) / "quantized"), strict=True):
            columns[f"{wanted}, projector Q8_0"] = _scores(bundle)
    print(_side_by_side(columns))


def _scores(bundle: Bundle) -> list[TaskResult]:
    with LlamaEngine(bundle, EngineSettings(n_threads=_THREADS)) as engine:
        return evaluate(engine_backend(engine))


def _content(engine: LlamaEngine, part: Part) -> Content:
    if isinstance(part, str):
        return part
    if isinstance(part, Image.Image):
        return Picture(fit(flatten(part), engine.info.image_limits), "sample")
    return _clip(engine, part)


def _clip(engine: LlamaEngine, clip: world.Clip) -> Clip:
    width, height = clip.frame_at(0).size
    plan = plan_clip(Footage(clip.n_frames, clip.fps, width, height), engine.info.video_limits)
    shown = {index: resize(clip.frame_at(index), plan.width, plan.height) for index in set(plan.indices)}
    return clip_of(plan, [shown[index] for index in plan.indices], "sample")


def _side_by_side(columns: dict[str, list[TaskResult]]) -> str:
    first = next(iter(columns.values()))
    rows = [
        f"| task | samples | required | {' | '.join(columns)} |",
        "|---|---|---|" + "---|" * len(columns),
    ]
    for index, result in enumerate(first):
        scores = " | ".join(f"{column[index].score:.3f}" for column in columns.values())
        required = "" if result.target is None else f"{result.target:.2f}"
        rows.append(f"| {result.task} | {result.n} | {required} | {scores} |")
    return "\n".join(rows)


if __name__ == "__main__":
    main()
