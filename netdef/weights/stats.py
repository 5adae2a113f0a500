"""What are the numbers in an array like, and how far are two arrays apart? In pieces, so that no copy is made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf, nan, sqrt

import numpy as np
from numpy.typing import NDArray

from netdef.weights.narrow import Floats

_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Stats:
    """Of the finite numbers mean, standard deviation (biased) and bounds; how many are NaN and infinite."""

    mean: float
    std: float
    min: float
    max: float
    num_nan: int
    num_inf: int


@dataclass(frozen=True, slots=True)
class Distance:
    """The largest |a - b|, and the largest |a - b| / max(|a|, |b|); infinite where one is NaN and the other isn't."""

    absolute: float
    relative: float


def stats(data: Floats) -> Stats:
    """Stats of `data`; NaN for all where no number is finite."""
    count, total, squares, least, greatest, num_nan, num_inf = 0, 0.0, 0.0, inf, -inf, 0, 0
    for piece in _pieces(data):
        finite = piece[np.isfinite(piece)]
        nans = int(np.isnan(piece).sum())
        num_nan, num_inf = num_nan + nans, num_inf + piece.size - finite.size - nans
        if finite.size:
            count, total = count + finite.size, total + float(finite.sum())
            squares += float(np.square(finite).sum())
            least, greatest = min(least, float(finite.min())), max(greatest, float(finite.max()))
    if not count:
        return Stats(nan, nan, nan, nan, num_nan, num_inf)
    mean = total / count
    return Stats(mean, sqrt(max(0.0, squares / count - mean * mean)), least, greatest, num_nan, num_inf)


def num_not_finite(data: Floats) -> int:
    """How many numbers are NaN or infinite."""
    flat = data.reshape(-1)
    pieces = (flat[start : start + _PIECE] for start in range(0, flat.size, _PIECE))
    return sum(piece.size - int(np.count_nonzero(np.isfinite(piece))) for piece in pieces)


def distance(a: Floats, b: Floats) -> Distance:
    """How far two arrays of one shape are apart."""
    absolute = relative = 0.0
    for x, y in zip(_pieces(a), _pieces(b), strict=True):
        differ = ~((x == y) | (np.isnan(x) & np.isnan(y)))
        if differ.any():
            gap, scale = _gap(x[differ], y[differ])
            absolute, relative = max(absolute, float(gap.max())), max(relative, float((gap / scale).max()))
    return Distance(absolute, relative)


def _gap(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """|x - y| and max(|x|, |y|) of numbers that differ; infinite and 1 where one of them is not finite."""
    finite = np.isfinite(x) & np.isfinite(y)
    x, y = np.where(finite, x, 0.0), np.where(finite, y, 0.0)
    scale = np.maximum(np.abs(x), np.abs(y))
    return np.where(finite, np.abs(x - y), inf), np.where(finite, scale, 1.0)


def _pieces(data: Floats) -> Iterator[NDArray[np.float64]]:
    flat = data.reshape(-1)
    for start in range(0, flat.size, _PIECE):
        yield flat[start : start + _PIECE].astype(np.float64)
