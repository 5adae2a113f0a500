"""Is each layer's gradient the one that its outputs really have?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from math import inf, isfinite
from typing import Any, Literal

import torch
from torch import Tensor, fx, nn

from netdef.ir import Graph
from netdef.nn.recurrent import Recurrent
from netdef.report.layerwise import Step, steps
from netdef.report.trial import random_values, require_sizes, with_batch
from netdef.targets.torch import build_module, tensors

Verdict = Literal["agrees", "kink", "parts"]
Tops = Mapping[str, Tensor]
Direction = Tensor | int
"""A direction over all values of a tensor, or the place of the single value that moves."""

IN_ONE_GO = "in one go"
"""What stands in the place of a layer's name for the net as a whole."""
_STEP = 1e-5
"""How far a value is moved, relative to the size of its tensor's values."""
_FINER = 1e-2
"""Where the gradients part, a step so much smaller tells a fault from a kink that the first step crossed."""
_ROUNDING = 1e-15
"""What float64 may lose in one operation, with a little room."""
_BEND = 1e-3
"""Slopes of both sides that differ by more than this part are two different ones."""
_NOT_EXACT = {"ContrastiveLoss": 1e-2}
"""Types whose gradient is by Caffe's definition a little beside the true one (it divides by the distance + 1e-4)."""


