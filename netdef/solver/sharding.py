"""How is a training net shared out to several processes, each of which holds a part of every parameter (FSDP)?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from operator import attrgetter

import torch
from torch import fx, nn

from netdef.ir import Graph
from netdef.solver.checkpoint import Segment
from netdef.solver.team import Team
from netdef.targets.torch import lend, tensors

LARGE = 2**16
"""Numbers from which on a layer's parameters are put together for that layer alone; smaller ones travel together."""


def shard(call: nn.Module, owner: fx.GraphModule, graph: Graph, device: torch.device, team: Team) -> nn.Module:
    """The module with its parameters in parts, cut along their first axis, put together layer by layer as it computes.

    `owner` is the net's own module, whose parameters `call` computes with; both hold this process's parts afterwards.
    On the way back each gradient becomes the mean over all processes, of which each keeps the part of its parameters
    (torch's FSDP2; Rajbhandari et al. 2020, ZeRO, stage 3).
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    before = tensors(owner, graph)
    names = {id(parameter): name for name, parameter in call.named_parameters()}
    mesh = init_device_mesh(device.type, (team.world,))
    for layer in _large(call):
        fully_shard(layer, mesh=mesh)
    # The whole net too gives its parameters back after a way forward: nothing else would where no way back follows.
    fully_shard(call, mesh=mesh, reshard_after_forward=True)
    parts = {name: call.get_parameter(names[id(t)]) if id(t) in names else t for name, t in before.items()}
    lend(parts, graph, owner, graph)
    return call


def _large(call: nn.Module) -> Iterator[nn.Module]:
    """The layers of many numbers that are modules of their own, and alone in reading their parameters."""
    nets = [child for child in call.modules() if isinstance(child, fx.GraphModule)]
    read = {id(attrgetter(str(n.target))(net)) for net in nets for n in net.graph.nodes if n.op == "get_attr"}
    uses = Counter(id(parameter) for _, parameter in call.named_parameters(remove_duplicate=False))
    for net in nets:
        for node in net.graph.nodes:
            layer = net.get_submodule(str(node.target)) if node.op == "call_module" else None
            if layer is None or isinstance(layer, fx.GraphModule | Segment):
                continue
            held = list(layer.parameters())
            alone = all(uses[id(parameter)] == 1 and id(parameter) not in read for parameter in held)
            if alone and sum(parameter.numel() for parameter in held) >= LARGE:
                yield layer
