"""Trains the demo model: ``python -m tools.demo_model.train [--out DIR] [--resume]``.

A run is a function of its seed alone, up to the rounding of its threads: batches are numbered, and the
state saved every few minutes holds model, optimizer and step, so that a resumed run goes on as it would have.
"""

from __future__ import annotations

import argparse
import logging
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, Subset

from tools.demo_model.data import BATCHES_PER_POOL, Batch, Pools, Stage
from tools.demo_model.encode import Encoder
from tools.demo_model.losses import Names, Probe, saying_loss, seeing_loss
from tools.demo_model.model import DEFAULT_OUT, Model, checkpoint_config, new_model, save_checkpoint
from tools.demo_model.tokenizer import TEMPLATE, demo_tokenizer, names_of, with_template

log = logging.getLogger(__name__)

DEFAULT_STATE = Path(__file__).parents[2] / "build" / "demo_model" / "state.pt"

# The tower learns to see before anything is said, and to look up what a question names before everything
# is asked at once: from nothing, the language model answers from the words alone for thousands of steps.
CURRICULUM = (
    Stage("see", 1600, (2, 2, 1.5, 1.5), {}, {}),
    Stage(
        "name", 200, (1,), {"picture": 1}, {"caption": 1, "colour": 1, "shape": 1, "yes_no": 0.5, "box": 1}
    ),
    Stage(
        "match",
        1300,
        (0.5, 3, 2, 1),
        {"picture": 1},
        {"colour": 4, "shape": 2, "yes_no": 1, "box": 3},
        n_questions=6,
        one_task=True,
    ),
    Stage(
        "locate",
        500,
        (3, 2, 0.5),
        {"picture": 3, "which_image": 4, "appearance": 0.7},
        {"box": 5, "colour": 1, "yes_no": 0.5},
        n_questions=6,
        one_task=True,
    ),
    Stage("pick", 300, (1,), {"which_image": 1}, {}),
    Stage(
        "tell",
        1600,
        (1.5, 2, 2, 1),
        {
            "picture": 5,
            "which_image": 4,
            "motion": 0.6,
            "appearance": 1,
            "in_turns": 0.2,
            "small_talk": 0.2,
        },
        {
            "caption": 1.3,
            "colour": 2.5,
            "shape": 0.7,
            "count": 1,
            "count_of": 1.1,
            "yes_no": 1,
            "box": 3,
            "all_boxes": 0.5,
        },
        n_questions=6,
    ),
)
PEAK_RATE, FLAT_SHARE, FINAL_SHARE, N_WARM_UP = 1e-3, 0.75, 0.03, 50
WEIGHT_DECAY, CLIP_NORM = 0.01, 1.0
PROBE_WEIGHT = 0.25  # beside the loss on words, once there is one
SAVE_EVERY_S = 60
LOG_EVERY = 25


@dataclass
class Run:
    """Everything that training changes."""

    model: Model
    probe: Probe
    optimizer: torch.optim.Optimizer
    step: int
    mixed: bool  # matrix products in bf16, the rest in float32


