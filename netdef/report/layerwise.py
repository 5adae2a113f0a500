"""How does a net compute one layer at a time, as Caffe does: each on the values that those before it made?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import chain

import torch
from torch import Tensor, fx

from netdef.ir import Blob, Filler, Graph, Node, Param
from netdef.layers.data import Input
from netdef.targets.torch import build_module, share


@dataclass(slots=True)
class Step:
    """One layer of a net, with a module of its own that computes with the net's parameters.

    Attributes:
        node: the layer.
        module: takes its bottoms, gives its tops by blob id.
        arguments: the module's name of each bottom.
        bottoms, tops: tensors of the last forward pass; the bottoms are leaves of autograd.
    """

    node: Node
    module: fx.GraphModule
    arguments: tuple[str, ...]
    bottoms: tuple[Tensor, ...] = ()
    tops: dict[str, Tensor] = field(default_factory=dict)

    def bring(self, values: Mapping[str, Tensor]) -> None:
        """Take the bottoms from `values` (by blob id), cut from what made them."""
        self.bottoms = tuple(
            values[blob.id].detach().requires_grad_(flows)
            for blob, flows in zip(self.node.bottoms, self.node.propagate, strict=True)
        )

    def forward(self) -> dict[str, Tensor]:
        """The tops, by blob id."""
        self.tops = self.module(**dict(zip(self.arguments, self.bottoms, strict=True)))
        return self.tops

    def seeds(self, gradients: Mapping[str, Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """The tops that a gradient comes back to, and the gradient of each."""
        able = [blob.id for blob in self.node.tops if blob.id in gradients and self.tops[blob.id].requires_grad]
        return [self.tops[id] for id in able], [gradients[id] for id in able]


def steps(graph: Graph, module: fx.GraphModule) -> list[Step]:
    """A step for each layer that computes something, in order, with the parameters of `module`."""
    return [_step(graph, module, node) for node in graph.nodes if node.tops and not node.layer.is_source]


def end_gradients(graph: Graph, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Where the backward pass begins: each loss with its weight; in a net without a loss, each output with 1."""
    ends = list(graph.losses()) or [(blob, 1.0) for blob in graph.outputs]
    return {blob.id: torch.full_like(values[blob.id], weight) for blob, weight in ends}


def add_gradients(step: Step, gradients: dict[str, Tensor]) -> None:
    """Add what came back to the bottoms of a step to the gradients by blob id: forks sum."""
    for blob, tensor in zip(step.node.bottoms, step.bottoms, strict=True):
        if tensor.grad is not None:
            gradients[blob.id] = gradients[blob.id] + tensor.grad if blob.id in gradients else tensor.grad
            tensor.grad = None


def _step(graph: Graph, module: fx.GraphModule, node: Node) -> Step:
    alone = _alone(graph, node)
    made = build_module(alone, outputs=[blob.id for blob in node.tops])
    share(module, graph, made, alone)
    made.to(_device(module))  # what a layer holds beside its parameters: the weights of classes, a recurrent state
    return Step(node, made, tuple(made.meta["inputs"][blob.id] for blob in alone.inputs))


def _device(module: fx.GraphModule) -> torch.device:
    held = next(chain(module.parameters(), module.buffers()), None)
    return torch.device("cpu") if held is None else held.device


def _alone(graph: Graph, node: Node) -> Graph:
    """A net of that layer, with an Input in the place of all before it."""
    inputs = tuple(Blob(f"in{i}", f"in{i}", blob.shape) for i, blob in enumerate(node.bottoms))
    layer = Input(tuple(blob.shape for blob in inputs))
    source = Node(f"{node.id}\0", "in", layer, (), inputs, loss_weights=(0.0,) * len(inputs))
    params = tuple(_unfilled(param) for param in node.params)
    node = replace(node, bottoms=inputs, params=params, loss_weights=(0.0,) * len(node.tops))
    return replace(graph, nodes=(source, node) if inputs else (node,), inputs=inputs, outputs=node.tops)


def _unfilled(param: Param) -> Param:
    """The parameter with nothing to draw: the net's own takes its place."""
    return replace(param, spec=replace(param.spec, filler=Filler()))
