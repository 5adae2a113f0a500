"""Normalizations with Caffe's statistics, and Caffe's places for eps."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class BatchNorm(nn.Module):
    """``(x - mean) / sqrt(variance + eps)`` for each channel; x is ``N x C x ...``, or has one axis and is one channel.

    Buffers: `mean` and `variance` (C) are decaying sums, `factor` (1) tells how much they hold. Without
    `use_global_stats` each forward uses the batch's statistics, and adds them while it is `counting`:
    ``sum = fraction * sum + batch's``, the variance times m / (m - 1), m values a channel.
    """

    counting = True

    mean: Tensor
    variance: Tensor
    factor: Tensor
    one: Tensor

    def __init__(self, num_channels: int, *, eps: float, fraction: float, use_global_stats: bool) -> None:
        super().__init__()
        self.eps = eps
        self.fraction = fraction
        self.use_global_stats = use_global_stats
        self.register_buffer("mean", torch.zeros(num_channels))
        self.register_buffer("variance", torch.zeros(num_channels))
        self.register_buffer("factor", torch.zeros(1))
        self.register_buffer("one", torch.ones(1), persistent=False)  # what a batch counts, there once and for all

    def forward(self, x: Tensor, weight: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
        """The normalized blob, of the same shape; times `weight` (C) plus `bias` (C) where a Scale layer follows."""
        if x.dim() == 1:
            return self._normalize(x.reshape(1, 1, -1), weight, bias).reshape(-1)
        return self._normalize(x, weight, bias)

    def _normalize(self, x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
        if self.use_global_stats:
            share = torch.where(self.factor == 0, 0.0, 1 / self.factor)
            return F.batch_norm(x, self.mean * share, self.variance * share, weight, bias, eps=self.eps)
        # With a momentum of 1 torch leaves in these just what Caffe counts: the mean, and the unbiased variance.
        mean, variance = self.mean.new_zeros(2, len(self.mean)).unbind()
        y = torch.batch_norm(x, weight, bias, mean, variance, True, 1.0, self.eps, torch.backends.cudnn.enabled)
        num_values = x.numel() // x.shape[1]
        if self.counting:
            self._count(mean, variance, num_values)
        if num_values == 1:  # each value is its channel's mean: nothing is left of it, but in torch some rounding
            return F.batch_norm(x - x, torch.zeros_like(mean), torch.ones_like(mean), weight, bias)
        return y

    @torch.no_grad()
    def _count(self, mean: Tensor, variance: Tensor, num_values: int) -> None:
        if num_values == 1:  # torch's m / (m - 1) is not a number then, Caffe's is 1, of a variance of 0
            variance = torch.zeros_like(variance)
        sums = [self.mean, self.variance, self.factor]
        torch._foreach_mul_(sums, self.fraction)
        torch._foreach_add_(sums, [mean, variance, self.one])

    def extra_repr(self) -> str:
        """What `print` shows."""
        return f"{len(self.mean)}, eps={self.eps}, fraction={self.fraction}, use_global_stats={self.use_global_stats}"


class _LrnAcross(torch.autograd.Function):
    """Keeps three tensors and sums twice; autograd on torch's own `local_response_norm` takes several times as long."""

    @staticmethod
    def forward(x: Tensor, size: int, alpha: float, beta: float, k: float) -> tuple[Tensor, Tensor]:
        wide = x if x.dtype == torch.float64 else x.float()
        scale = _neighbours(wide.square(), size // 2).mul_(alpha / size).add_(k)
        return (wide * _negative_power(scale, beta)).to(x.dtype), scale

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, int, float, float, float], output: tuple[Tensor, Tensor]) -> None:
        x, ctx.size, alpha, ctx.beta, _ = inputs
        ctx.factor = 2 * alpha * ctx.beta / ctx.size
        ctx.save_for_backward(x, *output)
        ctx.mark_non_differentiable(output[1])

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor, None, None, None, None]:
        x, y, scale = ctx.saved_tensors
        along = _neighbours((grad * y).div_(scale) if y.dtype == scale.dtype else grad * y / scale, ctx.size // 2)
        total = torch.addcmul(grad * _negative_power(scale, ctx.beta), x, along, value=-ctx.factor)
        return total.to(x.dtype), None, None, None, None


def lrn_across(x: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:
    """``x * (k + alpha / size * sum of x^2 over `size` channels)^-beta``; x is ``N x C x H x W``, `size` is odd.

    Computed in float32 where x is shorter. The gradient (source: Caffe's lrn_layer.cpp) is
    ``dy * scale^-beta - 2 * alpha * beta / size * x * sum of dy * y / scale over `size` channels``.
    """
    y: Tensor = _LrnAcross.apply(x, size, alpha, beta, k)[0]  # type: ignore[no-untyped-call]
    return y


def _neighbours(x: Tensor, reach: int) -> Tensor:
    """The sum over each channel and up to `reach` others on both sides."""
    if x.device.type != "cpu":
        return _pooled(x, reach)
    total = x.clone()
    for i in range(1, min(reach, x.shape[1] - 1) + 1):
        total[:, i:] += x[:, :-i]
        total[:, :-i] += x[:, i:]
    return total


def _pooled(x: Tensor, reach: int) -> Tensor:
    """`_neighbours` by one pooling along the channels as they lie in memory, which moves a seventh of the bytes."""
    size = 2 * reach + 1
    if x.is_contiguous():
        planes = x.view(x.shape[0], 1, x.shape[1], -1)
        return F.avg_pool2d(planes, (size, 1), 1, (reach, 0), divisor_override=1).view(x.shape)
    last = x.movedim(1, -1)
    rows = last.reshape(-1, 1, 1, x.shape[1])
    return F.avg_pool2d(rows, (1, size), 1, (0, reach), divisor_override=1).view(last.shape).movedim(-1, 1)


def _negative_power(scale: Tensor, beta: float) -> Tensor:
    """``scale^-beta``; the usual 0.75 by two roots, which take a third of the time."""
    if beta != 0.75:
        return scale.pow(-beta)
    root = scale.rsqrt()
    return root * root.sqrt()


def lrn_within(x: Tensor, size: int, alpha: float, beta: float) -> Tensor:
    """``x * (1 + alpha * mean of x^2 over a square of `size`)^-beta``; the mean counts padding as zeros.

    Computed in float32 where x is shorter.
    """
    wide = x if x.dtype == torch.float64 else x.float()
    mean = F.avg_pool2d(wide.square(), size, 1, size // 2)
    return (wide * (1 + alpha * mean) ** -beta).to(x.dtype)


class _Mvn(torch.autograd.Function):
    """The gradient takes ``sqrt(variance) + eps`` for the deviation throughout, as in Caffe (mvn_layer.cpp)."""

    @staticmethod
    def forward(x: Tensor, axes: tuple[int, ...], eps: float) -> tuple[Tensor, Tensor]:
        wide = x if x.dtype == torch.float64 else x.float()
        centred = wide - wide.mean(axes, keepdim=True)
        deviation = centred.square().mean(axes, keepdim=True).sqrt() + eps
        return (centred / deviation).to(x.dtype), deviation

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, tuple[int, ...], float], output: tuple[Tensor, Tensor]) -> None:
        ctx.axes = inputs[1]
        ctx.save_for_backward(*output)
        ctx.mark_non_differentiable(output[1])

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor, None, None]:
        y, deviation = ctx.saved_tensors
        wide = grad.to(deviation.dtype)
        along = (wide * y).mean(ctx.axes, keepdim=True)
        total = (wide - wide.mean(ctx.axes, keepdim=True) - y * along) / deviation
        return total.to(grad.dtype), None, None


def mvn(x: Tensor, axes: tuple[int, ...], eps: float) -> Tensor:
    """``(x - mean) / (sqrt(variance) + eps)``, mean and variance over `axes`, of which there is one at least.

    Computed in float32 where x is shorter.
    """
    y: Tensor = _Mvn.apply(x, axes, eps)[0]  # type: ignore[no-untyped-call]
    return y
