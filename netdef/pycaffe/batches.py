"""How is any number of rows run through a net of a fixed batch size?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from netdef.diagnostics import NetdefError, error

Arrays = dict[str, NDArray[Any]]


def split(rows: Mapping[str, ArrayLike], size: int) -> Iterator[Arrays]:
    """Batches of `size` rows; the last is filled up with zeros.

    Raises:
        NetdefError: ND1008, nothing is given, or the arrays have different numbers of rows.
    """
    arrays = {name: np.asarray(values) for name, values in rows.items()}
    counts = {len(values) for values in arrays.values()}
    if len(counts) != 1:
        raise NetdefError([error("ND1008", f"the inputs must have one number of rows, found {sorted(counts)}")])
    for begin in range(0, counts.pop(), size):
        yield {name: _filled(values[begin : begin + size], size) for name, values in arrays.items()}


def joined(batches: Sequence[Mapping[str, NDArray[Any]]], rows: Mapping[str, ArrayLike]) -> Arrays:
    """The batches' arrays one behind the other, without what filled up the last; numbers without rows one a batch."""
    count = len(np.asarray(next(iter(rows.values()))))
    names = batches[0] if batches else ()
    return {name: np.concatenate([np.atleast_1d(batch[name]) for batch in batches])[:count] for name in names}


def _filled(values: NDArray[Any], size: int) -> NDArray[Any]:
    if len(values) == size:
        return values
    return np.concatenate([values, np.zeros((size - len(values), *values.shape[1:]), values.dtype)])
