"""The bundles that are compared: stock types, and orders of their size, with several matrices or none."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from qwen3vl_edge.bundle import Bundle, find_bundles
from qwen3vl_edge.quant.comparison.pairs import Pair, pair_of

__all__ = ["NO_MATRIX", "Candidate", "Family", "Maker", "run_command"]

Family = Literal["model", "projector", "both"]
"""Which half is quantized; "both": the projector to Q8_0 in a stock pair."""

NO_MATRIX = "none"
_MODEL_TYPES = ("Q2_K", "IQ3_S", "Q3_K_S", "Q3_K_M", "IQ4_XS", "Q4_K_S", "Q4_K_M", "Q5_K_M")
_OF_REPLICAS = ("Q2_K", "IQ3_S", "Q3_K_M", "IQ4_XS", "Q4_K_M", "Q5_K_M")
_WITH_MATRIX_ONLY = ("IQ2_XS", "IQ2_S")
_PROJECTOR_TYPES = ("Q2_K", "Q3_K_M", "Q4_K_M", "Q5_K_M")
_ORDERED = ("Q2_K", "Q3_K_M", "Q4_K_M", "Q5_K_M")
_EXACT, _STOCK_PROJECTOR = "F16", "Q8_0"
_TEXT = "text"
_MATRICES: Mapping[Family, tuple[str, ...]] = {
    "model": (_TEXT, "default", "world"),
    "projector": ("default", "world"),  # a text shows it nothing
    "both": ("default",),
}
_NAME = "demo"
_N_THREADS = "2"


@dataclass(frozen=True)
class Candidate:
    """One pair; ``kind`` is its stock type, or that whose bytes it was ordered with."""

    family: Family
    replica: int
    kind: str
    matrix: str
    ordered: bool
    pair: Pair

    @property
    def name(self) -> str:
        """Name it in a table of its family."""
        return f"{self.kind} {self.matrix}{' ordered' if self.ordered else ''}"


@dataclass(frozen=True)
class Maker:
    """Makes the candidates of a family from a checkpoint, in `folder`, with importance matrices by name.

    Orders are made of the first replica alone: what they bring does not drown in one draw of rounding.
    """

    source: str
    replica: int
    folder: Path
    matrices: Mapping[str, Path]

    def make(self, family: Family) -> Iterator[Candidate]:
        """Make all, without a matrix and with each; what lies there from before is taken as it is."""
        for matrix in (NO_MATRIX, *(name for name in self.matrices if name in _MATRICES[family])):
            if family == "projector":
                yield from self._projectors(matrix)
                continue
            stock = list(self._stock(family, matrix))
            yield from stock
            for one in stock:
                if self.replica == 0 and matrix != _TEXT and one.kind in _ORDERED:
                    yield self._ordered(family, one)

    def _stock(self, family: Family, matrix: str) -> Iterator[Candidate]:
        kinds = _ORDERED if family == "both" else _OF_REPLICAS if self.replica else _MODEL_TYPES
        if matrix != NO_MATRIX and family == "model":
            kinds = (*_WITH_MATRIX_ONLY, *kinds)
        projector = _EXACT if family == "model" else _STOCK_PROJECTOR
        types = [part for kind in kinds for part in ("--type", kind)]
        for bundle in self._convert(f"{family}-{matrix}", matrix, *types, "--projector-type", projector):
            kind = bundle.model.stem.removeprefix(f"{_NAME}-")
            yield Candidate(family, self.replica, kind, matrix, False, pair_of(kind, bundle))

    def _projectors(self, matrix: str) -> Iterator[Candidate]:
        for kind in _PROJECTOR_TYPES:
            types = ("--type", _EXACT, "--projector-type", kind)
            [bundle] = self._convert(f"projector-{matrix}-{kind}", matrix, *types)
            yield Candidate("projector", self.replica, kind, matrix, False, pair_of(kind, bundle))

    def _ordered(self, family: Family, stock: Candidate) -> Candidate:
        fixed = ("--projector-type", _EXACT) if family == "model" else ()
        folder = f"{family}-{stock.matrix}-{stock.kind}-ordered"
        [bundle] = self._convert(folder, stock.matrix, "--fit", str(stock.pair.size_bytes), *fixed)
        return Candidate(family, self.replica, stock.kind, stock.matrix, True, pair_of(folder, bundle))

    def _convert(self, name: str, matrix: str, *options: str) -> tuple[Bundle, ...]:
        folder = self.folder / name
        if not folder.exists():
            given = () if matrix == NO_MATRIX else ("--imatrix", str(self.matrices[matrix]))
            common = ("--name", _NAME, "--no-verify", "--threads", _N_THREADS)
            run_command("convert", self.source, "-o", str(folder), *common, *given, *options)
        return find_bundles(folder)


def run_command(*arguments: str) -> None:
    """Run ``qwen3vl-edge`` as a user does; what it says is not shown."""
    command = [str(Path(sys.executable).parent / "qwen3vl-edge"), *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
