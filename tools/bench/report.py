"""Prints what was measured."""

from collections.abc import Mapping

from tools.bench.measure import Measured

__all__ = ["report"]


def report(title: str, rows: Mapping[str, Measured]) -> None:
    """Print a table; the last column is the first row's time as a part of each row's."""
    print(f"\n{title}")
    first = next(iter(rows.values()))
    for name, row in rows.items():
        ratio = first.seconds / row.seconds
        print(f"  {name:36} {row.seconds:8.2f} s  {row.peak_bytes / 1e6:8.0f} MB  first/this {ratio:.2f}")
