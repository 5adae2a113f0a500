"""How do numbers of another type become single precision, without becoming other numbers?"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from netdef.weights.faults import Damaged

Floats = NDArray[np.float32]

_PIECE = 1 << 20


def to_float32(values: NDArray[Any], offset: int | None = None) -> Floats:
    """`values` in single precision, in pieces so that little more than the result is in memory.

    Damaged (ND0609) when a finite number would become infinite, or an integer another number.
    """
    if values.dtype == np.float32:
        return values.astype("=f4", copy=False)
    flat = values.reshape(-1)
    single = np.empty(flat.size, np.float32)
    for start in range(0, flat.size, _PIECE):
        fill(single[start : start + _PIECE], flat[start : start + _PIECE], offset)
    return single.reshape(values.shape)


def fill(single: Floats, values: NDArray[Any], offset: int | None = None) -> None:
    """Put one piece of `values` into `single`. Raises as `to_float32`."""
    with np.errstate(over="ignore", invalid="ignore"):
        single[:] = values
    lost = np.isinf(single) & ~np.isinf(values) if values.dtype.kind == "f" else single != values
    if lost.any():
        value = values[int(lost.argmax())]
        raise Damaged(f"{value!s} does not fit single precision", offset=offset, code="ND0609")
