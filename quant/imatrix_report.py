"""What is to be said of an importance matrix that was made."""

from dataclasses import dataclass
from pathlib import Path

from qwen3vl_edge.quant.calibration.collect import Collected
from qwen3vl_edge.quant.imatrix_kind import is_of_projector
from qwen3vl_edge.quant.imatrix_sums import ImatrixSums

__all__ = ["ImatrixReport", "imatrix_report"]

_SHOWN_EXPERTS = 12


@dataclass(frozen=True, slots=True)
class ImatrixReport:
    """Plain facts; ``tokens`` are rows that the busiest tensor of the language model has met.

    ``pieces`` were read, by kind, ``resumed`` of them by a run before; ``untouched_experts`` by tensor.
    """

    path: Path
    language_model: int
    projector: int
    tokens: int
    patches: int
    pieces: dict[str, int]
    resumed: int
    skipped: tuple[str, ...]
    untouched_experts: dict[str, tuple[int, ...]]
    datasets: tuple[str, ...]

    def to_dict(self) -> dict[str, object]:
        """Give it as JSON has it."""
        return {
            "path": str(self.path),
            "tensors": {"language_model": self.language_model, "projector": self.projector},
            "rows": {"language_model": self.tokens, "projector": self.patches},
            "pieces": self.pieces,
            "resumed": self.resumed,
            "skipped": list(self.skipped),
            "datasets": list(self.datasets),
            "untouched_experts": {name: list(numbers) for name, numbers in self.untouched_experts.items()},
        }

    @property
    def notes(self) -> tuple[str, ...]:
        """What is missing: pieces that could not be shown, experts that no token was sent to."""
        experts = [
            f"{name}: no token was sent to {len(numbers)} experts ({_some(numbers)}); they weigh alike"
            for name, numbers in self.untouched_experts.items()
        ]
        return (*(f"passed over: {note}" for note in self.skipped), *experts)

    def lines(self) -> list[str]:
        """Give it in words."""
        lines = [
            f"{self.path}: {self.language_model} matrices of the language model ({self.tokens} tokens), "
            f"{self.projector} of the projector ({self.patches} patches)"
        ]
        if self.datasets:
            lines.append(f"made from: {', '.join(self.datasets)}")
        if self.pieces:
            read = ", ".join(f"{count} × {kind}" for kind, count in self.pieces.items())
            lines.append(f"read: {read}" + (f"; {self.resumed} by a run before" if self.resumed else ""))
        return lines


def imatrix_report(path: Path, sums: ImatrixSums, collected: Collected | None = None) -> ImatrixReport:
    """Sum up what stands in `path`, and how it came there if it was not merged."""
    rows = {name: int(entry.counts.max()) for name, entry in sums.entries.items()}
    seen = {name: n for name, n in rows.items() if is_of_projector(name)}
    read = {name: n for name, n in rows.items() if name not in seen}
    return ImatrixReport(
        path,
        language_model=len(read),
        projector=len(seen),
        tokens=max(read.values(), default=0),
        patches=max(seen.values(), default=0),
        pieces=dict(collected.n_pieces) if collected else {},
        resumed=collected.n_resumed if collected else 0,
        skipped=collected.notes if collected else (),
        untouched_experts=dict(sums.untouched_experts()),
        datasets=sums.datasets,
    )


def _some(numbers: tuple[int, ...]) -> str:
    shown = ", ".join(map(str, numbers[:_SHOWN_EXPERTS]))
    return shown if len(numbers) <= _SHOWN_EXPERTS else f"{shown}, …"