def start(config: dict[str, Any], names: Names, seed: int, *, mixed: bool) -> Run:
    """Set up a run at step 0, on a GPU if there is one."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = new_model(config, seed).to(device).train()
    probe = Probe(config["vision_config"]["out_hidden_size"], names).to(device)
    parameters = [*model.parameters(), *probe.parameters()]
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": WEIGHT_DECAY},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return Run(model, probe, torch.optim.AdamW(groups, lr=PEAK_RATE, betas=(0.9, 0.98), fused=True), 0, mixed)


def learning_rate(step: int) -> float:
    """Stay at the peak, then follow a cosine to a small share of it; warm up into each stage."""
    begins = list(accumulate((stage.n_steps for stage in CURRICULUM), initial=0))
    warm = min(1.0, min(step - begin + 1 for begin in begins if begin <= step) / N_WARM_UP)
    decayed = max(0.0, step / begins[-1] - FLAT_SHARE) / (1 - FLAT_SHARE)
    share = FINAL_SHARE + (1 - FINAL_SHARE) * 0.5 * (1 + math.cos(math.pi * decayed))
    return PEAK_RATE * warm * share


def update(run: Run, batch: Batch) -> tuple[float, float]:
    """Take one optimizer step; returns the loss on words and the loss of the probe."""
    for group in run.optimizer.param_groups:
        group["lr"] = learning_rate(run.step)
    with torch.autocast(run.model.device.type, torch.bfloat16, enabled=run.mixed):
        if batch.words is not None:
            spoken, seen = saying_loss(run.model, run.probe, batch.words, batch.pictures, batch.clips)
            loss = spoken + PROBE_WEIGHT * seen
        elif batch.pictures is not None:
            loss = seen = seeing_loss(run.model, run.probe, batch.pictures)
            spoken = seen.new_zeros(())
        else:
            raise ValueError("a batch needs words or pictures")
    run.optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    nn.utils.clip_grad_norm_([*run.model.parameters(), *run.probe.parameters()], CLIP_NORM)
    run.optimizer.step()
    run.step += 1
    return float(spoken.detach()), float(seen.detach())


def batches(first_step: int, seed: int, encoder: Encoder) -> Iterator[tuple[str, Batch]]:
    """Yield stage names and batches from ``first_step``, the start of a pool, to the curriculum's end."""
    begin = 0
    for index, stage in enumerate(CURRICULUM):
        first_pool = max(0, first_step - begin) // BATCHES_PER_POOL
        begin += stage.n_steps
        pools = Pools(stage, index, seed, encoder)
        rest = Subset(pools, range(first_pool, len(pools)))
        if not len(rest):
            continue
        for pool in DataLoader(rest, batch_size=None, num_workers=1, prefetch_factor=3):
            yield from ((stage.name, batch) for batch in pool)


def save_state(run: Run, path: Path) -> None:
    """Replace the state as a whole, so that an interruption leaves the old one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    state = {"model": run.model.state_dict(), "probe": run.probe.state_dict()}
    torch.save(state | {"optimizer": run.optimizer.state_dict(), "step": run.step}, partial)
    partial.replace(path)


def load_state(run: Run, path: Path) -> None:
    """Bring a run to where it was saved."""
    state = torch.load(path, map_location=run.model.device, weights_only=True)
    run.model.load_state_dict(state["model"])
    run.probe.load_state_dict(state["probe"])
    run.optimizer.load_state_dict(state["optimizer"])
    run.step = state["step"]


def train(run: Run, encoder: Encoder, state: Path, seed: int) -> None:
    """Take a run from its step to the end of the curriculum."""
    saved_at = started_at = time.monotonic()
    words = sight = 0.0
    for stage, batch in batches(run.step, seed, encoder):
        spoken, seen = update(run, batch)
        words, sight = words + spoken / LOG_EVERY, sight + seen / LOG_EVERY
        if run.step % LOG_EVERY == 0:
            elapsed_s = time.monotonic() - started_at
            log.info("step %d %s words %.4f sight %.4f %.0f s", run.step, stage, words, sight, elapsed_s)
            words = sight = 0.0
        # Only at the start of a pool can a resumed run take up the same batches.
        if run.step % BATCHES_PER_POOL == 0 and time.monotonic() - saved_at > SAVE_EVERY_S:
            save_state(run, state)
            saved_at = time.monotonic()
    save_state(run, state)


def main() -> None:
    """Train from the command line."""
    parser = argparse.ArgumentParser(description="Train the demo model.")
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT, help="folder of the checkpoint")
    parser.add_argument("--state", type=Path, default=DEFAULT_STATE, help="file that a run resumes from")
    parser.add_argument("--resume", action="store_true", help="go on from the saved state, if there is one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--mixed", action="store_true", help="bf16 products: faster where there is hardware")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(arguments.threads)
    tokenizer = demo_tokenizer()
    run = start(
        checkpoint_config(tokenizer), Names(*names_of(tokenizer)), arguments.seed, mixed=arguments.mixed
    )
    if arguments.resume and arguments.state.exists():
        load_state(run, arguments.state)
        log.info("resumed at step %d", run.step)
    encoder = Encoder(with_template(tokenizer, TEMPLATE.read_text(encoding="utf-8")))
    train(run, encoder, arguments.state, arguments.seed)
    save_checkpoint(run.model, tokenizer, arguments.out)


if __name__ == "__main__":
    main()
