"""What is one net of a run: its graph, its module, and the batches that flow through it?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import torch
from numpy.typing import NDArray
from torch import Tensor, fx

from netdef.diagnostics import NetdefError, RunError, error
from netdef.ir import Graph
from netdef.nn.loss import LabelError
from netdef.solver.config import NetChoice, SolverConfig
from netdef.solver.events import Output
from netdef.solver.feed import Feed
from netdef.solver.nets import batch_size, folder_of, net_path
from netdef.solver.randomness import Randomness
from netdef.targets.torch import build_module, share, tensors


@dataclass(frozen=True, slots=True)
class Style:
    """How a net is computed: where, in which memory format and precision, compiled or not."""

    device: torch.device
    channels_last: bool = True
    precision: Literal["FP32", "TF32", "BF16", "FP16"] = "FP32"
    compile: bool = False

    def autocast(self) -> AbstractContextManager[Any]:
        """What a forward pass runs inside."""
        if self.precision == "BF16":
            return torch.autocast(self.device.type, torch.bfloat16)
        return nullcontext()


class RunningNet:
    """A net that computes its loss and outputs from batches of its own sources.

    Attributes:
        graph: the net.
        module: its torch module; gives ``(outputs, loss)``.
        feed: its sources.
    """

    def __init__(self, graph: Graph, module: fx.GraphModule, feed: Feed, style: Style) -> None:
        self.graph, self.module, self.feed, self.style = graph, module, feed, style
        self.weights = {blob.id: weight for blob, weight in graph.losses()}
        self._call = torch.compile(module) if style.compile else module

    def forward(self) -> tuple[dict[str, Tensor], Tensor]:
        """Outputs by blob, and the weighted sum of the losses, of the next batch."""
        self.batch = self.feed.next()
        with self.style.autocast():
            outputs, loss = self._call(**self.batch)
        return outputs, loss

    def described(self, values: Sequence[tuple[str, NDArray[Any]]]) -> tuple[Output, ...]:
        """Outputs for an event, in the graph's order."""
        return tuple(Output(name, value, self.weights.get(name, 0.0)) for name, value in values)


def build_net(graph: Graph, choice: NetChoice, config: SolverConfig, style: Style, random: Randomness) -> RunningNet:
    """Make a net ready to run; its sources are opened, nothing is read ahead yet."""
    module = build_module(graph, with_loss=True, rng=random.fillers, device=style.device)
    if style.channels_last:
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    base_dir = folder_of(net_path(choice, config) or config.path)
    feed = Feed(
        graph,
        module.meta["inputs"],
        device=style.device,
        base_dir=base_dir,
        seed=random.seed,
        channels_last=style.channels_last,
    )
    return RunningNet(graph, module, feed, style)


def share_weights(owner: RunningNet, *others: RunningNet) -> None:
    """Let test nets compute with the training net's own parameters."""
    for other in others:
        share(owner.module, owner.graph, other.module, other.graph)


def first_not_finite(net: RunningNet) -> str | None:
    """The first layer whose output of the last batch is not finite, None if all are: the batch is computed again."""
    names = [blob.id for blob in net.graph.blobs.values()]
    module = build_module(net.graph, outputs=names, device=net.style.device)
    share(net.module, net.graph, module, net.graph)
    with torch.no_grad(), net.style.autocast():
        blobs = module(**net.batch)
    for node in net.graph.nodes:
        if any(not bool(torch.isfinite(blobs[blob.id]).all()) for blob in node.tops):
            return node.id
    return None


def weights_finite(net: RunningNet) -> bool:
    """Whether every parameter and statistic is finite."""
    held = list(tensors(net.module, net.graph).values())
    norms = torch.stack([norm.float() for norm in torch._foreach_norm([tensor.detach() for tensor in held])])
    return bool(torch.isfinite(norms).all())


@contextmanager
def reported(net: RunningNet) -> Iterator[None]:
    """Turn what torch raises in the block over a user's net, data or device into a NetdefError."""
    try:
        yield
    except LabelError as fault:
        help = "give the last layer more outputs, or mend the labels"
        raise NetdefError([error("ND0512", f'the net "{net.graph.name}": {fault}', help=help)]) from fault
    except RuntimeError as fault:
        known = _explained(net, fault)
        if known is None:
            raise
        raise known from fault


def _explained(net: RunningNet, fault: RuntimeError) -> NetdefError | None:
    """What a user can do about torch's error; None where it is a bug."""
    text = str(fault)
    if isinstance(fault, torch.OutOfMemoryError) or "not enough memory" in text:
        help = (
            f"halve the batch size ({batch_size(net.graph)}) and double `iter_size`; `netdef summary` predicts the need"
        )
        return RunError([error("ND0806", f"out of memory on {net.style.device}", help=help)])
    if "deterministic implementation" in text:
        help = "remove `deterministic: true`, or train on the CPU"
        return NetdefError([error("ND0713", f"`deterministic`: {text.partition('.')[0]}", help=help)])
    return None
