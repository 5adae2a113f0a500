"""BatchNorm whose statistics are those of the rows of all processes."""

from __future__ import annotations

from typing import cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn import functional as shared

from netdef.nn.normalization import BatchNorm


class SyncBatchNorm(BatchNorm):
    """`BatchNorm` over the batch of all processes of torch.distributed: the same values as in one process.

    Mean and variance are summed in two exchanges, the second of squares about the common mean, so that nothing is lost
    where the mean is large; gradients flow back through both. Parts may have different numbers of rows.
    """

    def _normalize(self, x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
        if self.use_global_stats:
            return super()._normalize(x, weight, bias)
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        axes, own = [0, *range(2, x.dim())], x.numel() // x.shape[1]
        sums = _summed(torch.cat([wide.sum(axes), wide.new_full((1,), own)]))
        count = sums[-1].detach()
        centred = wide - _along(sums[:-1] / count, x)
        variance = _summed(centred.square().sum(axes)) / count
        y = centred * _along((variance + self.eps).rsqrt(), x)
        unbiased = variance.detach() * (count / (count - 1).clamp(min=1))
        if self.counting:
            self._count(sums[:-1].detach() / count, unbiased, 2)
        y = y if weight is None else y * _along(weight, x)
        return (y if bias is None else y + _along(bias, x)).to(x.dtype)


def synchronise(module: nn.Module) -> None:
    """Let every BatchNorm of a net take its statistics of all processes' rows. Buffers stay the same objects."""
    for child in module.modules():
        if type(child) is BatchNorm:
            child.__class__ = SyncBatchNorm


def _summed(x: Tensor) -> Tensor:
    return cast(Tensor, shared.all_reduce(x, dist.ReduceOp.SUM))  # type: ignore[no-untyped-call]


def _along(channels: Tensor, x: Tensor) -> Tensor:
    return channels.reshape(-1, *(1,) * (x.dim() - 2))
