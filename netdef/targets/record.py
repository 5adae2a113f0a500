"""The torch recording of a whole graph, from which both the FX module and the ejected source are made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from netdef.diagnostics import Diagnostic, NetdefError, error
from netdef.graph import demand_sizes
from netdef.ir import Blob, Graph, Node
from netdef.layers import Layer, Unsupported
from netdef.layers.record import Call, TorchRecorder, Value


@dataclass(frozen=True, slots=True)
class Recording:
    """Every call of a graph in order, and which value each blob is.

    Attributes:
        inputs: the blobs that come from outside, each with the value it enters as.
        calls: the steps, in order.
        values: the value of every blob, by blob id.
        loss: the sum of the weighted losses; None in a graph without any.
    """

    inputs: tuple[tuple[Blob, Value], ...]
    calls: tuple[Call, ...]
    values: dict[str, Value]
    loss: Value | None


def record(graph: Graph) -> Recording:
    """Record all nodes of a graph.

    Raises:
        NetdefError: sizes that are not known, or layers without a rule for torch, all of them at once.
    """
    demand_sizes(graph)
    recorder = _Recorder()
    for node in graph.nodes:
        recorder.node(graph, node)
    loss = recorder.total(graph)
    if recorder.found:
        raise NetdefError(recorder.found)
    return Recording(tuple(recorder.inputs), tuple(recorder.calls), recorder.values, loss)


def typed(value: Any) -> Any:
    """Each float32 as a person types it: 0.1, not the double next to it, which protobuf's fields give."""
    if isinstance(value, float):
        with np.errstate(over="ignore"):
            return float(str(np.float32(value))) if float(np.float32(value)) == value else value
    return type(value)(map(typed, value)) if isinstance(value, tuple | list) else value


def with_values(argument: Any, values: Mapping[str, Any]) -> Any:
    """A recorded argument with what each Value stands for, by its name, in its place."""
    if isinstance(argument, Value):
        return values[argument.name]
    if isinstance(argument, dict):
        return {key: with_values(item, values) for key, item in argument.items()}
    if isinstance(argument, tuple | list):
        return type(argument)(with_values(item, values) for item in argument)
    return argument


def identifier(name: str) -> str:
    """A layer's or blob's name as far as it can be one in Python; keywords are left."""
    stem = "".join(c if c.isascii() and c.isalnum() else "_" for c in name)
    return f"_{stem}" if not stem or stem[0].isdigit() else stem


def _as_typed(call: Call) -> Call:
    kwargs = tuple((name, typed(value)) for name, value in call.kwargs)
    return replace(call, args=tuple(map(typed, call.args)), kwargs=kwargs)


def _reshaped(node: Node) -> Iterator[Diagnostic]:
    """The parameters that a node shares with another shape than its owner's, which a torch module cannot hold."""
    for spec, param in zip(node.specs, node.params, strict=True):
        if spec.shape != param.spec.shape:
            shapes = f"as {spec.shape}, and its owner has {param.spec.shape}"
            message = f'"{node.name}" shares "{param.shared_name}" {shapes}'
            help = "`share_mode: PERMISSIVE` between different shapes cannot be built; make the shapes the same"
            yield error("ND0902", message, span=node.places.layer, help=help)


class _Recorder:
    def __init__(self) -> None:
        self.inputs: list[tuple[Blob, Value]] = []
        self.calls: list[Call] = []
        self.values: dict[str, Value] = {}
        self.found: list[Diagnostic] = []
        self._learning: set[str] = set()
        self._used: Counter[str] = Counter()

    def node(self, graph: Graph, node: Node) -> None:
        layer = cast(Layer, node.layer)
        if layer.is_source:
            self._enter(node.tops)
            return
        self.found += _reshaped(node)
        g = TorchRecorder(node.id, graph.phase, node.specs, self._fresh)
        if self.found and not all(blob.shape.ranked for blob in node.bottoms):
            self.values.update((blob.id, Value(self._fresh(node.id))) for blob in node.tops)
            return  # behind a layer that was refused; its rule cannot be asked
        bottoms = tuple(self._bottom(g, node, index) for index in range(len(node.bottoms)))
        try:
            tops = layer.torch(g, bottoms)
        except Unsupported as refusal:
            self.found.append(error(refusal.code, f"{refusal}", span=node.places.type, help=refusal.help))
            tops = tuple(Value(self._fresh(node.id)) for _ in node.tops)
        self.calls += map(_as_typed, g.calls)
        self.values.update(
            (blob.id, Value(value.name, blob.shape)) for blob, value in zip(node.tops, tops, strict=True)
        )
        if any(node.propagate) or any(param.lr_mult for param in node.params):
            self._learning.update(blob.id for blob in node.tops)

    def _enter(self, tops: Iterable[Blob]) -> None:
        for blob in tops:
            value = Value(self._fresh(blob.name), blob.shape)
            self.inputs.append((blob, value))
            self.values[blob.id] = value

    def _bottom(self, g: TorchRecorder, node: Node, index: int) -> Value:
        """The value a node reads, cut from the gradient where the graph says that none flows back."""
        blob = node.bottoms[index]
        value = self.values[blob.id]
        if node.propagate[index] or blob.id not in self._learning:
            return value
        return Value(g.torch.detach(value).name, blob.shape)

    def total(self, graph: Graph) -> Value | None:
        """Record the sum of the weighted losses, each summed over its elements as Caffe does."""
        g = TorchRecorder("loss", graph.phase, (), self._fresh)
        total: Value | None = None
        for blob, weight in graph.losses():
            term = self.values[blob.id]
            if blob.shape.dims != ():
                term = g.torch.sum(term)
            if weight != 1:
                term = g.torch.mul(term, weight)
            total = term if total is None else g.torch.add(total, term)
        self.calls += map(_as_typed, g.calls)
        return total

    def _fresh(self, name: str) -> str:
        """A Python identifier made of a layer's or blob's name, used once."""
        fresh = stem = identifier(name)
        while fresh in self._used:  # a layer's own name may end in _2 as well
            self._used[stem] += 1
            fresh = f"{stem}_{self._used[stem]}"
        self._used[fresh] += 1
        return fresh
