"""Is each layer's gradient the one that its outputs really have?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from netdef.ir import Graph, Node
from netdef.nn.recurrent import Recurrent
from netdef.report.layerwise import Step, steps
from netdef.report.trial import random_values, with_batch
from netdef.targets.torch import build_module, tensors

Verdict = Literal["agrees", "kink", "parts"]

_STEP = 1e-5
"""How far a value is moved, relative to the size of its tensor's values."""
_FINER = 1e-2
"""Where the gradients part, a step so much smaller tells a fault from a kink that the first step crossed."""
_ROUNDING = 1e-15
"""What float64 may lose in one operation, with a little room."""
_NOT_EXACT = {"ContrastiveLoss": 1e-2}
"""Types whose gradient is by Caffe's definition a little beside the true one (it divides by the distance + 1e-4)."""


@dataclass(frozen=True, slots=True)
class Check:
    """What was found for one tensor of a layer: a bottom or a parameter.

    Attributes:
        layer, type: the layer.
        tensor: name of the bottom or parameter that the gradient belongs to.
        directions: how many directions it was moved in: one in which all of its values move, and single values.
        error: the largest relative difference between the numeric and the analytic slope, kinks aside.
        numeric, analytic: the two slopes where that was.
        kinks: directions in which the layer bends within the step, where no slope can be right.
        verdict: `parts` if the difference is over the tolerance anywhere but in a kink.
    """

    layer: str
    type: str
    tensor: str
    directions: int
    error: float
    numeric: float
    analytic: float
    kinks: int
    verdict: Verdict

    def as_json(self) -> dict[str, Any]:
        """The findings as plain data."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Slope:
    """The numeric and the analytic slope in one direction; `noise` is what rounding alone may make of the numeric."""

    numeric: float
    analytic: float
    noise: float
    left: float
    right: float

    @property
    def error(self) -> float:
        """The relative difference, rounding aside."""
        largest = max(abs(self.numeric), abs(self.analytic))
        apart = max(abs(self.numeric - self.analytic) - self.noise, 0.0)
        return apart / largest if largest else 0.0

    def is_kink(self, tolerance: float) -> bool:
        """Whether the slopes on both sides differ, and the analytic one is one of them or between."""
        low, high = sorted((self.left, self.right))
        room = tolerance * max(abs(low), abs(high)) + 2 * self.noise
        return high - low > room and low - room <= self.analytic <= high + room


def check_gradients(
    graph: Graph, *, batch: int = 2, samples: int = 8, tolerance: float = 1e-4, seed: int = 0
) -> Iterator[Check]:
    """Compare each layer's gradients in float64 with central differences (y(x + h d) - y(x - h d)) / 2h.

    The net runs on random data of at most `batch` rows, each layer on the values that reach it. What is differentiated is
    Σ w y over its tops, w random. For each bottom and parameter d is one random direction over all values, and `samples`
    single values: half of them those of the largest gradient, half drawn.

    Raises:
        NetdefError: a size is unknown (ND0030), or a layer has no rule for torch.
    """
    graph = with_batch(graph, batch)
    generator = torch.Generator().manual_seed(seed)
    module = build_module(graph).double()
    _spread(graph, module, generator)
    values = random_values(graph, generator, torch.float64)
    for step in steps(graph, module):
        step.module.double()
        step.bring(values)
        lab = _Lab(step, generator, seed)
        values.update({id: value.detach() for id, value in lab.tops().items()})
        for name, tensor in _learning(step):
            yield lab.check(name, tensor, samples, _NOT_EXACT.get(step.node.type, tolerance))


def _spread(graph: Graph, module: nn.Module, generator: torch.Generator) -> None:
    """Draw what a constant filler made: of weights that are all 0 no layer behind learns anything."""
    with torch.no_grad():
        for id, tensor in tensors(module, graph).items():  # type: ignore[arg-type]
            if not graph.params[id].spec.statistic and tensor.numel() and bool((tensor == tensor.flatten()[0]).all()):
                tensor += 0.1 * torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype)


def _learning(step: Step) -> Iterator[tuple[str, Tensor]]:
    """The tensors that a gradient comes back to, if one comes back from the layer's tops at all."""
    if not any(top.requires_grad for top in step.tops.values()):
        return
    for blob, tensor in zip(step.node.bottoms, step.bottoms, strict=True):
        if tensor.requires_grad:
            yield blob.name, tensor
    for name, parameter in step.module.named_parameters():
        if parameter.requires_grad:
            yield name.rpartition(".")[2], parameter


