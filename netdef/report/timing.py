"""How long does each layer take, forward and backward, and how well does it use the device?"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, cast

import torch
from torch import Tensor

from netdef.data.probe import probe
from netdef.ir import Dim, Graph, Node
from netdef.ir.cost import total
from netdef.layers import Layer
from netdef.report.layerwise import Step, add_gradients, end_gradients, steps
from netdef.report.stopwatch import Stopwatch
from netdef.report.trial import random_values, require_sizes
from netdef.report.work import backward_work, forward_work
from netdef.solver.feed import Feed
from netdef.solver.style import Style
from netdef.targets.torch import build_module
from netdef.targets.torch.layout import to_channels_last

_MS = 1e3
_WARM_UP = 3
"""Rounds that are not counted: memory is taken, kernels are chosen and loaded."""


@dataclass(frozen=True, slots=True)
class Span:
    """One way through a layer: its time, and the least work and memory traffic that it can do with.

    `flops` counts a multiply-add as two; `bytes_moved` is each bottom, top and parameter read or written once.
    """

    ms: float
    flops: Dim
    bytes_moved: Dim


@dataclass(frozen=True, slots=True)
class LayerTime:
    """A layer's times; `backward` is None where no gradient flows. `share` is of the sum over all layers, 0 to 1."""

    layer: str
    type: str
    forward: Span
    backward: Span | None
    share: float

    @property
    def ms(self) -> float:
        """Both ways together."""
        return self.forward.ms + (self.backward.ms if self.backward else 0.0)

    @property
    def flops_per_s(self) -> float | None:
        """Both ways together; None where there is nothing to multiply, or its number is unknown."""
        return _rate((s.flops for s in self._spans()), self.ms) or None

    @property
    def bytes_per_s(self) -> float | None:
        """Both ways together; None where a size is unknown."""
        return _rate((s.bytes_moved for s in self._spans()), self.ms)

    def _spans(self) -> list[Span]:
        return [self.forward, self.backward] if self.backward else [self.forward]


@dataclass(frozen=True, slots=True)
class Timing:
    """The times of a net.

    Attributes:
        net, phase, device, precision, channels_last, threads: what was timed, and how it was computed.
        iterations: rounds measured; each time is the median over them.
        random_inputs: blobs whose data were made up.
        layers: the layers in order, but for inputs without a source; a source's time is that of waiting for a batch.
        forward_ms, backward_ms: the whole net in one go, as training computes it: fused, and without stops between.
    """

    net: str
    phase: str
    device: str
    precision: str
    channels_last: bool
    threads: int
    iterations: int
    random_inputs: tuple[str, ...]
    layers: tuple[LayerTime, ...]
    forward_ms: float
    backward_ms: float

    @property
    def sum_forward_ms(self) -> float:
        """All layers, forward."""
        return sum(layer.forward.ms for layer in self.layers)

    @property
    def sum_backward_ms(self) -> float:
        """All layers, backward."""
        return sum(layer.backward.ms for layer in self.layers if layer.backward)

    @property
    def flops_per_s(self) -> float | None:
        """Of the whole net in one go."""
        spans = [s for layer in self.layers for s in (layer.forward, layer.backward) if s]
        return _rate((s.flops for s in spans), self.forward_ms + self.backward_ms)

    def as_json(self) -> dict[str, Any]:
        """The figures as plain data."""
        rows = [
            {**asdict(layer), "flops_per_s": layer.flops_per_s, "bytes_per_s": layer.bytes_per_s}
            for layer in self.layers
        ]
        sums = {"sum_forward_ms": self.sum_forward_ms, "sum_backward_ms": self.sum_backward_ms}
        return {**asdict(self), "layers": rows, **sums, "flops_per_s": self.flops_per_s}


def time_net(
    graph: Graph,
    style: Style,
    *,
    iterations: int,
    base_dir: Path | None = None,
    seed: int = 0,
    tell: Callable[[str], None] = lambda _: None,
) -> Timing:
    """Time every layer on the values that reach it, and the net in one go.

    Layers are timed as Caffe's `time` does: one at a time, forward in their order, then backward with the gradients
    that come back. On CUDA events on the stream measure it, so that a layer too small to keep the device busy
    shows the time to launch it. Data come from the net's own sources where these are there, else they are random.

    Raises:
        NetdefError: a size is unknown (ND0030), or data cannot be read.
    """
    require_sizes(graph)
    current = torch.cuda.device(style.device) if style.device.type == "cuda" else nullcontext()
    with current, closing(_Bench(graph, style, base_dir, seed)) as bench:
        tell("warming up")
        for _ in range(_WARM_UP):
            bench.round()
        bench.clear()
        for number in range(iterations):
            tell(f"round {number + 1} of {iterations}")
            bench.round()
        return bench.result(iterations)