@dataclass(frozen=True, slots=True)
class Check:
    """What was found for one tensor of a layer: a bottom or a parameter.

    Attributes:
        layer, type: the layer.
        tensor: name of the bottom or parameter that the gradient belongs to.
        directions: how many directions it was moved in: one in which all of its values move, and single values.
        error: the largest relative difference between the numeric and the analytic slope.
        numeric, analytic: the two slopes where that was.
        kinks: directions in which an output bends right here, so that it has no slope; such outputs are left out.
        verdict: `parts` if the difference is over the tolerance anywhere.
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
    """The numeric and the analytic slope in one direction.

    `noise` is what rounding alone may make of them, `bends` whether some of the outputs have another slope
    to the left than to the right: these are left out of both.
    """

    numeric: float
    analytic: float
    noise: float
    bends: bool = False

    def error(self, tolerance: float) -> float:
        """The relative difference; it passes the tolerance only where it passes what rounding makes, too."""
        largest = max(abs(self.numeric), abs(self.analytic)) + self.noise / tolerance
        error = abs(self.numeric - self.analytic) / largest if largest else 0.0
        return error if isfinite(error) else inf


def check_gradients(
    graph: Graph, *, batch: int = 2, samples: int = 8, tolerance: float = 1e-4, seed: int = 0
) -> Iterator[Check]:
    """Compare each layer's gradients in float64 with central differences (y(x + h d) - y(x - h d)) / 2h.

    The net runs on random data of at most `batch` rows, each layer on the values that reach it. What is differentiated
    is Σ w y over its tops, w random. For each bottom and parameter d is one random direction over all values, and
    `samples` single values: half of them those of the largest gradient, half drawn.

    Raises:
        NetdefError: a size is unknown (ND0030), or a layer has no rule for torch.
    """
    require_sizes(graph)
    graph = with_batch(graph, batch)
    generator = torch.Generator().manual_seed(seed)
    module = build_module(graph).double()
    _spread(graph, module, generator)
    values = random_values(graph, generator, torch.float64)
    for step in steps(graph, module):
        step.module.double()
        step.bring(values)
        lab = _Lab(step, generator, seed)
        values.update({id: value.detach().contiguous() for id, value in lab.tops().items()})
        for name, tensor in _learning(step):
            yield lab.check(name, tensor, samples, _NOT_EXACT.get(step.node.type, tolerance))
    yield from _in_one_go(graph, module, values, generator, samples, tolerance)


def _in_one_go(
    graph: Graph,
    module: fx.GraphModule,
    values: Mapping[str, Tensor],
    generator: torch.Generator,
    samples: int,
    tolerance: float,
) -> Iterator[Check]:
    """The whole net as it trains, layers fused: the gradient of its first parameters comes through all of it."""
    node = replace(
        graph.nodes[-1], id=IN_ONE_GO, bottoms=graph.inputs, tops=graph.outputs, propagate=(False,) * len(graph.inputs)
    )
    step = Step(node, module, tuple(module.meta["inputs"][blob.id] for blob in graph.inputs))
    step.bring(values)
    lab = _Lab(step, generator, 0)
    first = next(((name, p) for name, p in module.named_parameters() if p.requires_grad), None)
    if first and lab.weights:
        tolerance = max(tolerance, *(_NOT_EXACT.get(each.type, 0.0) for each in graph.nodes), 0.0)
        yield replace(lab.check(*first, samples, tolerance), type="")


def _spread(graph: Graph, module: nn.Module, generator: torch.Generator) -> None:
    """Draw what a constant filler made: of weights that are all 0 no layer behind learns anything."""
    for parameter in module.parameters():
        parameter.data = parameter.data.contiguous()
    with torch.no_grad():
        for id, tensor in tensors(module, graph).items():
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
        learned = {id: y for id, y in self.tops().items() if y.requires_grad}  # Caffe's LSTM lets none back from hT
        self.weights = {id: torch.randn(y.shape, generator=generator, dtype=y.dtype) for id, y in learned.items()}

    def tops(self) -> Tops:
        """The tops; every call draws alike and begins in the same state."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            for child in self.step.module.modules():
                if isinstance(child, Recurrent):
                    child.reset()
            return self.step.forward()

    def check(self, name: str, tensor: Tensor, samples: int, tolerance: float) -> Check:
        """Compare the slopes of Σ w y along directions of one tensor."""
        gradient = self._gradient(tensor, self.weights)
        found = [self._slope(tensor, gradient, d, tolerance) for d in self._directions(gradient, samples)]
        worst = max(found, key=lambda slope: slope.error(tolerance))
        error, kinks = worst.error(tolerance), sum(slope.bends for slope in found)
        verdict: Verdict = "parts" if error > tolerance else "kink" if kinks else "agrees"
        node = self.step.node
        return Check(node.id, node.type, name, len(found), error, worst.numeric, worst.analytic, kinks, verdict)

    def _gradient(self, tensor: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
        """Of Σ w y."""
        tops = self.tops()
        (found,) = torch.autograd.grad(
            [tops[id] for id in weights], [tensor], list(weights.values()), allow_unused=True, materialize_grads=True
        )
        return found

    def _directions(self, gradient: Tensor, samples: int) -> Iterator[Direction]:
        yield torch.randn(gradient.shape, generator=self.generator, dtype=gradient.dtype)
        count = gradient.numel()
        largest = gradient.flatten().abs().topk(min(samples // 2, count)).indices.tolist()
        drawn = torch.randint(count, (samples - len(largest),), generator=self.generator).tolist() if count else []
        yield from dict.fromkeys([*largest, *drawn])

    def _slope(self, tensor: Tensor, gradient: Tensor, direction: Direction, tolerance: float) -> Slope:
        size = _STEP * max(float(tensor.detach().abs().mean()), 1e-2)
        before, here, after = self._around(tensor, direction, size)
        slope = self._compare(gradient, direction, before, after, size, self.weights)
        if slope.error(tolerance) <= tolerance:
            return slope
        coarse = {id: _turn(before[id], here[id], after[id], size) for id in self.weights}
        size *= _FINER
        before, here, after = self._around(tensor, direction, size)
        smooth = {id: w * ~_bent(before[id], here[id], after[id], size, coarse[id]) for id, w in self.weights.items()}
        slope = self._compare(self._gradient(tensor, smooth), direction, before, after, size, smooth)
        bends = any(not torch.equal(smooth[id], w) for id, w in self.weights.items())
        return replace(slope, bends=bends) if isfinite(slope.analytic) or not bends else Slope(0.0, 0.0, 0.0, bends)

    @torch.no_grad()
    def _around(self, tensor: Tensor, direction: Direction, size: float) -> list[Tops]:
        """The tops before, at and behind the place."""
        moved: list[Tops] = []
        flat = tensor.view(-1)
        held = flat.clone() if isinstance(direction, Tensor) else flat[direction].clone()
        for way in (-size, 0.0, size):
            if isinstance(direction, Tensor):
                flat.copy_(held).add_(direction.flatten(), alpha=way)
            else:
                flat[direction] = held + way
            moved.append({id: y.detach().clone() for id, y in self.tops().items()})
        flat[... if isinstance(direction, Tensor) else direction] = held
        return moved

    def _compare(
        self, gradient: Tensor, direction: Direction, before: Tops, after: Tops, size: float, weights: Tops
    ) -> Slope:
        # Differences first, sums then: what does not change must not drown what does.
        change = sum(float(_part(w, after[id] - before[id]).sum()) for id, w in weights.items())
        terms = (float(_part(w * (after[id] != before[id]), after[id]).square().sum()) for id, w in weights.items())
        analytic = (gradient * direction).sum() if isinstance(direction, Tensor) else gradient.flatten()[direction]
        # The numeric slope is rounded where it is divided, the analytic one where gradients cancel to nothing.
        noise = float(sum(terms) ** 0.5) / size + 10 * sum(float(w.norm()) for w in weights.values())
        return Slope(change / (2 * size), float(analytic), _ROUNDING * noise)


def _part(weights: Tensor, values: Tensor) -> Tensor:
    """The weighted values; what is not finite and has no weight does not spoil the rest."""
    return torch.where(weights != 0, weights * values, 0.0)


def _turn(before: Tensor, here: Tensor, after: Tensor, size: float) -> Tensor:
    """How far the slope to the right is from the slope to the left."""
    return ((after - here) / size - (here - before) / size).abs()


def _bent(before: Tensor, here: Tensor, after: Tensor, size: float, coarse: Tensor) -> Tensor:
    """The outputs whose slopes to both sides differ by more than curvature and rounding explain, or are none.

    `coarse` is how far they differed over the longer step. Of a curve the difference shrinks as the step does, even
    at its lowest point, where both slopes are next to nothing; of a kink it does not.
    """
    steepest = torch.maximum((here - before).abs(), (after - here).abs()) / size
    rounding = 10 * _ROUNDING * here.abs() / size
    room = torch.maximum(_BEND * steepest, 2 * _FINER * torch.where(coarse.isfinite(), coarse, 0.0)) + rounding
    return ~(_turn(before, here, after, size) <= room)
