"""What is a net like when its sources bring another number of rows?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from netdef.diagnostics import Diagnostic, NetdefError, error
from netdef.graph.batch import Batch, batch_among
from netdef.graph.reshape import CannotTake, reshape, with_shapes
from netdef.ir import Blob, Graph, Node, Shape
from netdef.layers import Layer
from netdef.layers.axes import canonical
from netdef.layers.data import Data, DummyData, HDF5Data, ImageData, MemoryData, WindowData
from netdef.layers.joining import Slice
from netdef.layers.reshaping import Reshape
from netdef.layers.softmax import Softmax

Rows = Callable[[int], int]
"""The number of rows in the place of another."""

_SELECTING = ("BatchReindex", "Filter")
"""Layers that pick rows of the whole batch."""


@dataclass(frozen=True, slots=True)
class Divisible:
    """A net whose batch can be shared out.

    Attributes:
        graph: the net, with the whole batch.
        axes: the axis on which the batch stands in what a source brings, by blob id; what has none is no part of it.
    """

    graph: Graph
    batch: Batch
    axes: Mapping[str, int]

    @classmethod
    def of(cls, graph: Graph) -> Divisible:
        """Find the axes: 0, but 1 in a recurrent net, whose blobs begin with (steps, streams).

        Raises:
            NetdefError: ND0721, the rows of a file are neither.
        """
        sources = [node for node in graph.nodes if node.layer.is_source]
        files = [node for node in sources if not isinstance(node.layer, DummyData)]
        batch = batch_among(tuple(blob for node in (*files, *sources) for blob in node.tops), graph.nodes)
        axes = {blob.id: 0 for node in files for blob in node.tops} | dict(batch.axes)
        if batch.begins:
            axes = dict(batch.axes)
            refuse(_no_streams(node, top, batch) for node in files for top in node.tops if not _has(node, top, axes))
        return cls(graph, batch, axes)

    def in_rows(self, node: Node) -> bool:
        """Whether a source can be asked for fewer rows, so that it reads no more than them."""
        return not isinstance(node.layer, DummyData) and all(self.axes.get(blob.id) == 0 for blob in node.tops)

    def rebatched(self, rows: Rows) -> Graph:
        """The same net with `rows(n)` rows where its sources bring n; what they read is left as it is.

        Raises:
            NetdefError: ND0721, a layer refuses: it states sizes that hold for the whole batch alone, or mixes rows.
        """
        sources = [blob for node in self.graph.nodes if node.layer.is_source for blob in node.tops]
        nodes = tuple(self._restated(rows))
        try:
            shapes = reshape(nodes, {blob.id: self._fewer(blob, rows) for blob in sources})
        except CannotTake as fault:
            raise NetdefError([_refusal(fault.node, fault.why)]) from fault
        graph = with_shapes(replace(self.graph, nodes=nodes), shapes)
        refuse(_mixed(self.graph, graph))
        return graph

    def _fewer(self, blob: Blob, rows: Rows) -> Shape:
        axis = self.axes.get(blob.id)
        size = None if axis is None else blob.shape[axis]
        return blob.shape if axis is None or size is None else blob.shape.replace(axis, rows(size))

    def _restated(self, rows: Rows) -> Iterator[Node]:
        """The nodes; a Reshape that states the batch as a number means the batch."""
        following = set(self.axes)
        for node in self.graph.nodes:
            if any(blob.id in following for blob in node.bottoms):
                following.update(blob.id for blob in node.tops)
                yield self._with_batch(node, rows)
            else:
                yield node

    def _with_batch(self, node: Node, rows: Rows) -> Node:
        axis = self.batch.axis(node.tops[0].shape) if node.tops else None
        if axis is None or not isinstance(node.layer, Reshape):
            return node
        return replace(node, layer=node.layer.restated(node.bottoms[0].shape, axis, rows))


def streams(graph: Graph) -> Iterator[Node]:
    """The files whose rows are the steps of streams."""
    batch = batch_among(graph.inputs, graph.nodes)
    for node in graph.nodes:
        if isinstance(node.layer, HDF5Data) and any(batch.axes.get(blob.id) == 1 for blob in node.tops):
            yield node


def with_rows(layer: Layer, rows: Rows) -> Layer:
    """The source that reads so many rows a batch."""
    if isinstance(layer, DummyData):
        return replace(layer, shapes=tuple(s.replace(0, rows(s[0] or 1)) if s.rank else s for s in layer.shapes))
    if isinstance(layer, Data | HDF5Data | ImageData | MemoryData | WindowData):
        return replace(layer, batch_size=rows(layer.batch_size))
    return layer


def refuse(found: Iterator[Diagnostic]) -> None:
    """Raise what was found, if anything was."""
    if diagnostics := list(found):
        raise NetdefError(diagnostics)


def _mixed(whole: Graph, part: Graph) -> Iterator[Diagnostic]:
    """Layers whose result for a part of the rows is no part of the result for all."""
    shared = {id for id, blob in part.blobs.items() if blob.shape != whole.blobs[id].shape}
    readers = Counter(blob.id for node in whole.nodes if node.type != "Silence" for blob in node.bottoms)
    for node in whole.nodes:
        mine = [blob for blob in node.bottoms if blob.id in shared]
        if mine and (node.type in _SELECTING or _along_rows(node, part)):
            yield _refusal(node, "it takes rows from all over the batch", help="train it in one process")
        elif mine and any(blob.id not in shared and readers[blob.id] for blob in node.tops):
            why = f'it makes one value of all rows, and other layers compute with "{node.tops[0].name}"'
            yield _refusal(node, why, help="train it in one process")


def _along_rows(node: Node, part: Graph) -> bool:
    """Whether a layer works along the axis of the batch."""
    if not isinstance(node.layer, Slice | Softmax):
        return False
    before, now = node.bottoms[0].shape, part.blobs[node.bottoms[0].id].shape
    axis = canonical(node.layer.axis, before)
    return before[axis] != now[axis]


def _has(node: Node, top: Blob, axes: Mapping[str, int]) -> bool:
    """Whether a part of the batch can be taken of a file's top: of streams, or of rows, which images always are."""
    return axes.get(top.id) == 0 or (top.id in axes and isinstance(node.layer, HDF5Data))


def _no_streams(node: Node, blob: Blob, batch: Batch) -> Diagnostic:
    steps = batch.begins[0][0]
    why = f'"{blob.name}" ({blob.shape}) begins neither with the {batch.size} streams nor with {steps} steps of them'
    return _refusal(node, why, help="give it these axes, or say `batch: PER_DEVICE`, or train it in one process")


def _refusal(node: Node, why: str, *, help: str = "") -> Diagnostic:
    message = f'the batch of {node.type} "{node.id}" cannot be shared out: {why}'
    help = help or (
        "write sizes that hold for any number of rows (`dim: 0` copies one, `dim: -1` works it out), or say "
        "`batch: PER_DEVICE`"
    )
    return error("ND0721", message, span=node.places.layer, help=help)
