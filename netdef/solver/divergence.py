"""Has a run diverged, and where did it begin?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite

import torch
from torch import Tensor

from netdef.diagnostics import RunError, error
from netdef.ir import Graph, Node, Param
from netdef.layers import Layer
from netdef.solver.running import RunningNet, whole_tensors
from netdef.solver.team import ALONE
from netdef.targets.torch import build_module, lend, tensors
from netdef.targets.torch.parts import own

_LOWER = "lower `base_lr`, or set `clip_gradients`"


def divergence(net: RunningNet, what: str, iteration: int, saved: int | None) -> RunError:
    """The error ND0801, with the layer where it began.

    `what` is not finite at `iteration`: the loss, a gradient, or weights. `saved` is the iteration of the last
    snapshot, None if there is none.
    """
    node = _first_output(net)
    source = node is not None and isinstance(node.layer, Layer) and node.layer.is_source
    place = f'"{node.id}" is the first layer whose output is not finite' if node else _behind(net)
    advice = "look for such numbers in the data, in the mean and in `scale`" if source else _LOWER
    help = (advice, f"the snapshot of iteration {saved} is good") if saved else (advice,)
    span = (node.places.fields.get("source") or node.places.layer) if node and source else None
    return RunError([error("ND0801", f"{what} not finite at iteration {iteration}: {place}", span=span, help=help)])


class GradientCheck:
    """Whether a training net's gradients are finite, at little cost: looked at are those that tell of the others.

    A bias's gradient is the plain sum of what comes back to its layer, from which all gradients of the layer are made;
    of a layer without one every gradient is looked at, by its sum. What is finite in the sum and overflows only when
    it is multiplied with the layer's input escapes: the loss of the next iteration tells of that.

    Where processes hold parameters in parts, each asks at the same time.
    """

    def __init__(self, net: RunningNet) -> None:
        held = tensors(net.module, net.graph)
        watched = {param.id: held[param.id] for node in net.graph.nodes for param in _telling(node, held)}
        self._few = [tensor for tensor in watched.values() if tensor.dim() == 1]
        self._many = [tensor for tensor in watched.values() if tensor.dim() != 1]
        self._team = net.team if net.style.in_parts else ALONE

    def passes(self) -> bool:
        """Look at the gradients at hand."""
        sums = [grad.sum() for grad in _gradients(self._many)]
        if few := _gradients(self._few):
            sums.append(torch.cat(few).sum())  # one step for all biases: each step takes longer than its numbers
        finite = all(isfinite(number) for number in torch.stack(sums).tolist()) if sums else True
        (bad,) = self._team.any(not finite)
        return not bad


def _gradients(parameters: Sequence[Tensor]) -> list[Tensor]:
    return [own(parameter.grad) for parameter in parameters if parameter.grad is not None]


def _telling(node: Node, held: Mapping[str, Tensor]) -> list[Param]:
    """The parameters of a layer whose gradients tell whether all of them are finite."""
    learning = [param for param in node.params if held[param.id].requires_grad]
    biases = [param for param in learning if param.spec.name == "bias"]
    return biases if biases and node.type != "Python" else learning


@torch.no_grad()
def weights_finite(net: RunningNet) -> bool:
    """Whether every parameter and statistic is finite, in every process; each asks at the same time."""
    held = [own(tensor).detach() for tensor in tensors(net.module, net.graph).values()]
    norms = torch.stack([norm.float() for norm in torch._foreach_norm(held)])
    (bad,) = net.team.any(not bool(torch.isfinite(norms).all()))
    return not bad


def _first_output(net: RunningNet) -> Node | None:
    """The first layer whose output of the last batch is not finite, None if all are: the batch is computed again."""
    graph = net.graph_of_batch
    names = [blob.id for blob in graph.blobs.values()]
    module = build_module(graph, outputs=names, device=net.style.device)
    lend(whole_tensors(net), net.graph, module, graph)
    with torch.no_grad(), net.style.autocast():
        blobs = module(**net.batch)
    bad = (node for node in net.graph.nodes if any(not _finite(blobs[blob.id]) for blob in node.tops))
    return next(bad, None)


def _behind(net: RunningNet) -> str:
    """What is not finite where every output is: a gradient, found from the end of the net on, or weights."""
    held = tensors(net.module, net.graph)
    if layer := _last(net.graph, {name: own(x.grad) for name, x in held.items() if x.grad is not None}):
        return f'on the way back "{layer}" is the first layer whose gradient is not'
    if layer := _last(net.graph, {name: own(x) for name, x in held.items()}):
        return f'the last update was too large for the weights of "{layer}"'
    return "each layer's output is finite"


def _last(graph: Graph, found: dict[str, torch.Tensor]) -> str | None:
    """The last layer with a parameter whose tensor is not finite."""
    bad = {name for name, tensor in found.items() if not _finite(tensor)}
    return next((node.id for node in reversed(graph.nodes) if any(p.id in bad for p in node.params)), None)


def _finite(tensor: torch.Tensor) -> bool:
    return bool(torch.isfinite(tensor.detach()).all())
