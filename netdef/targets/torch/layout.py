"""In which memory order are weights and images laid out?"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_IMAGES = 4
"""The number of axes that torch knows such an order for."""


def to_channels_last(module: nn.Module) -> None:
    """Lay out all weights with four axes channels last; others (3-d convolutions, which torch refuses) stay."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.data = channels_last(parameter.data)


def channels_last(tensor: Tensor) -> Tensor:
    """The tensor with channels innermost where it has four axes.

    With one channel both orders are the same in memory, and the strides alone tell torch which one is meant:
    `contiguous` would leave them, and every convolution of it would then be made in the slower order.
    """
    if tensor.ndim != _IMAGES:
        return tensor
    n, c, h, w = tensor.shape
    if c == 1 and tensor.is_contiguous():
        return tensor.as_strided((n, c, h, w), (h * w, 1, w, 1))
    return tensor.to(memory_format=torch.channels_last)
