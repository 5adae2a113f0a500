"""What is one net of a run: its graph, its module, and the batches that flow through it?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, fx

from netdef.data.reader import ONE, WHOLE, Shard, Turns
from netdef.diagnostics import NetdefError, error
from netdef.ir import Graph
from netdef.nn.loss import LabelError
from netdef.solver.calling import wrap
from netdef.solver.config import NetChoice, SolverConfig
from netdef.solver.events import Output
from netdef.solver.feed import Feed
from netdef.solver.memory import check_room, failing, out_of_memory
from netdef.solver.nets import batch_size, folder_of, net_path
from netdef.solver.other_sizes import OtherSizes
from netdef.solver.randomness import Randomness
from netdef.solver.style import Style
from netdef.solver.team import ALONE, Team
from netdef.targets.torch import build_module, share
from netdef.targets.torch.layout import to_channels_last


class RunningNet:
    """A net that computes its loss and outputs from batches of its own sources.

    Attributes:
        graph: the net.
        module: its torch module; gives ``(outputs, loss)``.
        feed: its sources.
        team: the processes that run it together; each has `feed.turns` of the batches of a test.
        batch_size: rows of a batch, those of all processes together.
    """

    def __init__(self, graph: Graph, module: fx.GraphModule, feed: Feed, style: Style, *, team: Team = ALONE) -> None:
        self.graph, self.module, self.feed, self.style, self.team = graph, module, feed, style, team
        self.batch_size = batch_size(graph)
        self.weights = {blob.id: weight for blob, weight in graph.losses()}
        self._call = wrap(module, graph, style)
        self._others = OtherSizes(graph, module, style, team)

    def forward(self) -> tuple[dict[str, Tensor], Tensor]:
        """Outputs by blob, and the weighted sum of the losses, of the next batch."""
        self.batch = self.feed.next()
        with self.style.autocast():
            outputs, loss = (self._others.call(self.batch) or self._call)(**self.batch)
        return outputs, loss

    @property
    def graph_of_batch(self) -> Graph:
        """The net with the sizes of the last batch."""
        return self._others.graph(self.batch)

    def close(self) -> None:
        """Stop reading data ahead, let files go."""
        self.feed.close()

    def exchanging(self, last: bool) -> AbstractContextManager[None]:
        """A block in which gradients are made; in the last of an iteration processes exchange them."""
        return nullcontext()

    def of_all(self, outputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Outputs of the whole batch, from those of this process's rows; every process asks at the same time."""
        return outputs

    def average_statistics(self) -> None:
        """Let running statistics be the same in every process; every process asks at the same time."""

    def described(self, values: Sequence[tuple[str, NDArray[Any]]]) -> tuple[Output, ...]:
        """Outputs for an event, in the graph's order."""
        return tuple(Output(name, value, self.weights.get(name, 0.0)) for name, value in values)


def build_net(
    graph: Graph, choice: NetChoice, config: SolverConfig, style: Style, random: Randomness, turns: Turns = ONE
) -> RunningNet:
    """Make a net ready to run; its sources are opened, nothing is read ahead yet. `turns`: this process's batches."""
    module = prepared(graph, style, random)
    feed = feed_of(graph, module, choice, config, style, random, turns=turns)
    return RunningNet(graph, module, feed, style, team=random.team)


def build_test(graph: Graph, choice: NetChoice, config: SolverConfig, style: Style, random: Randomness) -> RunningNet:
    """A test net, whose batches the processes of a run share out."""
    team = random.team
    return build_net(graph, choice, config, style, random, Turns(max(choice.num_batches, 1), team.rank, team.world))


def prepared(graph: Graph, style: Style, random: Randomness, outputs: Sequence[str] | None = None) -> fx.GraphModule:
    """The module of a net that is to be trained or tested, on its device and in its memory format."""
    check_room(graph, style.device)
    module = build_module(graph, outputs=outputs, with_loss=True, rng=random.fillers, device=style.device)
    if style.channels_last:
        to_channels_last(module)
    return module


def feed_of(
    graph: Graph,
    module: fx.GraphModule,
    choice: NetChoice,
    config: SolverConfig,
    style: Style,
    random: Randomness,
    *,
    shard: Shard = WHOLE,
    turns: Turns = ONE,
) -> Feed:
    """The sources of a net, which lie where its file or the solver says."""
    return Feed(
        graph,
        module.meta["inputs"],
        device=style.device,
        base_dir=folder_of(net_path(choice, config) or config.path),
        seed=random.seed,
        channels_last=style.channels_last,
        shard=shard,
        turns=turns,
    )


def share_weights(owner: RunningNet, *others: RunningNet) -> None:
    """Let test nets compute with the training net's own parameters."""
    for other in others:
        share(owner.module, owner.graph, other.module, other.graph)


@contextmanager
def reported(net: RunningNet) -> Iterator[None]:
    """Turn what torch raises in the block over a user's net, data or device into a NetdefError."""
    try:
        yield
    except LabelError as fault:
        raise _bad_label(net, fault) from fault
    except RuntimeError as fault:
        known = _explained(net, fault)
        if known is None:
            raise
        raise known from fault


def _bad_label(net: RunningNet, fault: LabelError) -> NetdefError:
    """The error ND0512, at the blob of labels of the layer that met one that is no class."""
    node = failing(net.graph, net.module, fault)
    name = f'layer "{node.name}"' if node else f'the net "{net.graph.name}"'
    span = node.places.bottoms[1] if node and len(node.places.bottoms) > 1 else None
    help = "give the last layer more outputs, or mend the labels"
    return NetdefError([error("ND0512", f"{name}: {fault}", span=span, help=help)])


def _explained(net: RunningNet, fault: RuntimeError) -> NetdefError | None:
    """What a user can do about torch's error; None where it is a bug."""
    text = str(fault)
    if isinstance(fault, torch.OutOfMemoryError) or "not enough memory" in text:
        return out_of_memory(net.graph, net.module, net.style.device, fault)
    if "deterministic implementation" in text:
        help = "remove `deterministic: true`, or train on the CPU"
        return NetdefError([error("ND0713", f"`deterministic`: {text.partition('.')[0]}", help=help)])
    return None
