"""How does `cuda_graphs` record the way of a batch forward and back once, and replay it for every batch?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, fx

from netdef.diagnostics import NetdefError, error
from netdef.ir import Graph, Shape
from netdef.solver.config import SolverConfig
from netdef.solver.feed import Feed
from netdef.solver.fitting import unrecorded
from netdef.solver.randomness import Randomness, set_states, states
from netdef.solver.running import RunningNet, feed_of, prepared
from netdef.solver.scaling import Scale
from netdef.solver.style import Style
from netdef.solver.team import Team

WARM_UPS = 3
"""Runs before the recording: cuDNN tries its algorithms, workspaces find their sizes (as in torch's own recipe)."""


@dataclass(frozen=True, slots=True)
class Result:
    """What one batch gives: outputs by blob, the loss, and the gradient of each parameter that has one."""

    outputs: dict[str, Tensor]
    loss: Tensor
    grads: tuple[Tensor, ...]

    def tensors(self) -> list[Tensor]:
        """All of them, in one order."""
        return [*self.outputs.values(), self.loss, *self.grads]


Recorder = Callable[[Callable[[], Result]], tuple[Result, Callable[[], None]]]
"""Runs a function a few times, records it, and gives its result, and what computes it anew into the same tensors."""


def on_gpu(device: torch.device, step: Callable[[], Result]) -> tuple[Result, Callable[[], None]]:
    """Make a CUDA graph as a Recorder does; the recording itself computes nothing.

    All on one stream beside the current one: what libraries keep for a stream (workspaces, plans) is there then.
    """
    with torch.cuda.device(device):
        stream, side = torch.cuda.current_stream(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(stream)
        with torch.cuda.stream(side):
            for _ in range(WARM_UPS):
                step()
        stream.wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        # Another thread, which sends batches ahead, may do what a recording thread must not.
        with torch.cuda.graph(graph, stream=side, capture_error_mode="thread_local"):
            result = step()
    return result, graph.replay


class RecordedNet(RunningNet):
    """A training net whose first batch is computed as ever, a few times, then recorded; later ones are replayed.

    The batch is copied to where the recording reads it. Outputs, loss and gradients lie where it wrote them, until the
    next batch. With `iter_size` the gradients of several batches are summed there. What a run of the net changes beside
    its results (statistics, the state of LSTM and RNN, random numbers) is put back after the runs that only warm up.
    """

    def __init__(
        self, graph: Graph, module: fx.GraphModule, feed: Feed, style: Style, *, sums: bool, record: Recorder
    ) -> None:
        super().__init__(graph, module, feed, style)
        self._sums, self._record = sums, record
        self._parameters = [p for p in module.parameters() if p.requires_grad]
        self._learning: list[torch.nn.Parameter] = []
        self._replay: Callable[[], None] | None = None
        self.batch: dict[str, Tensor] = {}
        self._inputs: dict[str, Tensor] = {}
        self._result: Result | None = None

    def learn(self, scale: Scale) -> tuple[dict[str, Tensor], Tensor]:
        """See RunningNet."""
        before, self.batch = self.batch, self.feed.next()
        if self._replay is None:
            self._begin()
        self._demand_sizes()
        assert self._replay is not None
        assert self._result is not None
        new = [name for name, tensor in self.batch.items() if tensor is not before.get(name)]  # others are there
        if new:
            torch._foreach_copy_([self._inputs[name] for name in new], [self.batch[name] for name in new])
        if self._sums and self._learning and self._learning[0].grad is None:
            torch._foreach_zero_(list(self._result.grads))
        self._replay()
        for parameter, grad in zip(self._learning, self._result.grads, strict=True):
            parameter.grad = grad
        return self._result.outputs, self._result.loss.clone()

    def _demand_sizes(self) -> None:
        for name, tensor in self.batch.items():
            if tensor.shape != self._inputs[name].shape:
                found, known = Shape(tuple(tensor.shape)), Shape(tuple(self._inputs[name].shape))
                message = f"`cuda_graphs`: a batch is {found}, and {known} was recorded"
                help = "remove `cuda_graphs`, or make the records equal when you import them"
                raise NetdefError([error("ND0713", message, help=help)])

    def _begin(self) -> None:
        """Record the first batch, and undo what that has changed."""
        self._inputs = {name: tensor.clone() for name, tensor in self.batch.items()}
        kept, random = {name: buffer.clone() for name, buffer in self.module.named_buffers()}, states(self.style.device)
        self._result, self._replay = self._record(self._step)
        self._learning = [p for p in self._parameters if p.grad is not None]
        self._forget_gradients()
        for name, buffer in self.module.named_buffers():
            if buffer.shape == kept[name].shape:
                buffer.copy_(kept[name])
            else:
                buffer.zero_()  # the state of LSTM and RNN, which has no size before the first batch
        set_states(random, self.style.device)

    def _step(self) -> Result:
        """Compute the batch in `_inputs`; gradients add to what is there where they are to be summed."""
        if not self._sums:
            self._forget_gradients()
        with self.style.autocast():
            outputs, loss = self._call(**self._inputs)
        loss.backward()
        grads = tuple(p.grad for p in self._parameters if p.grad is not None)
        return Result({name: value.detach() for name, value in outputs.items()}, loss.detach(), grads)

    def _forget_gradients(self) -> None:
        for parameter in self._parameters:
            parameter.grad = None


def build_recorded(graph: Graph, config: SolverConfig, style: Style, random: Randomness) -> RecordedNet:
    """The training net that is recorded.

    Raises:
        NetdefError: ND0713, a layer cannot be, or several processes train it.
    """
    check(graph, random.team)
    module = prepared(graph, style, random)
    feed = feed_of(graph, module, config.train, config, style, random)
    record = partial(on_gpu, style.device)
    return RecordedNet(graph, module, feed, style, sums=config.iter_size > 1, record=record)


def check(graph: Graph, team: Team) -> None:
    """Refuse what cannot be recorded (ND0713)."""
    found = unrecorded(graph)
    if team.world > 1:
        help = "add `compile: true`, or remove `cuda_graphs`"
        found.append(error("ND0713", "`cuda_graphs` without `compile` records a single process", help=help))
    if found:
        raise NetdefError(found)
