"""What is one net of a run: its graph, its module, and the batches that flow through it?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn

from netdef.data.reader import ONE, Turns
from netdef.diagnostics import NetdefError, error
from netdef.ir import Graph
from netdef.layers.recurrent import Recurrent
from netdef.nn import recurrent as walking
from netdef.nn.loss import LabelError
from netdef.nn.python_watch import blamed
from netdef.solver.calling import wrap
from netdef.solver.config import NetChoice, SolverConfig
from netdef.solver.events import Output
from netdef.solver.feed import RECURRENT, Feed, Portions, everything
from netdef.solver.memory import check_room, failing, out_of_memory
from netdef.solver.nets import batch_size, folder_of, net_path
from netdef.solver.other_sizes import OtherSizes
from netdef.solver.randomness import Randomness
from netdef.solver.scaling import Scale
from netdef.solver.sight import Sight
from netdef.solver.style import Style
from netdef.solver.team import ALONE, Team
from netdef.targets.torch import build_module, lend, tensors
from netdef.targets.torch.layout import channels_last, to_channels_last
from netdef.targets.torch.parts import in_parts, own, whole


class RunningNet:
    """A net that computes its loss and outputs from batches of its own sources.

    Attributes:
        graph: the net.
        module: its torch module; gives ``(outputs, loss)``.
        feed: its sources.
        team: the processes that run it together; each has `feed.turns` of the batches of a test.
        batch_size: rows of a batch, those of all processes together.
        sight: where every blob of a batch is kept to be looked at, if the module gives them all.
    """

    def __init__(
        self,
        graph: Graph,
        module: fx.GraphModule,
        feed: Feed,
        style: Style,
        *,
        team: Team = ALONE,
        sight: Sight | None = None,
    ) -> None:
        self.graph, self.module, self.feed, self.style, self.team = graph, module, feed, style, team
        self.sight = sight
        self._names = [blob.id for blob in graph.outputs]
        self.batch_size = batch_size(graph)
        self.weights = {blob.id: weight for blob, weight in graph.losses()}
        self._call = wrap(module, graph, style)
        self._no_loss = torch.zeros((), device=style.device)
        self._others = OtherSizes(graph, module, style, team)
        # A compiled net would be compiled anew for each change of what it knows.
        self._recurrent = [] if style.compile else list(_recurrent(module, graph))

    def forward(self) -> tuple[dict[str, Tensor], Tensor]:
        """Outputs by blob, and the weighted sum of the losses (0 in a net that only measures), of the next batch."""
        values, loss = self._compute()
        return {name: values[name] for name in self._names} if self.sight else values, loss

    def _compute(self) -> tuple[dict[str, Tensor], Tensor]:
        """All blobs that the module gives of the next batch, and the loss."""
        self.batch = self.feed.next()
        for layer, name in self._recurrent:
            layer.unbroken = self.batch[name] if self.feed.is_unbroken(self.batch[name]) else None
        with self.style.autocast():
            values, loss = (self._others.call(self.batch) or self._call)(**self.batch)
        if self.sight:
            self.sight.keep(values)
        return values, self._no_loss if loss is None else loss

    @property
    def graph_of_batch(self) -> Graph:
        """The net with the sizes of the last batch."""
        return self._others.graph(self.batch)

    def learn(self, scale: Scale) -> tuple[dict[str, Tensor], Tensor]:
        """Outputs and loss of the next batch, whose gradients are summed into the parameters."""
        outputs, loss = self.forward()
        scale.backward(loss)
        return outputs, loss.detach()

    def close(self) -> None:
        """Stop reading data ahead, let files go."""
        self.feed.close()

    def exchanging(self, last: bool) -> AbstractContextManager[None]:
        """A block in which gradients are made; in the last of an iteration processes exchange them."""
        return nullcontext()

    def has_part_of(self, blob: str) -> bool:
        """Whether this process has some rows of a blob, and others the rest."""
        return False

    def of_all(self, outputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Outputs of the whole batch, from those of this process's rows; every process asks at the same time."""
        return outputs

    def together(self, state: Tensor) -> Tensor:
        """The state (1, N, D) of all streams, from that of this process's; every process asks at the same time."""
        return state

    def own_part(self, state: Tensor) -> Tensor:
        """The state of this process's streams, of what `together` gave."""
        return state

    def average_statistics(self) -> None:
        """Let running statistics be the same in every process; every process asks at the same time."""

    def described(self, values: Sequence[tuple[str, NDArray[Any]]]) -> tuple[Output, ...]:
        """Outputs for an event, in the graph's order."""
        return tuple(Output(name, value, self.weights.get(name, 0.0)) for name, value in values)


def _recurrent(module: fx.GraphModule, graph: Graph) -> Iterator[tuple[walking.Recurrent, str]]:
    """The layers that walk through sequences, with the argument that tells them where one begins."""
    for node in graph.nodes:
        if node.type in RECURRENT and node.bottoms[1].id in module.meta["inputs"]:
            layer = module.get_submodule(module.meta["modules"][node.id])
            assert isinstance(layer, walking.Recurrent)
            yield layer, module.meta["inputs"][node.bottoms[1].id]


