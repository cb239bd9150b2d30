"""What each bit costs: ``python -m tools.bench.quality``, or ``make bench BENCH=quality``.

The demo model in stock types of 2 to 5 bits and in sizes to order, without an importance matrix and with
three: from the text of the default set, from all of that set, and from pictures and clips of the demo model's
own world. Measured are the KL divergence from F16 under fresh pictures and clips of that world and on prose,
of the language model alone, the projector alone and both, and the right answers of both. An hour on two busy
cores; with ``--folder`` a run that was stopped goes on where it was.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from qwen3vl_edge.bundle import find_bundle
from qwen3vl_edge.quant.comparison.pairs import Pair, pair_of
from qwen3vl_edge.runtime.threads import let_threads_sleep
from tools.bench.quality.candidates import Candidate, Family, Maker, run_command
from tools.bench.quality.material import write_text, write_world
from tools.bench.quality.measured import Job, Result, measure, score
from tools.bench.quality.replicas import write_replica
from tools.bench.quality.tables import loss_tables, ratio_table, score_table

__all__ = ["main"]

_FAMILIES: tuple[Family, ...] = ("model", "projector", "both")
_N_SHOWN_PICTURES, _N_SHOWN_CLIPS = 160, 24  # to the matrix of the world
_EXACT = "F16"
_REPLICAS = "of the model, each with other rounding errors; several average them out, and take as much longer"


@dataclass(frozen=True)
class _Amounts:
    n_pictures: int = 120
    n_clips: int = 80
    n_samples: int = 40
    n_replicas: int = 1
    n_processes: int = 2
    families: tuple[Family, ...] = _FAMILIES


def main(arguments: Sequence[str] = ()) -> None:
    """Run the whole experiment and print its tables."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.quality")
    parser.add_argument("--folder", type=Path, help="keep everything here, and use what is here")
    parser.add_argument("--pictures", type=int, default=_Amounts.n_pictures)
    parser.add_argument("--clips", type=int, default=_Amounts.n_clips)
    parser.add_argument("--samples", type=int, default=_Amounts.n_samples, help="of each task")
    parser.add_argument("--replicas", type=int, default=_Amounts.n_replicas, help=_REPLICAS)
    parser.add_argument("--processes", type=int, default=_Amounts.n_processes)
    parser.add_argument("--only", choices=_FAMILIES, action="append", help="half to quantize; repeatable")
    given = parser.parse_args(arguments)
    families = tuple(given.only) if given.only else _FAMILIES
    amounts = _Amounts(given.pictures, given.clips, given.samples, given.replicas, given.processes, families)
    let_threads_sleep()
    if given.folder:
        given.folder.mkdir(parents=True, exist_ok=True)
        _run(given.folder, amounts)
        return
    with tempfile.TemporaryDirectory() as folder:
        _run(Path(folder), amounts)


def _run(folder: Path, amounts: _Amounts) -> None:
    sources = [_Source.made(folder, number) for number in range(amounts.n_replicas)]
    job = Job(sources[0].exact, folder, amounts.n_pictures, amounts.n_clips, amounts.n_samples)
    for family in amounts.families:
        candidates = [one for source in sources for one in source.candidates(family)]
        results = list(measure(job, candidates, amounts.n_processes))
        for line in (*loss_tables(results, family), *ratio_table(results, family)):
            print(line, flush=True)
        if family == "both":
            _tell_scores(job, results)


@dataclass(frozen=True)
class _Source:
    """A replica of the demo model, what it is in F16, and its matrices."""

    number: int
    folder: Path
    exact: Pair
    matrices: dict[str, Path]

    @classmethod
    def made(cls, folder: Path, number: int) -> "_Source":
        """Make it, or find what is there."""
        own = folder / f"replica-{number}"
        own.mkdir(parents=True, exist_ok=True)
        source = write_replica(own / "checkpoint", number)
        exact = own / "exact"
        if not exact.exists():
            run_command("convert", str(source), "-o", str(exact), "--type", _EXACT, "--no-verify")
        return cls(number, own, pair_of(_EXACT, find_bundle(exact)), _matrices(folder, own, exact))

    def candidates(self, family: Family) -> Iterator[Candidate]:
        """Make the candidates of a family; all are measured against the first replica, the same function."""
        source = write_replica(self.folder / "checkpoint", self.number)
        yield from Maker(str(source), self.number, self.folder, self.matrices).make(family)


def _matrices(folder: Path, own: Path, exact: Path) -> dict[str, Path]:
    """Make the matrices of a replica, or find those that are there."""
    text, world = folder / "text.txt", folder / "world"
    if not world.exists():
        write_text(text)
        write_world(world, _N_SHOWN_PICTURES, _N_SHOWN_CLIPS)
    shown = {
        "text": ["--text", str(text)],
        "default": [],
        "world": ["--images", str(world / "pictures"), "--videos", str(world / "clips")],
    }
    made = {name: own / f"{name}.gguf" for name in shown}
    for name, options in shown.items():
        if not made[name].exists():
            run_command("imatrix", str(exact), *options, "-o", str(made[name]), "--threads", "2")
    return made


def _tell_scores(job: Job, results: Sequence[Result]) -> None:
    scores = {_EXACT: score(job, job.reference)}
    scores |= {_named(result.candidate): result.scores for result in results}
    for line in score_table(scores):
        print(line)


def _named(candidate: Candidate) -> str:
    return candidate.name


if __name__ == "__main__":
    main(sys.argv[1:])
