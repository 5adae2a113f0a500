"""Normalizations with Caffe's statistics, and Caffe's places for eps."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class BatchNorm(nn.Module):
    """``(x - mean) / sqrt(variance + eps)`` for each channel; x is ``N x C x ...``, or has one axis and is one channel.

    Buffers: `mean` and `variance` (C) are decaying sums, `factor` (1) tells how much they hold. Without
    `use_global_stats` each forward uses the batch's statistics, and adds them:
    ``sum = fraction * sum + batch's``, the variance times m / (m - 1), m values a channel.
    """

    mean: Tensor
    variance: Tensor
    factor: Tensor

    def __init__(self, num_channels: int, *, eps: float, fraction: float, use_global_stats: bool) -> None:
        super().__init__()
        self.eps = eps
        self.fraction = fraction
        self.use_global_stats = use_global_stats
        self.register_buffer("mean", torch.zeros(num_channels))
        self.register_buffer("variance", torch.zeros(num_channels))
        self.register_buffer("factor", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """The normalized blob, of the same shape."""
        if x.dim() == 1:
            return self._normalize(x.reshape(1, 1, -1)).reshape(-1)
        return self._normalize(x)

    def _normalize(self, x: Tensor) -> Tensor:
        if self.use_global_stats:
            share = torch.where(self.factor == 0, 0.0, 1 / self.factor)
            return F.batch_norm(x, self.mean * share, self.variance * share, eps=self.eps)
        # With a momentum of 1 torch leaves in these just what Caffe counts: the mean, and the unbiased variance.
        mean, variance = torch.zeros_like(self.mean), torch.zeros_like(self.variance)
        y = torch.batch_norm(x, None, None, mean, variance, True, 1.0, self.eps, torch.backends.cudnn.enabled)
        self._count(mean, variance, x.numel() // x.shape[1])
        return y

    @torch.no_grad()
    def _count(self, mean: Tensor, variance: Tensor, num_values: int) -> None:
        if num_values == 1:  # torch's m / (m - 1) is not a number then, Caffe's is 1, of a variance of 0
            variance = torch.zeros_like(variance)
        self.mean.mul_(self.fraction).add_(mean)
        self.variance.mul_(self.fraction).add_(variance)
        self.factor.mul_(self.fraction).add_(1)

    def extra_repr(self) -> str:
        """What `print` shows."""
        return f"{len(self.mean)}, eps={self.eps}, fraction={self.fraction}, use_global_stats={self.use_global_stats}"


def lrn_across(x: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:
    """``x * (k + alpha / size * sum of x^2 over `size` channels)^-beta``; x is ``N x C x H x W``, `size` is odd."""
    wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    return (wide * (k + alpha / size * _neighbours(wide.square(), size // 2)) ** -beta).to(x.dtype)


def _neighbours(x: Tensor, reach: int) -> Tensor:
    num_channels = x.shape[1]
    padded = F.pad(x, (0, 0, 0, 0, reach, reach))
    total = padded.narrow(1, 0, num_channels)
    for i in range(1, 2 * reach + 1):
        total = total + padded.narrow(1, i, num_channels)
    return total


def lrn_within(x: Tensor, size: int, alpha: float, beta: float) -> Tensor:
    """``x * (1 + alpha * mean of x^2 over a square of `size`)^-beta``; the mean counts padding as zeros."""
    mean = F.avg_pool2d(x.square(), size, 1, size // 2)
    return x * (1 + alpha * mean) ** -beta


class _Mvn(torch.autograd.Function):
    """The gradient takes ``sqrt(variance) + eps`` for the deviation throughout, as in Caffe (mvn_layer.cpp)."""

    @staticmethod
    def forward(x: Tensor, axes: tuple[int, ...], eps: float) -> tuple[Tensor, Tensor]:
        centred = x - x.mean(axes, keepdim=True)
        deviation = centred.square().mean(axes, keepdim=True).sqrt() + eps
        return centred / deviation, deviation

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, tuple[int, ...], float], output: tuple[Tensor, Tensor]) -> None:
        ctx.axes = inputs[1]
        ctx.save_for_backward(*output)
        ctx.mark_non_differentiable(output[1])

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor, None, None]:
        y, deviation = ctx.saved_tensors
        along = (grad * y).mean(ctx.axes, keepdim=True)
        return (grad - grad.mean(ctx.axes, keepdim=True) - y * along) / deviation, None, None


def mvn(x: Tensor, axes: tuple[int, ...], eps: float) -> Tensor:
    """``(x - mean) / (sqrt(variance) + eps)``, mean and variance over `axes`; 0 when there are none."""
    if not axes:
        return x - x
    y: Tensor = _Mvn.apply(x, axes, eps)[0]  # type: ignore[no-untyped-call]
    return y