def build_net(
    graph: Graph, choice: NetChoice, config: SolverConfig, style: Style, random: Randomness, team: Team = ALONE
) -> RunningNet:
    """Make a net ready to run, whose batches the team shares out; sources are opened, nothing is read ahead yet."""
    sight = Sight() if choice is config.train and config.debug_info else None
    module = prepared(graph, style, random, [*graph.blobs] if sight else None)
    turns = Turns(max(choice.num_batches, 1), team.rank, team.world) if team.world > 1 else ONE
    feed = feed_of(graph, module, choice, config, style, random, turns=turns)
    return RunningNet(graph, module, feed, style, team=team, sight=sight)


def build_test(graph: Graph, choice: NetChoice, config: SolverConfig, style: Style, random: Randomness) -> RunningNet:
    """A test net. Several processes share its batches out, unless one goes on from the state of the one before."""
    carries = any(isinstance(node.layer, Recurrent) and not node.layer.expose_hidden for node in graph.nodes)
    return build_net(graph, choice, config, style, random, ALONE if carries else random.team)


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
    portions: Portions = everything,
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
        portions=portions,
        turns=turns,
    )


def share_weights(owner: RunningNet, *others: RunningNet) -> None:
    """Let test nets compute with the training net's own parameters; see `lending` for those held in parts."""
    held = tensors(owner.module, owner.graph)
    if owner.style.in_parts:
        held = {id: _nowhere(tensor) if in_parts(tensor) else tensor for id, tensor in held.items()}
    for other in others:
        lend(held, owner.graph, other.module, other.graph)


@contextmanager
def lending(owner: RunningNet, other: RunningNet) -> Iterator[None]:
    """Let a test net compute in the block with parameters that processes hold in parts; each enters it.

    They are put together for the block; outside of it the test net takes no memory for them.
    """
    if not owner.style.in_parts:
        yield
        return
    lend(whole_tensors(owner), owner.graph, other.module, other.graph)
    try:
        yield
    finally:
        share_weights(owner, other)


def whole_tensors(net: RunningNet) -> dict[str, Tensor]:
    """A net's parameters and statistics; those in parts put together, by every process at the same time."""
    held = tensors(net.module, net.graph)
    return {id: _together(tensor, net.style) if in_parts(tensor) else tensor for id, tensor in held.items()}


@torch.no_grad()
def _together(tensor: Tensor, style: Style) -> Tensor:
    full = whole(own(tensor), tensor)
    return nn.Parameter(channels_last(full) if style.channels_last else full, requires_grad=False)


def _nowhere(tensor: Tensor) -> Tensor:
    return nn.Parameter(torch.empty(tensor.shape, device="meta"), requires_grad=False)


@contextmanager
def reported(net: RunningNet) -> Iterator[None]:
    """Turn what torch raises in the block over a user's net, data or device into a NetdefError."""
    try:
        yield
    except LabelError as fault:
        raise _bad_label(net, fault) from fault
    except NetdefError:
        raise
    except Exception as fault:
        known = _explained(net, fault) or blamed(net.module, fault)
        if known is None:
            raise
        raise known from fault


def _bad_label(net: RunningNet, fault: LabelError) -> NetdefError:
    """The error ND0512, at the blob of labels, or of indices, of the layer that met one out of range."""
    node = failing(net.graph, net.module, fault)
    name = f'layer "{node.name}"' if node else f'the net "{net.graph.name}"'
    span = node.places.bottoms[min(1, len(node.places.bottoms) - 1)] if node else None
    help = "mend the labels or indices, or give the layer that they count in more outputs (Embed: `input_dim`)"
    return NetdefError([error("ND0512", f"{name}: {fault}", span=span, help=help)])


def _first(fault: Exception) -> Exception:
    """What went wrong first: where a recording breaks off, torch's last word is that it did."""
    return _first(fault.__context__) if isinstance(fault.__context__, RuntimeError) else fault


_NO_MEMORY = ("DefaultCPUAllocator", "not enough memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")
"""What torch says on the processor, and what libraries say that ask a GPU for memory themselves."""


def _explained(net: RunningNet, fault: Exception) -> NetdefError | None:
    """What a user can do about torch's error; None where it is a bug, or that of a layer of the user's own."""
    if not isinstance(fault, RuntimeError | MemoryError):
        return None
    fault = _first(fault)
    text = str(fault)
    if isinstance(fault, torch.OutOfMemoryError | MemoryError) or any(word in text for word in _NO_MEMORY):
        return out_of_memory(net.graph, net.module, net.style.device, fault)
    if "device-side assert" in text:
        help = "the GPU does not tell which; on the processor (`solver_mode: CPU`) the same run does"
        message = f'the net "{net.graph.name}" met a label or an index out of range'
        return NetdefError([error("ND0512", message, help=help)])
    if "deterministic implementation" in text:
        help = "remove `deterministic: true`, or train on the CPU"
        return NetdefError([error("ND0713", f"`deterministic`: {text.partition('.')[0]}", help=help)])
    return None
