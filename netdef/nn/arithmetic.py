"""Element-wise arithmetic with Caffe's gradients."""

from __future__ import annotations

import torch
from torch import Tensor


def larger(a: Tensor, b: Tensor) -> Tensor:
    """The larger of two values, `b` where they are equal; the gradient goes to the one taken."""
    return torch.where(a > b, a, b)


def constant_like(x: Tensor, value: float) -> Tensor:
    """`value` everywhere, in the shape of `x`, and with a gradient of 0 to it."""
    return torch.where(torch.zeros_like(x, dtype=torch.bool), x, value)
