"""How does one process of several train, with its part of the rows of each batch?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from typing import cast

import torch
from torch import Tensor, fx

from netdef.data.reader import Shard
from netdef.diagnostics import Diagnostic, NetdefError, error
from netdef.graph.rebatch import Divisible, refuse, streams, with_rows
from netdef.ir import Graph, Node
from netdef.layers import Layer
from netdef.nn.sync_norm import synchronise
from netdef.solver import calling
from netdef.solver.config import SolverConfig
from netdef.solver.feed import Feed, Portion, Portions
from netdef.solver.nets import batch_size
from netdef.solver.randomness import Randomness
from netdef.solver.recorded import build_recorded
from netdef.solver.replayed import build_replayed
from netdef.solver.running import RunningNet, build_net, feed_of, prepared
from netdef.solver.shares import label_blobs, output_terms, terms, total
from netdef.solver.sight import Sight
from netdef.solver.style import Style
from netdef.solver.team import Team


class PartNet(RunningNet):
    """A training net that computes with its own rows; the mean of its loss over the team is the whole batch's loss.

    So is the mean of the gradients, which DistributedDataParallel takes: see `shares` for what makes it exact.

    `whole` is the net with all rows, None where each process has a batch of its own.
    """

    def __init__(
        self,
        graph: Graph,
        module: fx.GraphModule,
        feed: Feed,
        style: Style,
        *,
        whole: Graph | None,
        team: Team,
        sight: Sight | None,
    ) -> None:
        super().__init__(graph, module, feed, style, team=team, sight=sight)
        self._whole = whole
        self.batch_size = batch_size(whole) if whole else batch_size(graph) * team.world
        self._terms, self._shown = terms(graph, whole), output_terms(graph, whole)
        self._call = calling.wrap(module, graph, style, team)

    def forward(self) -> tuple[dict[str, Tensor], Tensor]:
        """Outputs of this process's rows, and its part of the loss, of the next batch."""
        values, _ = self._compute()
        self._labels = {blob: values[blob] for blob in label_blobs(self._shown.values())}
        return {name: values[name] for name in self._names}, total(self._terms, values, self.team)

    def close(self) -> None:
        """See RunningNet. What sends gradients goes too, while the others can still be reached."""
        super().close()
        self._call = self.module

    def exchanging(self, last: bool) -> AbstractContextManager[None]:
        """See RunningNet."""
        return super().exchanging(last) if last else calling.without_exchange(self._call)

    def has_part_of(self, blob: str) -> bool:
        """See RunningNet. Of batches of their own processes have a part each of what all compute together."""
        return self._whole is None or self.graph.blobs[blob].shape != self._whole.blobs[blob].shape

    def of_all(self, outputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Losses and metrics of the whole batch; an output with a value for each row stays this process's own."""
        return {name: self._of_all(name, value.detach()) for name, value in outputs.items()}

    def _of_all(self, name: str, value: Tensor) -> Tensor:
        term = self._shown.get(name)
        if term is None:
            return value
        return self.team.mean(value.float() * term.factor(self._labels, self.team))

    def together(self, state: Tensor) -> Tensor:
        """See RunningNet."""
        counts = self.team.gather(torch.tensor([state.shape[1]], device=state.device))
        longest = state.new_zeros(1, int(max(counts)), state.shape[2])
        longest[:, : state.shape[1]] = state
        parts = self.team.gather(longest)
        return torch.cat([part[:, : int(count)] for part, count in zip(parts, counts, strict=True)], 1)

    def own_part(self, state: Tensor) -> Tensor:
        """See RunningNet."""
        rows = Shard(self.team.rank, self.team.world).rows(state.shape[1])
        return state[:, rows.start : rows.stop]

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
    own, whole, portions = shared_out(graph, config, Shard(team.rank, team.world))
    shown = output_terms(own, whole)
    wanted = dict.fromkeys([*(blob.id for blob in own.outputs), *shown, *label_blobs(shown.values())])
    sight = Sight() if config.debug_info else None
    # In parts it begins on the processor, for the device may have no room for it; torch shares out plain strides alone.
    first = replace(style, device=torch.device("cpu"), channels_last=False) if style.in_parts else style
    module = prepared(own, first, random, [*own.blobs] if sight else list(wanted))
    if config.sync_batch_norm:
        synchronise(module)
    feed = feed_of(own, module, config.train, config, style, random, portions=portions)
    return PartNet(own, module, feed, style, whole=whole, team=team, sight=sight)


def shared_out(graph: Graph, config: SolverConfig, shard: Shard) -> tuple[Graph, Graph | None, Portions]:
    """The net with this process's rows, the net with all of them, and what to read."""
    if config.batch == "PER_DEVICE":
        _refuse_streams(graph)
        return graph, None, partial(_block, shard)
    _refuse_whole_batches(graph)
    divisible = Divisible.of(graph)
    refuse(_too_few(divisible, shard))
    return divisible.rebatched(lambda rows: len(shard.rows(rows))), graph, partial(_portion, divisible, shard)


def _block(shard: Shard, node: Node) -> Portion:
    """A batch as it is stated, of the long one that all processes read together."""
    return Portion(with_rows(cast(Layer, node.layer), lambda rows: rows * shard.world), shard)


def _portion(divisible: Divisible, shard: Shard, node: Node) -> Portion:
    layer = cast(Layer, node.layer)
    if divisible.in_rows(node):
        return Portion(layer, shard)
    axes = {blob.id: divisible.axes[blob.id] for blob in node.tops if blob.id in divisible.axes}
    return Portion(layer, cuts=axes, part=shard)


def _too_few(divisible: Divisible, shard: Shard) -> Iterator[Diagnostic]:
    for node in divisible.graph.nodes:
        sizes = [blob.shape[divisible.axes[blob.id]] or 0 for blob in node.tops if blob.id in divisible.axes]
        if not divisible.in_rows(node) and min(sizes, default=shard.world) < shard.world:
            message = f'the {min(sizes)} rows of "{node.id}" cannot be shared out to {shard.world} processes'
            yield error("ND0721", message, span=node.places.layer, help="start fewer processes")


def _refuse_whole_batches(graph: Graph) -> None:
    """What Python makes comes whole."""
    for node in graph.nodes:
        if node.type == "Python" and not node.bottoms:
            message = f'the Python layer "{node.id}" makes whole batches, of which no process can take a part'
            help = "train it in one process, or say `batch: PER_DEVICE`: then each process makes a batch of its own"
            raise NetdefError([error("ND0721", message, span=node.places.layer, help=help)])


def _refuse_streams(graph: Graph) -> None:
    """The rows of a file of streams are steps, which processes that take turns at it would tear apart."""
    for node in streams(graph):
        message = f'"{node.id}" reads steps of streams, at which processes with batches of their own would take turns'
        help = "leave out `batch: PER_DEVICE`: then each process takes a part of the streams"
        raise NetdefError([error("ND0721", message, span=node.places.layer, help=help)])