class _Bench:
    """The net in two forms, one step a layer and as a whole, and the times of each round."""

    def __init__(self, graph: Graph, style: Style, base_dir: Path | None, seed: int) -> None:
        self.graph, self.style = graph, style
        self.whole = build_module(graph, with_loss=True, device=style.device)
        if style.channels_last:
            to_channels_last(self.whole)
        self.steps = steps(graph, self.whole)
        self.clock = Stopwatch(style.device)
        generator = torch.Generator().manual_seed(seed)
        self.arguments: dict[str, str] = self.whole.meta["inputs"]
        self.random = {id: self._send(value) for id, value in random_values(graph, generator).items()}
        self.feeds = {node.id: feed for node in graph.nodes if (feed := _feed(graph, node, self, base_dir, seed))}

    def round(self) -> None:
        """One pass layer by layer, and one as a whole."""
        values = self._batch()
        with self.style.autocast():
            for step in self.steps:
                self._forward(step, values)
        gradients = end_gradients(self.graph, values)
        for step in reversed(self.steps):
            self._backward(step, gradients)
        self._forget()
        self._in_one_go({self.arguments[id]: values[id] for id in self.random})
        self.clock.settle()

    def clear(self) -> None:
        """Forget the times so far."""
        self.clock.times.clear()

    def close(self) -> None:
        """Let files go."""
        for feed in self.feeds.values():
            feed.close()

    def result(self, iterations: int) -> Timing:
        """The medians."""
        ms = {key: median(times) for key, times in self.clock.times.items()}
        whole = sum(time for (kind, _), time in ms.items() if kind != "net")
        rows = tuple(self._row(node, ms, whole) for node in self.graph.nodes if ("forward", node.id) in ms)
        random = tuple(b.name for n in self.graph.nodes if n.layer.is_source and n.id not in self.feeds for b in n.tops)
        style = self.style
        return Timing(
            net=self.graph.name,
            phase=self.graph.phase,
            device=str(style.device),
            precision=style.precision,
            channels_last=style.channels_last,
            threads=torch.get_num_threads(),
            iterations=iterations,
            random_inputs=random,
            layers=rows,
            forward_ms=ms["net", "forward"],
            backward_ms=ms.get(("net", "backward"), 0.0),
        )

    def _row(self, node: Node, ms: dict[tuple[str, str], float], whole: float) -> LayerTime:
        forward, backward = ms["forward", node.id], ms.get(("backward", node.id))
        share = (forward + (backward or 0.0)) / whole if whole else 0.0
        back = None if backward is None else Span(backward, *backward_work(node))
        return LayerTime(node.id, node.type, Span(forward, *forward_work(node)), back, share)

    def _batch(self) -> dict[str, Tensor]:
        """The inputs by blob id, each source's own where it is there."""
        values = dict(self.random)
        names = {name: id for id, name in self.arguments.items()}
        for layer, feed in self.feeds.items():
            batch = self.clock.measure(("forward", layer), feed.next)
            values.update((names[name], value) for name, value in batch.items())
        return values

    def _forward(self, step: Step, values: dict[str, Tensor]) -> None:
        step.bring(values)
        values.update(self.clock.measure(("forward", step.node.id), step.forward))

    def _backward(self, step: Step, gradients: dict[str, Tensor]) -> None:
        tops, seeds = step.seeds(gradients)
        if tops:
            self.clock.measure(("backward", step.node.id), lambda: torch.autograd.backward(tops, seeds))
            add_gradients(step, gradients)
        step.bottoms, step.tops = (), {}

    def _in_one_go(self, batch: dict[str, Tensor]) -> None:
        with self.style.autocast():
            outputs, loss = self.clock.measure(("net", "forward"), lambda: self.whole(**batch))
        ends = [loss] if loss is not None else [value for value in outputs.values() if value.requires_grad]
        if ends and ends[0].requires_grad:
            seeds = [torch.ones_like(end) for end in ends]
            self.clock.measure(("net", "backward"), lambda: torch.autograd.backward(ends, seeds))
        self._forget()

    def _forget(self) -> None:
        for parameter in self.whole.parameters():
            parameter.grad = None

    def _send(self, value: Tensor) -> Tensor:
        form = torch.channels_last if self.style.channels_last and value.ndim == 4 else torch.contiguous_format
        return value.to(self.style.device).contiguous(memory_format=form)


def _feed(graph: Graph, node: Node, bench: _Bench, base_dir: Path | None, seed: int) -> Feed | None:
    """The source of a data layer, if it has one and that is there."""
    layer = cast(Layer, node.layer)
    if not layer.is_source or node.type in ("Input", "MemoryData"):
        return None
    if node.type != "DummyData" and probe(layer, base_dir=base_dir).shapes is None:
        return None
    kept = tuple(n for n in graph.nodes if n.id == node.id or not n.layer.is_source)
    alone = Graph(graph.name, graph.phase, kept, node.tops, graph.outputs, graph.path)
    style = bench.style
    return Feed(
        alone, bench.arguments, device=style.device, base_dir=base_dir, seed=seed, channels_last=style.channels_last
    )


def _rate(amounts: Iterable[Dim], ms: float) -> float | None:
    amount = total(amounts)
    return None if amount is None or not ms else amount / (ms / _MS)
