"""Blobs that hold one number."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Constant(nn.Module):
    """`value` in a tensor of these sizes, which moves with the module and is not saved with it."""

    value: Tensor

    def __init__(self, sizes: tuple[int, ...], value: float) -> None:
        super().__init__()
        self.register_buffer("value", torch.full(sizes, value), persistent=False)

    def forward(self) -> Tensor:
        return self.value


def filled(x: Tensor, sizes: tuple[int | None, ...], value: float, axis: int = 0) -> Tensor:
    """`value` in a tensor of these sizes, a None among them being the size of x on `axis`."""
    return x.new_full([x.shape[axis] if size is None else size for size in sizes], value)
