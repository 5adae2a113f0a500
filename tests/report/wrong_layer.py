"""A layer whose backward pass is wrong, for the gradient check to find."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from netdef.layers.activation import Elementwise
from netdef.layers.record import TorchRecorder, Value


class _WrongSquare(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return grad * x


def wrong_square(x: Tensor) -> Tensor:
    """The square, with half of its gradient."""
    return _WrongSquare.apply(x)  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class WrongSquare(Elementwise):
    """See the file."""

    def torch(self, g: TorchRecorder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """Calls the function above."""
        return (g.call("tests.report.wrong_layer.wrong_square", bottoms, {}),)
