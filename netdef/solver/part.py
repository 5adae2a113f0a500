"""How does one process of several train, with its part of the rows of each batch?"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace

import torch
from torch import Tensor, fx

from netdef.data.reader import Shard
from netdef.diagnostics import NetdefError, error
from netdef.graph.rebatch import rebatch
from netdef.ir import Graph
from netdef.nn.sync_norm import synchronise
from netdef.solver import calling
from netdef.solver.config import SolverConfig
from netdef.solver.feed import Feed
from netdef.solver.nets import batch_size
from netdef.solver.randomness import Randomness
from netdef.solver.recorded import build_recorded
from netdef.solver.replayed import build_replayed
from netdef.solver.running import RunningNet, build_net, feed_of, prepared
from netdef.solver.shares import Term, label_blobs, output_terms, terms, total
from netdef.solver.style import Style
from netdef.solver.team import Team


class PartNet(RunningNet):
    """A training net that computes with its own rows; the mean of its loss over the team is the whole batch's loss.

    So is the mean of the gradients, which DistributedDataParallel takes: see `shares` for what makes it exact.

    Attributes:
        whole: the net with all rows.
    """

    def __init__(
        self, graph: Graph, module: fx.GraphModule, feed: Feed, style: Style, *, whole: Graph, team: Team
    ) -> None:
        super().__init__(graph, module, feed, style, team=team)
        self.whole, self.batch_size = whole, batch_size(whole)
        self._terms, self._shown = terms(graph, whole), output_terms(graph, whole)
        self._names = [blob.id for blob in graph.outputs]
        self._call = calling.wrap(module, graph, style, team)

    def forward(self) -> tuple[dict[str, Tensor], Tensor]:
        """Outputs of this process's rows, and its part of the loss, of the next batch."""
        values, _ = super().forward()
        self._labels = {blob: values[blob] for blob in label_blobs(self._terms)}
        return {name: values[name] for name in self._names}, total(self._terms, values, self.team)

    def close(self) -> None:
        """See RunningNet. What sends gradients goes too, while the others can still be reached."""
        super().close()
        self._call = self.module

    def exchanging(self, last: bool) -> AbstractContextManager[None]:
        """See RunningNet."""
        return super().exchanging(last) if last else calling.without_exchange(self._call)

    def of_all(self, outputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Losses and metrics of the whole batch; an output with a value for each row stays this process's own."""
        return {name: self._of_all(name, value.detach()) for name, value in outputs.items()}

    def _of_all(self, name: str, value: Tensor) -> Tensor:
        term = self._shown.get(name)
        if term is None:
            return value
        return self.team.mean(value.float() * term.factor(self._labels, self.team))

    def average_statistics(self) -> None:
        """See RunningNet."""
        calling.average_statistics(self.module, self.graph, self.team)


def build_train(graph: Graph, config: SolverConfig, style: Style, random: Randomness) -> RunningNet:
    """The training net, in one process or as one of several.

    Raises:
        NetdefError: ND0721, a batch of it cannot be shared out; ND0713, it cannot be recorded.
    """
    if style.recorded:
        return build_recorded(graph, config, style, random)
    if random.team.world > 1:
        return _build_part(graph, config, style, random)
    if style.replayed:
        return build_replayed(graph, config, style, random)
    return build_net(graph, config.train, config, style, random)


def _build_part(graph: Graph, config: SolverConfig, style: Style, random: Randomness) -> PartNet:
    """The training net with this process's rows of each batch; `graph` is the net as it is written."""
    team = random.team
    _check(graph, config)
    shard = Shard(team.rank, team.world)
    if config.batch == "PER_DEVICE":
        own, whole = graph, rebatch(graph, lambda rows: rows * team.world)
    else:
        own, whole = rebatch(graph, lambda rows: len(shard.rows(rows))), graph
    wanted = dict.fromkeys([*(blob.id for blob in own.outputs), *_read(terms(own, whole))])
    # In parts it begins on the processor, for the device may have no room for it; torch shares out plain strides alone.
    first = replace(style, device=torch.device("cpu"), channels_last=False) if style.in_parts else style
    module = prepared(own, first, random, list(wanted))
    if config.sync_batch_norm:
        synchronise(module)
    feed = feed_of(whole, module, config.train, config, style, random, shard=shard)
    return PartNet(own, module, feed, style, whole=whole, team=team)


def _read(terms: tuple[Term, ...]) -> list[str]:
    """The blobs that the loss is made of."""
    return [*(term.blob for term in terms), *label_blobs(terms)]


def _check(graph: Graph, config: SolverConfig) -> None:
    """A batch is shared out along axis 0, which is time for recurrent layers; what Python makes comes whole."""
    for node in graph.nodes:
        if node.type == "Python" and not node.bottoms and config.batch != "PER_DEVICE":
            message = f'the Python layer "{node.id}" makes whole batches, of which no process can take a part'
            help = "train it in one process, or say `batch: PER_DEVICE`: then each process makes a batch of its own"
            raise NetdefError([error("ND0721", message, span=node.places.layer, help=help)])
        if node.type in ("LSTM", "RNN"):
            message = f'{node.type} "{node.id}" keeps its batch on axis 1; several processes share out axis 0'
            help = "train it in one process"
            raise NetdefError([error("ND0721", message, span=node.places.layer, help=help)])
