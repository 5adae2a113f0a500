"""In what wrapping is a training net's module called: split for recomputing, joined to other processes, compiled?"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import fx, nn
from torch.nn.parallel import DistributedDataParallel

from netdef.ir import Graph
from netdef.solver.checkpoint import checkpointed
from netdef.solver.sharding import shard
from netdef.solver.style import Style
from netdef.solver.team import ALONE, Team
from netdef.targets.torch import tensors

Call = Callable[..., Any]


def wrap(module: fx.GraphModule, graph: Graph, style: Style, team: Team = ALONE) -> Call:
    """What to call in the place of a net's module, with the same arguments and results."""
    training = graph.phase == "TRAIN"
    call: nn.Module = checkpointed(module, graph) if style.checkpoint and training else module
    if team.world > 1 and training:
        call = shard(call, module, graph, style.device, team) if style.in_parts else distributed(call, module, graph)
    if not style.compile:
        return call
    # "reduce-overhead" records CUDA graphs, forward and backward, and replays them.
    return torch.compile(call, mode="reduce-overhead" if style.replayed else None)


def distributed(module: nn.Module, owner: fx.GraphModule, graph: Graph) -> DistributedDataParallel:
    """The module whose way back leaves in each gradient the mean over all processes, sent while the rest is computed.

    `owner` is the net's own module, whose parameters `module` computes with. Parameters that no loss depends on get no
    gradient in any process, so that none is waited for. Statistics are not sent along: see `average_statistics`.
    """
    device = next(iter(tensors(owner, graph).values())).device
    idle = _idle(module, owner, graph)
    DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(module, idle)  # type: ignore[no-untyped-call]
    # Of the strides of 1x1 kernels, whose order in memory is the same either way.
    warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
    warnings.filterwarnings("ignore", message="`broadcast_buffers` is deprecated")  # its heir is not in torch 2.11
    return DistributedDataParallel(
        module,
        device_ids=[device] if device.type == "cuda" else None,
        broadcast_buffers=False,
        gradient_as_bucket_view=True,
    )


def without_exchange(call: Call) -> AbstractContextManager[None]:
    """A block whose gradients stay in this process, to be summed up with later ones.

    Not where parameters are in parts: there is no room for whole gradients to stay, so that each is sent at once.
    """
    return call.no_sync() if isinstance(call, DistributedDataParallel) else nullcontext()


@torch.no_grad()
def average_statistics(module: fx.GraphModule, graph: Graph, team: Team) -> None:
    """Give every process the mean of the running statistics that each has counted of its own rows."""
    held = tensors(module, graph)
    found = [held[param.id] for param in graph.params.values() if param.spec.statistic]
    if team.world == 1 or not found:
        return
    flat = team.mean(torch.cat([tensor.reshape(-1) for tensor in found]))
    parts = torch.split(flat, [tensor.numel() for tensor in found])
    torch._foreach_copy_(found, [part.reshape(own.shape) for part, own in zip(parts, found, strict=True)])


def _idle(module: nn.Module, owner: fx.GraphModule, graph: Graph) -> list[str]:
    """The names in `module` of the parameters that no loss depends on."""
    held, used = tensors(owner, graph), _used(graph)
    idle = {id(held[name]) for name in graph.params if name not in used}
    return [name for name, tensor in module.named_parameters(remove_duplicate=False) if id(tensor) in idle]


def _used(graph: Graph) -> set[str]:
    """The parameters that a loss depends on, by id: from the losses back to where no gradient flows."""
    reached = {blob.id for blob, _ in graph.losses()}
    used: set[str] = set()
    for node in reversed(graph.nodes):
        if any(blob.id in reached for blob in node.tops):
            used.update(param.id for param in node.params)
            flows = zip(node.bottoms, node.propagate or (True,) * len(node.bottoms), strict=True)
            reached.update(blob.id for blob, flow in flows if flow)
    return used
