"""Element-wise functions that torch lacks."""

from __future__ import annotations

from torch import Tensor


def above(x: Tensor, threshold: float) -> Tensor:
    """1 where x is above the threshold, 0 elsewhere, in the type of x. Source: Caffe's threshold_layer.cpp."""
    return (x > threshold).to(x.dtype)