class _Lab:
    """One layer, held still: the same random numbers and the same state in every forward pass."""

    def __init__(self, step: Step, generator: torch.Generator, seed: int) -> None:
        self.step, self.generator, self.seed = step, generator, seed
        tops = self.tops()
        self.weights = {id: torch.randn(y.shape, generator=generator, dtype=y.dtype) for id, y in tops.items()}

    def tops(self) -> Mapping[str, Tensor]:
        """The tops; every call draws alike and begins in the same state."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            for child in self.step.module.modules():
                if isinstance(child, Recurrent):
                    child.reset()
            return self.step.forward()

    def check(self, name: str, tensor: Tensor, samples: int, tolerance: float) -> Check:
        """Compare the slopes of Σ w y along directions of one tensor."""
        gradient = self._gradient(tensor)
        found = [self._slope(tensor, gradient, d, tolerance) for d in self._directions(gradient, samples)]
        kinks = [slope.error > tolerance and slope.is_kink(tolerance) for slope in found]
        smooth = [slope for slope, kink in zip(found, kinks, strict=True) if not kink]
        worst = max(smooth, key=lambda slope: slope.error, default=found[0])
        error = worst.error if smooth else 0.0
        verdict: Verdict = "parts" if error > tolerance else "kink" if any(kinks) else "agrees"
        node = self.step.node
        return Check(
            node.id, node.type, name, len(found), error, worst.numeric, worst.analytic, sum(kinks), verdict
        )

    def _gradient(self, tensor: Tensor) -> Tensor:
        tops = [(y, self.weights[id]) for id, y in self.tops().items() if y.requires_grad]
        (found,) = torch.autograd.grad(
            [y for y, _ in tops], [tensor], [w for _, w in tops], allow_unused=True, materialize_grads=True
        )
        return found

    def _directions(self, gradient: Tensor, samples: int) -> Iterator[Tensor]:
        flat, count = gradient.flatten(), gradient.numel()
        yield torch.randn(gradient.shape, generator=self.generator, dtype=gradient.dtype)
        largest = flat.abs().topk(min(samples // 2, count)).indices.tolist()
        drawn = torch.randint(count, (samples - len(largest),), generator=self.generator).tolist() if count else []
        for place in dict.fromkeys([*largest, *drawn]):
            direction = torch.zeros_like(flat)
            direction[place] = 1.0
            yield direction.view_as(gradient)

    def _slope(self, tensor: Tensor, gradient: Tensor, direction: Tensor, tolerance: float) -> Slope:
        analytic = float((gradient * direction).sum())
        size = _STEP * max(float(tensor.detach().abs().mean()), 1e-2)
        slope = self._measure(tensor, analytic, direction, size)
        return slope if slope.error <= tolerance else self._measure(tensor, analytic, direction, size * _FINER)

    @torch.no_grad()
    def _measure(self, tensor: Tensor, analytic: float, direction: Tensor, size: float) -> Slope:
        held = tensor.detach().clone()
        moved = []
        for way in (-size, 0.0, size):
            tensor.copy_(held + way * direction)
            moved.append({id: y.clone() for id, y in self.tops().items()})
        tensor.copy_(held)
        before, here, after = moved
        # Differences first, sums then: what does not change must not drown what does.
        left, right = self._sum(here, before) / size, self._sum(after, here) / size
        noise = _ROUNDING * self._noise(before, after) / size
        return Slope((left + right) / 2, analytic, noise, left, right)

    def _sum(self, a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> float:
        return sum(float((w * (a[id] - b[id])).sum()) for id, w in self.weights.items() if w.numel())

    def _noise(self, a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> float:
        """The size of the terms that changed, as a root of their squares."""
        squares = (float(((w * a[id])[a[id] != b[id]] ** 2).sum()) for id, w in self.weights.items())
        return float(sum(squares) ** 0.5)


def learns(node: Node) -> bool:
    """Whether a layer has anything to check."""
    return any(node.propagate) or any(param.lr_mult for param in node.params)
