"""How does a net learn whose compiled way forward and back torch records as CUDA graphs?"""

from __future__ import annotations

import torch
from torch import Tensor, fx

from netdef.ir import Graph
from netdef.solver.config import SolverConfig
from netdef.solver.feed import Feed
from netdef.solver.randomness import Randomness
from netdef.solver.running import RunningNet, feed_of, prepared
from netdef.solver.scaling import Scale
from netdef.solver.style import Style


class ReplayedNet(RunningNet):
    """A training net with `compile` and `cuda_graphs`, whose results lie where those of the next batch are written.

    torch takes them away then: a loss that is read later is copied, and gradients of several batches are summed up in
    memory of their own (see torch._inductor.cudagraph_trees, format_dealloc_msg).
    """

    def __init__(self, graph: Graph, module: fx.GraphModule, feed: Feed, style: Style, *, sums: bool) -> None:
        super().__init__(graph, module, feed, style)
        self._learning = [p for p in module.parameters() if p.requires_grad and sums]
        self._sums = [torch.zeros_like(p) for p in self._learning]

    def learn(self, scale: Scale) -> tuple[dict[str, Tensor], Tensor]:
        """See RunningNet."""
        if self._learning and self._learning[0].grad is None:
            self._begin_sums()
        outputs, loss = super().learn(scale)
        return outputs, loss.clone()

    def _begin_sums(self) -> None:
        torch._foreach_zero_(self._sums)
        for parameter, total in zip(self._learning, self._sums, strict=True):
            parameter.grad = total


def build_replayed(graph: Graph, config: SolverConfig, style: Style, random: Randomness) -> ReplayedNet:
    """The training net, in one process; of several each has sums of its own in any case, which are exchanged."""
    module = prepared(graph, style, random)
    feed = feed_of(graph, module, config.train, config, style, random)
    return ReplayedNet(graph, module, feed, style, sums=config.iter_size > 1)
