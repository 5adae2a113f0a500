"""How are gradients turned into an update? Caffe's order of work as a `torch.optim.Optimizer`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from netdef.solver.policy import single
from netdef.solver.rules import Rule, Tensors
from netdef.solver.team import ALONE, Team
from netdef.targets.torch.parts import own, part_of, whole


@dataclass(frozen=True, slots=True)
class Learnable:
    """A tensor of the net that stands in the solver's history, with its factors on rate and decay.

    `tensor` is a Parameter, or a buffer for a running statistic (whose lr_mult is 0).
    """

    tensor: Tensor
    lr_mult: float = 1.0
    decay_mult: float = 1.0


class CaffeOptimizer(torch.optim.Optimizer):
    """One update of Caffe (source: sgd_solver.cpp, ApplyUpdate), in this order.

    1. clip: all gradients times clip / max(clip, L2 norm of all of them together);
    2. divide by iter_size;
    3. clip by value (netdef's own): each number to -clip_value … clip_value;
    4. weight decay: g += decay * decay_mult * w (L2) or sign(w) (L1);
    5. the rule, with the rate times lr_mult, which subtracts from the weights.

    The base rate is `rate`, the number of updates made `iteration`; both may be set. Weights that got no gradient
    count as having a gradient of 0 (decay and momentum still move them). Gradients are overwritten.

    Weights with lr_mult 0 never move, but a decay still enters the squares that AdaGrad, RMSProp, AdaDelta and Adam
    remember of them, so that the history is Caffe's.

    Of tensors that the processes of `team` hold in parts each updates its own, with its part of the history. The norm
    alone is asked of all.
    """

    def __init__(
        self,
        learnables: Iterable[Learnable],
        rule: Rule,
        *,
        rate: float = 0.0,
        weight_decay: float = 0.0,
        regularization: Literal["L2", "L1"] = "L2",
        clip: float = -1.0,
        clip_value: float = -1.0,
        iter_size: int = 1,
        team: Team = ALONE,
    ) -> None:
        self.rule, self.team = rule, team
        self.learnables = tuple(learnables)
        self.iteration = 0
        self.clip, self.iter_size, self.regularization = clip, iter_size, regularization
        self.clip_value = clip_value
        super().__init__(_groups(self.learnables, weight_decay, rule), {"lr": rate})
        # Lists that every update needs: they are of the tensors themselves, which are changed in place alone.
        self._weights: list[Tensors] = []
        self._rows: list[list[Tensors]] = []
        for group in self.param_groups:
            weights = [own(tensor) for tensor in group["params"]]
            for tensor, weight in zip(group["params"], weights, strict=True):
                self.state[tensor] = {str(row): torch.zeros_like(weight) for row in range(rule.rows)}
            rows = map(str, range(rule.rows))
            self._weights.append(weights)
            self._rows.append([[self.state[tensor][row] for tensor in group["params"]] for row in rows])

    @property
    def rate(self) -> float:
        """The base rate of the next update, before any lr_mult."""
        return float(self.param_groups[0]["lr"])

    @rate.setter
    def rate(self, value: float) -> None:
        for group in self.param_groups:
            group["lr"] = value

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Make one update from the gradients at hand, or from those that `closure` makes, whose loss is returned."""
        loss = None
        if closure:
            with torch.enable_grad():
                loss = closure()
        gradients = [self._gradients(*lists) for lists in zip(self.param_groups, self._weights, strict=True)]
        if self.clip >= 0 or self.iter_size > 1 or self.clip_value > 0:
            self._scale([grad for grads in gradients for grad in grads])
        for group, weights, grads, history in zip(self.param_groups, self._weights, gradients, self._rows, strict=True):
            self._update(group, weights, grads, history)
        self.iteration += 1
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""
        for item in self.learnables if set_to_none else ():
            item.tensor.grad = None
        if not set_to_none:
            super().zero_grad(set_to_none=False)

    def gradients(self) -> Tensors:
        """The gradients that the next update is made of, or this process's parts of them."""
        return [own(w.grad) for group in self.param_groups for w in group["params"] if w.grad is not None]

    def history(self) -> Iterator[Tensor]:
        """The history in the order of a solver state: the first row of every learnable, then the second.

        Where processes hold it in parts, each must ask for every array at the same time.
        """
        for row in map(str, range(self.rule.rows)):
            for item in self.learnables:
                yield whole(self._row(item.tensor, row), item.tensor)

    @torch.no_grad()
    def load_history(self, arrays: Sequence[Tensor]) -> None:
        """Take over a history in the order of `history`; counts must agree."""
        slots = [(str(row), item.tensor) for row in range(self.rule.rows) for item in self.learnables]
        for (row, tensor), array in zip(slots, arrays, strict=True):
            if tensor in self.state:
                self.state[tensor][row].copy_(part_of(array.reshape(tensor.shape), tensor))

    def _row(self, tensor: Tensor, row: str) -> Tensor:
        held = self.state.get(tensor)
        return torch.zeros_like(own(tensor)) if held is None else held[row]

    def _gradients(self, group: dict[str, Any], weights: Tensors) -> Tensors:
        found = [tensor.grad for tensor in group["params"]]
        return [torch.zeros_like(w) if g is None else own(g) for w, g in zip(weights, found, strict=True)]

    def _scale(self, grads: Tensors) -> None:
        """Clip all gradients together, and divide by iter_size, without asking the device for a number."""
        if self.clip == 0:  # 0 / 0 where all are 0 already
            torch._foreach_zero_(grads)
        elif self.clip > 0:
            norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(grads)))
            if self.team.world > 1:
                norm = self.team.sum(norm.square()).sqrt()
            torch._foreach_mul_(grads, (self.clip / norm).clamp_(max=1.0) / self.iter_size)
        elif self.iter_size > 1:
            torch._foreach_mul_(grads, 1.0 / self.iter_size)
        if self.clip_value > 0:
            torch._foreach_clamp_max_(grads, self.clip_value)
            torch._foreach_clamp_min_(grads, -self.clip_value)

    def _update(self, group: dict[str, Any], weights: Tensors, grads: Tensors, history: list[Tensors]) -> None:
        decay = group["decay"]
        if decay and self.regularization == "L1":
            torch._foreach_add_(grads, torch._foreach_sign(weights), alpha=decay)
            decay = 0.0
        elif decay and not self.rule.decays:
            torch._foreach_add_(grads, weights, alpha=decay)
        self.rule.update(weights, grads, history, single(group["lr"] * group["lr_mult"]), decay, self.iteration)


def _groups(learnables: Iterable[Learnable], weight_decay: float, rule: Rule) -> list[dict[str, Any]]:
    """The learnables that an update must look at, put together by their factors."""
    groups: dict[tuple[float, float], dict[str, Any]] = {}
    for item in learnables:
        decay = single(weight_decay * item.decay_mult)
        if not item.lr_mult and (rule.rate_in_history or not decay):
            continue
        key = (item.lr_mult, decay)
        group = groups.setdefault(key, {"params": [], "lr_mult": item.lr_mult, "decay": decay})
        group["params"].append(item.tensor)
    return list(groups.values())
