"""How large are the blobs, parameters and gradients of an iteration? `debug_info`, in the words of Caffe's log."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor, fx

from netdef.ir import Graph, Node
from netdef.solver.config import SolverConfig
from netdef.solver.feed import Feed
from netdef.solver.randomness import Randomness
from netdef.solver.running import RunningNet, feed_of, prepared
from netdef.solver.style import Style
from netdef.targets.torch import tensors


class DebugNet(RunningNet):
    """A training net that keeps every blob and its gradient, and tells their mean absolute values.

    Source: Caffe's net.cpp, ForwardDebugInfo and BackwardDebugInfo. A blob that several layers read is told of once,
    with the sum of its gradients, where Caffe tells of each copy that its Split layers make.
    """

    def __init__(self, graph: Graph, module: fx.GraphModule, feed: Feed, style: Style) -> None:
        super().__init__(graph, module, feed, style)
        self._values: dict[str, Tensor] = {}

    def forward(self) -> tuple[dict[str, Tensor], Tensor]:
        """See RunningNet."""
        self._values, loss = super().forward()
        for value in self._values.values():
            if value.requires_grad and not value.is_leaf:
                value.retain_grad()
        return {blob.id: self._values[blob.id] for blob in self.graph.outputs}, loss

    @torch.no_grad()
    def lines(self) -> Iterator[str]:
        """The lines on the last batch, after its way back."""
        held = tensors(self.module, self.graph)
        for node in self.graph.nodes:
            yield from self._forward_lines(node, held)
        for node in reversed(self.graph.nodes):
            yield from self._backward_lines(node, held)
        yield _totals(list(held.values()))

    def _forward_lines(self, node: Node, held: dict[str, Tensor]) -> Iterator[str]:
        for blob in node.tops:
            yield f"    [Forward] Layer {node.name}, top blob {blob.name} data: {_size(self._values[blob.id])}"
        for index, param in enumerate(node.params):
            name = param.shared_name or index
            yield f"    [Forward] Layer {node.name}, param blob {name} data: {_size(held[param.id])}"

    def _backward_lines(self, node: Node, held: dict[str, Tensor]) -> Iterator[str]:
        for blob, flows in zip(node.bottoms, node.propagate, strict=True):
            diff = self._values[blob.id].grad if flows else None
            if diff is not None:
                yield f"    [Backward] Layer {node.name}, bottom blob {blob.name} diff: {_size(diff)}"
        for index, param in enumerate(node.params):
            if held[param.id].requires_grad:
                diff = held[param.id].grad
                size = "0" if diff is None else _size(diff)
                yield f"    [Backward] Layer {node.name}, param blob {index} diff: {size}"


def build_debug(graph: Graph, config: SolverConfig, style: Style, random: Randomness) -> DebugNet:
    """The training net with `debug_info`, neither compiled nor recomputed, so that every blob is there to be seen."""
    plain = replace(style, compile=False, checkpoint=False, cuda_graphs=False)
    module = prepared(graph, plain, random, [blob.id for blob in graph.blobs.values()])
    return DebugNet(graph, module, feed_of(graph, module, config.train, config, plain, random), plain)


def _totals(held: list[Tensor]) -> str:
    diffs = [tensor.grad for tensor in held if tensor.grad is not None]
    data_1, diff_1 = (sum(float(tensor.abs().sum()) for tensor in found) for found in (held, diffs))
    data_2, diff_2 = (sum(float(tensor.square().sum()) for tensor in found) ** 0.5 for found in (held, diffs))
    norms = f"L1 norm = ({data_1:.6g}, {diff_1:.6g}); L2 norm = ({data_2:.6g}, {diff_2:.6g})"
    return f"    [Backward] All net params (data, diff): {norms}"


def _size(tensor: Tensor) -> str:
    """The mean absolute value."""
    return f"{float(tensor.detach().float().abs().mean()) if tensor.numel() else 0.0:.6g}"
