"""How does `netdef test --confusion` show which classes a net takes for which?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from netdef.solver.confusion import Confusion

_MOST_CLASSES = 20
"""Classes in the table and the matrix; with more, those with the lowest recall are shown."""


def table(found: Confusion) -> Iterator[str]:
    """A summary, a line for each class, and the matrix of counts."""
    counts = found.counts
    means = ", ".join(f"mean {kind} {_mean(values)}" for kind, values in _kinds(found).items())
    yield f'"{found.layer}": {counts.sum()} labels, accuracy {found.accuracy:.4f}, {means}'
    shown = _shown(found)
    if len(shown) < len(counts):
        yield f"The {len(shown)} of {len(counts)} classes with the lowest recall:"
    yield f"{'class':>7} {'labels':>8} {'predicted':>10} {'precision':>10} {'recall':>8} {'F1':>8}"
    for k in shown:
        precision, recall, f1 = (_number(values[k]) for values in _kinds(found).values())
        yield f"{k:>7} {counts[k].sum():>8} {counts[:, k].sum():>10} {precision:>10} {recall:>8} {f1:>8}"
    if len(shown) == len(counts):
        yield from _matrix(counts)


def _matrix(counts: NDArray[np.int64]) -> Iterator[str]:
    width = max(len(str(counts.max(initial=0))), len(str(len(counts)))) + 1
    yield "Rows are true classes, columns predicted ones:"
    yield " " * 7 + "".join(f"{k:>{width}}" for k in range(len(counts)))
    for k, row in enumerate(counts):
        yield f"{k:>7}" + "".join(f"{n:>{width}}" for n in row)


def _shown(found: Confusion) -> list[int]:
    if len(found.counts) <= _MOST_CLASSES:
        return list(range(len(found.counts)))
    worst = np.argsort(np.where(np.isnan(found.recall), np.inf, found.recall), kind="stable")
    return [int(k) for k in worst[:_MOST_CLASSES]]


def _kinds(found: Confusion) -> dict[str, NDArray[np.float64]]:
    return {"precision": found.precision, "recall": found.recall, "F1": found.f1}


def _mean(values: NDArray[np.float64]) -> str:
    return _number(float(values[~np.isnan(values)].mean()) if not np.isnan(values).all() else np.nan)


def _number(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.4f}"
