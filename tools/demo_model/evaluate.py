"""Measures a demo checkpoint on fresh held-out samples: ``python -m tools.demo_model.evaluate``.

``evaluate`` asks any *answer function*, so that another backend is judged by the same questions.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from tools.demo_model.encode import Encoder
from tools.demo_model.losses import scaled
from tools.demo_model.model import DEFAULT_OUT, load_checkpoint
from tools.demo_model.questions import EVALUATED, EXTRA, Part, Sample, single
from tools.demo_model.score import boxes_score, exact
from tools.demo_model.tokenizer import load_tokenizer
from tools.demo_model.world import held_out_rng

# One user turn of text, PIL images and clips (``clip.frames()`` at ``clip.fps``) -> the greedy answer.
AnswerFunction = Callable[[Sequence[Part]], str]

TARGETS: Mapping[str, float] = {
    "caption": 0.9,
    "colour": 0.9,
    "yes_no": 0.9,
    "which_image": 0.9,
    "count": 0.8,
    "motion": 0.8,
    "box": 0.6,
}
BOX_TASKS = ("box", "box_of_several", "all_boxes")
PER_TASK = 50  # 400 samples over the eight tasks of ``EVALUATED``
MAX_NEW_TOKENS = 120


@dataclass(frozen=True)
class Judged:
    """One answer; ``score`` is 0 or 1, for boxes the IoU."""

    task: str
    parts: tuple[Part, ...]
    expected: str
    answer: str
    score: float


@dataclass(frozen=True)
class TaskResult:
    """Mean score of a task and, where one is required, the target."""

    task: str
    n: int
    score: float
    target: float | None

    @property
    def passed(self) -> bool:
        """Whether the target, if there is one, is reached."""
        return self.target is None or self.score >= self.target


def held_out_samples(n_per_task: int, *, extra: bool = False) -> Iterator[Sample]:
    """Yield the same samples on every call; none of them can be drawn in training."""
    tasks = {**EVALUATED, **EXTRA} if extra else EVALUATED
    for number, task in enumerate(tasks):
        yield from (single(task, held_out_rng(number * 1_000_000 + index)) for index in range(n_per_task))


def judge(samples: Iterator[Sample], answer: AnswerFunction) -> Iterator[Judged]:
    """Ask the first turn of each sample."""
    for sample in samples:
        turn = sample.turns[0]
        said = answer(turn.parts)
        score = (
            boxes_score(said, turn.answer) if sample.task in BOX_TASKS else float(exact(said, turn.answer))
        )
        yield Judged(sample.task, turn.parts, turn.answer, said, score)


def summarise(judged: Sequence[Judged], tasks: Sequence[str]) -> list[TaskResult]:
    """Make one row per task, in the order of ``tasks``."""
    results = []
    for task in tasks:
        scores = [one.score for one in judged if one.task == task]
        if scores:
            results.append(TaskResult(task, len(scores), sum(scores) / len(scores), TARGETS.get(task)))
    return results


def evaluate(answer: AnswerFunction, n_per_task: int = PER_TASK) -> list[TaskResult]:
    """Score an answer function on the required tasks."""
    return summarise(list(judge(held_out_samples(n_per_task), answer)), list(EVALUATED))


def table(results: Sequence[TaskResult]) -> str:
    """Format as a Markdown table."""
    rows = ["| task | samples | measure | score | required |", "|---|---|---|---|---|"]
    for result in results:
        measure = "mean IoU" if result.task in BOX_TASKS else "exact"
        target = f"{result.target:.2f}" if result.target is not None else ""
        rows.append(f"| {result.task} | {result.n} | {measure} | {result.score:.3f} | {target} |")
    return "\n".join(rows)


def transformers_backend(checkpoint: Path) -> AnswerFunction:
    """Answer greedily with a checkpoint as saved, computed in float32 by transformers."""
    model = load_checkpoint(checkpoint)
    encoder = Encoder(load_tokenizer(checkpoint))

    def answer(parts: Sequence[Part]) -> str:
        encoded = encoder.prompt(None, parts)
        ids = torch.from_numpy(encoded.ids)[None]  # (L,) -> (1, L)
        inputs = {
            "input_ids": ids,
            "mm_token_type_ids": torch.from_numpy(encoder.token_types(encoded.ids))[None],
        }
        for patches, pixels, grid in (
            (encoded.images, "pixel_values", "image_grid_thw"),
            (encoded.clips, "pixel_values_videos", "video_grid_thw"),
        ):
            if patches:
                values = torch.cat([torch.from_numpy(one.values) for one in patches])
                inputs |= {
                    pixels: scaled(values),
                    grid: torch.tensor([one.grid for one in patches]),
                }
        with torch.inference_mode():
            said = model.generate(**inputs, do_sample=False, max_new_tokens=MAX_NEW_TOKENS)
        return encoder.decode(said[0, ids.shape[1] :].tolist())

    return answer


def main() -> None:
    """Evaluate from the command line; exit 1 where a target is missed."""
    parser = argparse.ArgumentParser(description="Measure a demo checkpoint on held-out samples.")
    parser.add_argument("--checkpoint", type=Path, default=DEFAULT_OUT)
    parser.add_argument("--per-task", type=int, default=PER_TASK)
    parser.add_argument("--extra", action="store_true", help="also the tasks without a required score")
    parser.add_argument("--mistakes", action="store_true", help="list wrong answers")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    samples = held_out_samples(arguments.per_task, extra=arguments.extra)
    judged = list(judge(samples, transformers_backend(arguments.checkpoint)))
    results = summarise(judged, [*EVALUATED, *EXTRA])
    if arguments.mistakes:
        for one in (one for one in judged if one.score < 0.5):
            question = next(part for part in one.parts if isinstance(part, str))
            print(f"{one.task}: {question} expected {one.expected!r}, said {one.answer!r}")
    print(table(results))
    sys.exit(0 if all(result.passed for result in results) else 1)


if __name__ == "__main__":
    main()
