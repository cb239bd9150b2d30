"""The bundles that are compared: stock types and orders of their size, each with several matrices, or none."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from qwen3vl_edge.bundle import find_bundles
from qwen3vl_edge.quant.comparison.pairs import Pair, pair_of

__all__ = ["MODEL_TYPES", "NO_MATRIX", "PROJECTOR_TYPES", "Candidate", "Family", "made", "run_command"]

Family = Literal["model", "projector", "both"]
"""Which half is quantized; "both": the projector to Q8_0 in a stock pair."""

NO_MATRIX = "none"
MODEL_TYPES = ("Q2_K", "IQ3_S", "Q3_K_S", "Q3_K_M", "IQ4_XS", "Q4_K_S", "Q4_K_M", "Q5_K_M")
PROJECTOR_TYPES = ("Q2_K", "Q3_K_M", "Q4_K_M", "Q5_K_M")
_WITH_MATRIX_ONLY = ("IQ2_XS", "IQ2_S")
_EXACT, _STOCK_PROJECTOR = "F16", "Q8_0"
_N_THREADS = "2"


@dataclass(frozen=True)
class Candidate:
    """One pair; ``kind`` is its stock type, or that whose bytes it was ordered with."""

    family: Family
    kind: str
    matrix: str
    ordered: bool
    pair: Pair

    @property
    def name(self) -> str:
        """Name it in a table of its family."""
        return f"{self.kind} {self.matrix}{' ordered' if self.ordered else ''}"


def run_command(*arguments: str) -> None:
    """Run ``qwen3vl-edge`` as a user does; what it says is not shown."""
    command = [str(Path(sys.executable).parent / "qwen3vl-edge"), *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def made(folder: Path, matrices: Mapping[str, Path], family: Family) -> Iterator[Candidate]:
    """Make all candidates of a family from the demo model; of orders, those without a matrix and with each.

    Args:
        folder: Where the bundles go.
        matrices: Importance matrices by name.
        family: What is quantized.
    """
    for matrix in (NO_MATRIX, *matrices):
        if family == "projector" and matrix == "text":
            continue  # a text shows a projector nothing
        path = matrices.get(matrix)
        if family == "projector":
            yield from _projectors(folder / family / matrix, matrix, path)
            continue
        projector = _EXACT if family == "model" else _STOCK_PROJECTOR
        stock = list(_stock(folder / family / matrix, matrix, path, family, projector))
        yield from stock
        if matrix == "text":
            continue
        for one in stock:
            yield _ordered(folder / family / f"{matrix}-{one.kind}", one, path, family)


def _stock(
    folder: Path, matrix: str, path: Path | None, family: Family, projector: str
) -> Iterator[Candidate]:
    kinds = MODEL_TYPES if path is None else (*_WITH_MATRIX_ONLY, *MODEL_TYPES)
    _convert(folder, path, *(part for kind in kinds for part in ("--type", kind)), "--projector-type", projector)
    for bundle in find_bundles(folder):
        pair = pair_of(bundle.model.stem, bundle)
        yield Candidate(family, bundle.model.stem.removeprefix("demo-"), matrix, False, pair)


def _projectors(folder: Path, matrix: str, path: Path | None) -> Iterator[Candidate]:
    for kind in PROJECTOR_TYPES:
        _convert(folder / kind, path, "--type", _EXACT, "--projector-type", kind)
        [bundle] = find_bundles(folder / kind)
        yield Candidate("projector", kind, matrix, False, pair_of(kind, bundle))


def _ordered(folder: Path, stock: Candidate, path: Path | None, family: Family) -> Candidate:
    fixed = ("--projector-type", _EXACT) if family == "model" else ()
    _convert(folder, path, "--fit", str(stock.pair.size_bytes), *fixed)
    [bundle] = find_bundles(folder)
    return Candidate(family, stock.kind, stock.matrix, True, pair_of(f"{folder.name} ordered", bundle))


def _convert(folder: Path, matrix: Path | None, *options: str) -> None:
    given = () if matrix is None else ("--imatrix", str(matrix))
    run_command(
        "convert", "demo", "-o", str(folder), "--no-verify", "--threads", _N_THREADS, *given, *options
    )
