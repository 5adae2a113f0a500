"""How does one update change weights and history? Caffe's six rules and AdamW, with foreach and fused kernels.

In all of them g is the gradient with weight decay, r the rate (with lr_mult), w the weights, squares and roots are
element by element, and h the history: the rows that a solver state keeps for each array of weights.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import torch
from torch import Tensor

Tensors = list[Tensor]


@dataclass(frozen=True, slots=True)
class Rule(ABC):
    """An update rule. `rows` is how many arrays of history it keeps for each array of weights."""

    rows: ClassVar[int] = 1
    rate_in_history: ClassVar[bool] = False
    """Whether the history of frozen weights stays 0, so that they need no work."""
    decays: ClassVar[bool] = False
    """Whether `update` adds the L2 decay to the gradients itself (a fused kernel does it in the same pass)."""

    @abstractmethod
    def update(
        self, weights: Tensors, grads: Tensors, history: Sequence[Tensors], rate: float, decay: float, iteration: int
    ) -> None:
        """Change `weights` and `history` in place; `grads` may be overwritten. `iteration` counts from 0."""


@dataclass(frozen=True, slots=True)
class SGD(Rule):
    """h = momentum h + r g; w -= h (source: sgd_solver.cpp).

    Not torch.optim.SGD, whose buffer does not hold the rate: the two part as soon as the rate changes. Its fused
    kernel computes Caffe's rule all the same, with rate 1 and dampening 1 - r.
    """

    rate_in_history: ClassVar[bool] = True
    decays: ClassVar[bool] = True

    momentum: float

    def update(
        self, weights: Tensors, grads: Tensors, history: Sequence[Tensors], rate: float, decay: float, iteration: int
    ) -> None:
        """See Rule."""
        torch._fused_sgd_(
            weights,
            grads,
            history[0],
            weight_decay=decay,
            # With 0 the kernel refuses a history, which a snapshot needs; the smallest double becomes 0 in it.
            momentum=self.momentum or 5e-324,
            lr=1.0,
            dampening=1.0 - rate,
            nesterov=False,
            maximize=False,
            is_first_step=False,
        )


@dataclass(frozen=True, slots=True)
class Nesterov(Rule):
    """h' = momentum h + r g; w -= (1 + momentum) h' - momentum h (source: nesterov_solver.cpp).

    Computed as w -= r g + momentum h', which is the same with one array less.
    """

    rate_in_history: ClassVar[bool] = True

    momentum: float

    def update(
        self, weights: Tensors, grads: Tensors, history: Sequence[Tensors], rate: float, decay: float, iteration: int
    ) -> None:
        """See Rule."""
        (h,) = history
        torch._foreach_mul_(grads, rate)
        torch._foreach_mul_(h, self.momentum)
        torch._foreach_add_(h, grads)
        torch._foreach_add_(grads, h, alpha=self.momentum)
        torch._foreach_sub_(weights, grads)


@dataclass(frozen=True, slots=True)
class AdaGrad(Rule):
    """h += g^2; w -= r g / (sqrt(h) + delta) (source: adagrad_solver.cpp)."""

    delta: float

    def update(
        self, weights: Tensors, grads: Tensors, history: Sequence[Tensors], rate: float, decay: float, iteration: int
    ) -> None:
        """See Rule."""
        (h,) = history
        torch._foreach_addcmul_(h, grads, grads)
        _descend(weights, grads, h, rate, self.delta)


@dataclass(frozen=True, slots=True)
class RMSProp(Rule):
    """h = rms_decay h + (1 - rms_decay) g^2; w -= r g / (sqrt(h) + delta) (source: rmsprop_solver.cpp)."""

    rms_decay: float
    delta: float

    def update(
        self, weights: Tensors, grads: Tensors, history: Sequence[Tensors], rate: float, decay: float, iteration: int
    ) -> None:
        """See Rule."""
        (h,) = history
        torch._foreach_mul_(h, self.rms_decay)
        torch._foreach_addcmul_(h, grads, grads, value=1 - self.rms_decay)
        _descend(weights, grads, h, rate, self.delta)


@dataclass(frozen=True, slots=True)
class AdaDelta(Rule):
    """A step in the size of past steps (source: adadelta_solver.cpp), with two rows of history, a and b.

    a = momentum a + (1 - momentum) g^2; u = g sqrt((b + delta) / (a + delta)); b = momentum b + (1 - momentum) u^2;
    w -= r u.
    """

    rows: ClassVar[int] = 2

    momentum: float
    delta: float

    def update(
        self, weights: Tensors, grads: Tensors, history: Sequence[Tensors], rate: float, decay: float, iteration: int
    ) -> None:
        """See Rule."""
        a, b = history
        torch._foreach_mul_(a, self.momentum)
        torch._foreach_addcmul_(a, grads, grads, value=1 - self.momentum)
        ratio = torch._foreach_add(b, self.delta)
        torch._foreach_div_(ratio, torch._foreach_add(a, self.delta))
        torch._foreach_sqrt_(ratio)
        torch._foreach_mul_(grads, ratio)
        torch._foreach_mul_(b, self.momentum)
        torch._foreach_addcmul_(b, grads, grads, value=1 - self.momentum)
        torch._foreach_add_(weights, grads, alpha=-rate)


@dataclass(frozen=True, slots=True)
class Adam(Rule):
    """Adam with Caffe's place for delta (source: adam_solver.cpp), t = iteration + 1, two rows of history, m and v.

    m = momentum m + (1 - momentum) g; v = momentum2 v + (1 - momentum2) g^2;
    w -= r sqrt(1 - momentum2^t) / (1 - momentum^t) * m / (sqrt(v) + delta).

    torch.optim.Adam divides sqrt(v) by its correction before it adds the small number. Its fused kernel computes
    Caffe's rule when told that t is so large that nothing is left to correct, with the correction in the rate.
    """

    rows: ClassVar[int] = 2
    decays: ClassVar[bool] = True

    momentum: float
    momentum2: float
    delta: float

    def update(
        self, weights: Tensors, grads: Tensors, history: Sequence[Tensors], rate: float, decay: float, iteration: int
    ) -> None:
        """See Rule."""
        t = iteration + 1
        correction = (1 - self.momentum2**t) ** 0.5 / (1 - self.momentum**t)
        torch._fused_adam_(
            weights,
            grads,
            history[0],
            history[1],
            [],
            _endless(weights[0].device, len(weights)),
            lr=rate * correction,
            beta1=self.momentum,
            beta2=self.momentum2,
            weight_decay=decay,
            eps=self.delta,
            amsgrad=False,
            maximize=False,
        )


@dataclass(frozen=True, slots=True)
class AdamW(Rule):
    """Adam with the decay beside the gradient (Loshchilov and Hutter 2019, algorithm 2), two rows of history, m and v.

    w -= r decay w; m = momentum m + (1 - momentum) g; v = momentum2 v + (1 - momentum2) g^2;
    w -= r m / (1 - momentum^t) / (sqrt(v / (1 - momentum2^t)) + delta), t = iteration + 1.

    torch.optim.AdamW's numbers: delta stands outside the correction here, unlike Caffe's Adam.
    """

    rows: ClassVar[int] = 2
    rate_in_history: ClassVar[bool] = True
    decays: ClassVar[bool] = True

    momentum: float
    momentum2: float
    delta: float

    def update(
        self, weights: Tensors, grads: Tensors, history: Sequence[Tensors], rate: float, decay: float, iteration: int
    ) -> None:
        """See Rule."""
        torch._fused_adamw_(
            weights,
            grads,
            history[0],
            history[1],
            [],
            [torch.full((), iteration + 1.0, device=weights[0].device)] * len(weights),
            lr=rate,
            beta1=self.momentum,
            beta2=self.momentum2,
            weight_decay=decay,
            eps=self.delta,
            amsgrad=False,
            maximize=False,
        )


def _descend(weights: Tensors, grads: Tensors, squares: Tensors, rate: float, delta: float) -> None:
    """Subtract rate * grads / (sqrt(squares) + delta)."""
    roots = torch._foreach_sqrt(squares)
    torch._foreach_add_(roots, delta)
    torch._foreach_addcdiv_(weights, grads, roots, value=-rate)


@cache
def _endless(device: torch.device, count: int) -> Tensors:
    """Step counts for which every bias correction of torch's Adam is 1 (any decay below 1 - 1e-7)."""
    return [torch.full((), 1e30, device=device)] * count
