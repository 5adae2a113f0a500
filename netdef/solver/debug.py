"""How large are the blobs, parameters and gradients of an iteration? `debug_info`, in the words of Caffe's log."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from netdef.ir import Blob, Graph, Node
from netdef.solver.run import Run
from netdef.solver.sight import Sight
from netdef.solver.team import ALONE, Team
from netdef.targets.torch import tensors
from netdef.targets.torch.parts import own, whole


def lines(run: Run, sight: Sight) -> list[str]:
    """The lines on the last batch of a training net, after its way back; each process of a team asks at the same time.

    Source: Caffe's net.cpp, ForwardDebugInfo and BackwardDebugInfo. A blob that several layers read is told of once,
    with the sum of its gradients, where Caffe tells of each copy that its Split layers make.
    """
    return list(_Lines(run, sight).all())


class _Lines:
    """Means over the whole batch: processes that have a part of it each put theirs together."""

    def __init__(self, run: Run, sight: Sight) -> None:
        self._net, self._values, self._scale = run.train, sight.values, run.scale.scale
        self._held = tensors(run.train.module, run.train.graph)

    @torch.no_grad()
    def all(self) -> Iterator[str]:
        graph: Graph = self._net.graph
        for node in graph.nodes:
            yield from self._forward(node)
        for node in reversed(graph.nodes):
            yield from self._backward(node)
        yield self._totals()

    def _forward(self, node: Node) -> Iterator[str]:
        for blob in node.tops:
            size = self._size(self._value(blob), self._team(blob))
            yield f"    [Forward] Layer {node.name}, top blob {blob.name} data: {size}"
        for index, param in enumerate(node.params):
            name = param.shared_name or index
            yield f"    [Forward] Layer {node.name}, param blob {name} data: {self._size(self._weight(param.id))}"

    def _backward(self, node: Node) -> Iterator[str]:
        for blob, flows in zip(node.bottoms, node.propagate, strict=True):
            diff = self._slope(blob) if flows else None
            if diff is not None:
                size = self._size(diff, self._team(blob))
                yield f"    [Backward] Layer {node.name}, bottom blob {blob.name} diff: {size}"
        for index, param in enumerate(node.params):
            if self._held[param.id].requires_grad:
                diff = self._gradient(param.id)
                size = "0" if diff is None else self._size(diff)
                yield f"    [Backward] Layer {node.name}, param blob {index} diff: {size}"

    def _team(self, blob: Blob) -> Team:
        """Those who have a part of a blob each."""
        return self._net.team if self._net.has_part_of(blob.id) else ALONE

    def _value(self, blob: Blob) -> Tensor:
        """A blob, or this process's part of it."""
        value = self._values[blob.id]
        return value if self._net.has_part_of(blob.id) else self._net.of_all({blob.id: value})[blob.id]

    def _slope(self, blob: Blob) -> Tensor | None:
        """The gradient of a blob; a process's own loss has as many times the weight as there are processes."""
        diff = self._values[blob.id].grad
        if diff is None:
            return None
        team = self._net.team
        found = diff / (team.world * self._scale)
        return found if self._net.has_part_of(blob.id) else team.sum(found)

    def _weight(self, param: str) -> Tensor:
        held = self._held[param]
        return whole(own(held), held)

    def _gradient(self, param: str) -> Tensor | None:
        held = self._held[param]
        return None if held.grad is None else whole(own(held.grad), held) / self._scale

    def _totals(self) -> str:
        weights = [self._weight(param) for param in self._held]
        diffs = [diff for param in self._held if (diff := self._gradient(param)) is not None]
        data_1, diff_1 = (sum(float(tensor.abs().sum()) for tensor in found) for found in (weights, diffs))
        data_2, diff_2 = (sum(float(tensor.square().sum()) for tensor in found) ** 0.5 for found in (weights, diffs))
        norms = f"L1 norm = ({data_1:.6g}, {diff_1:.6g}); L2 norm = ({data_2:.6g}, {diff_2:.6g})"
        return f"    [Backward] All net params (data, diff): {norms}"

    @staticmethod
    def _size(tensor: Tensor, team: Team = ALONE) -> str:
        """The mean absolute value."""
        size = tensor.detach().abs().sum(dtype=torch.float64)
        total, count = team.sum(torch.stack([size, torch.full_like(size, tensor.numel())])).tolist()
        return f"{total / count if count else 0.0:.6g}"
