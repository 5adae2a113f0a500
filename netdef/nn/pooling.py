"""Pooling over Caffe's windows where torch's own pooling has others."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

Pair = tuple[int, int]


def max_pool2d(x: Tensor, kernel: Pair, stride: Pair, pad: Pair, end: Pair) -> Tensor:
    """The largest value under each window that lies within the blob, padded by `pad` in front and `end` behind.

    Shapes: ``N x C x H x W`` to ``N x C x H' x W'`` with ``H' = floor((H + pad + end - kernel) / stride) + 1``. The
    first of equal values gets the gradient; a window without values gives the smallest float, and no gradient.
    """
    return F.max_pool2d(_padded(x, pad, end, torch.finfo(x.dtype).min), kernel, stride)


def max_pool2d_with_mask(x: Tensor, kernel: Pair, stride: Pair, pad: Pair, end: Pair) -> tuple[Tensor, Tensor]:
    """As `max_pool2d`, and the place ``h * W + w`` of each maximum as a float; -1 for a window without values.

    Places are float32 at least: the types of autocast have no room for them.
    """
    padded = _padded(x, pad, end, torch.finfo(x.dtype).min)
    top, index = F.max_pool2d(padded, kernel, stride, return_indices=True)
    height, width = x.shape[2:]
    row, column = index // padded.shape[3] - pad[0], index % padded.shape[3] - pad[1]
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    return top, torch.where(inside, row * width + column, -1).to(_wide(x))


def avg_pool2d(x: Tensor, kernel: Pair, stride: Pair, pad: Pair, end: Pair) -> Tensor:
    """The sum under each window, divided by the size of the part of it that lies before ``H + pad`` and ``W + pad``.

    Shapes as for `max_pool2d`. A window that begins there or later has a divisor of 0 or less, as in Caffe.
    """
    sums = F.avg_pool2d(_padded(x, pad, end, 0.0), kernel, stride, divisor_override=1)
    rows, columns = (
        torch.clamp(
            x.shape[2 + i] + 2 * pad[i] - torch.arange(sums.shape[2 + i], device=x.device) * stride[i], max=kernel[i]
        )
        for i in range(2)
    )
    return sums / (rows[:, None] * columns).to(x.dtype)


def stochastic_pool2d(x: Tensor, kernel: Pair, stride: Pair, end: Pair, training: bool) -> Tensor:
    """A value of each window drawn with a probability in proportion to it; without `training` their mean so weighted.

    The values must not be negative. Shapes as for `max_pool2d`. Source: Caffe's pooling_layer.cu.
    """
    windows = _padded(x, (0, 0), end, 0.0).unfold(2, kernel[0], stride[0]).unfold(3, kernel[1], stride[1])
    values = windows.flatten(-2)
    if not training:
        return values.square().sum(-1) / (values.sum(-1) + torch.finfo(x.dtype).tiny)
    upto = values.detach().cumsum(-1)
    drawn = torch.rand_like(upto[..., :1]) * upto[..., -1:]
    index = (upto < drawn).sum(-1, keepdim=True).clamp(max=values.shape[-1] - 1)
    return values.gather(-1, index).squeeze(-1)


def global_max_pool2d(x: Tensor) -> Tensor:
    """The largest value of each plane, ``N x C x H x W`` to ``N x C x 1 x 1``; the first of equals has the gradient."""
    return F.max_pool2d(x, x.shape[2:])


def global_max_pool2d_with_mask(x: Tensor) -> tuple[Tensor, Tensor]:
    """As `global_max_pool2d`, and the place ``h * W + w`` of each maximum as a float."""
    top, index = F.max_pool2d(x, x.shape[2:], return_indices=True)
    return top, index.to(_wide(x))


def global_stochastic_pool2d(x: Tensor, training: bool) -> Tensor:
    """As `stochastic_pool2d` with one window over all."""
    return stochastic_pool2d(x, (x.shape[2], x.shape[3]), (1, 1), (0, 0), training)


def _wide(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)


def _padded(x: Tensor, pad: Pair, end: Pair, value: float) -> Tensor:
    edges = (pad[1], end[1], pad[0], end[0])
    return F.pad(x, edges, value=value) if any(edges) else x
