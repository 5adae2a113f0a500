"""Products and sums whose operands meet from a given axis on, not from the last one backwards as in torch.

With short floats (autocast) the blob keeps its type, though the parameters are float32.
"""

from __future__ import annotations

import torch
from torch import Tensor


def scale(x: Tensor, factor: Tensor, axis: int, bias: Tensor | None = None) -> Tensor:
    """``x * factor + bias``, the axes of `factor` and `bias` being those of `x` from `axis` on; of the type of `x`."""
    factor = _aligned(factor, axis, x)
    y = x * factor if bias is None else torch.addcmul(_aligned(bias, axis, x), x, factor)
    return y.to(x.dtype)


def shift(x: Tensor, bias: Tensor, axis: int) -> Tensor:
    """``x + bias``, the axes of `bias` being those of `x` from `axis` on; of the type of `x`."""
    return (x + _aligned(bias, axis, x)).to(x.dtype)


def _aligned(factor: Tensor, axis: int, x: Tensor) -> Tensor:
    behind = x.dim() - axis - factor.dim()
    return factor[(..., *[None] * behind)] if factor.dim() and behind else factor
