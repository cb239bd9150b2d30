"""Losses and right answers of candidates, several at once: each in a process with one thread."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from qwen3vl_edge.quant.comparison.measure import Measurer
from qwen3vl_edge.quant.comparison.pairs import Pair
from qwen3vl_edge.quant.comparison.store import Store
from qwen3vl_edge.runtime.engine_settings import EngineSettings
from qwen3vl_edge.runtime.llama_engine import LlamaEngine
from qwen3vl_edge.runtime.threads import let_threads_sleep
from tools.bench.quality.candidates import Candidate
from tools.bench.quality.material import measured_on
from tools.bench.quality.paired import Sums, sums_of

__all__ = ["Job", "Result", "measure", "score"]


@dataclass(frozen=True)
class Job:
    """What all candidates are measured against and on; what is found stays in `folder`."""

    reference: Pair
    folder: Path
    n_pictures: int
    n_clips: int
    n_samples: int

    @property
    def settings(self) -> EngineSettings:
        """One thread each; most candidates share a projector, and so what it makes of the pictures."""
        return EngineSettings(n_threads=1, cache_folder=self.folder / "encoded")

    def measurer(self) -> Measurer:
        """Open the measuring."""
        material = measured_on(self.n_pictures, self.n_clips)
        return Measurer(self.reference, material, Store(self.folder / "store"), self.settings)


@dataclass(frozen=True)
class Result:
    """A candidate's losses; where whole pairs are compared, also the score of each task, of 1."""

    candidate: Candidate
    sums: Sums
    scores: dict[str, float]


def measure(job: Job, candidates: Sequence[Candidate], n_processes: int) -> Iterator[Result]:
    """Measure all candidates, in their order; the reference answers first."""
    job.measurer().answer()
    with ProcessPoolExecutor(n_processes, get_context("spawn"), let_threads_sleep) as pool:
        yield from pool.map(_measured, [job] * len(candidates), candidates)


def _measured(job: Job, candidate: Candidate) -> Result:
    measurer = job.measurer()
    sums = sums_of(measurer.observe(candidate.pair, measurer.answer()))
    scores = score(job, candidate.pair) if candidate.family == "both" else {}
    return Result(candidate, sums, scores)


def score(job: Job, pair: Pair) -> dict[str, float]:
    """Give the share of right answers of each task (of boxes: the mean IoU) on fresh held-out samples."""
    from tools.demo_model.compare import engine_backend
    from tools.demo_model.evaluate import evaluate

    with LlamaEngine(pair.bundle, job.settings) as engine:
        return {row.task: row.score for row in evaluate(engine_backend(engine), job.n_samples)}
