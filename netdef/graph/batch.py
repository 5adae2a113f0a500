"""Which axis of a net's inputs is the batch?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from netdef.ir import Blob, Graph, Node, Shape
from netdef.layers.recurrent import Recurrent

PROBES = (7, 11)
"""Two batch sizes to try: a size that differs between them depends on the batch. Primes, so that no layer that needs a
divisible batch gets through by luck."""

_TIME_MAJOR = {"LSTM": 1, "RNN": 1, "LSTMUnit": 0}
"""Layers that take (time, batch, …), with the bottom that tells both sizes: Caffe's `cont`, or the cell's state."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Caffe's batch size, None where only a run tells it, and the axes that it is the size of.

    Attributes:
        size: the number of rows.
        axes: the axis of the batch in each input that has one, by blob id.
        begins: the first two sizes of blobs whose second axis is the batch.
    """

    size: int | None
    axes: Mapping[str, int]
    begins: tuple[tuple[int | None, ...], ...] = ()

    def axis(self, shape: Shape) -> int | None:
        """The axis of the batch in a blob of this shape that comes from outside; None where there is none."""
        if not shape.dims:
            return None
        if shape.dims[:2] in self.begins:
            return 1
        return 0 if shape[0] in (self.size, None) else None

    def resized(self, blob: Blob, rows: int) -> Shape:
        """The shape of an input in a batch of so many rows."""
        axis = self.axes.get(blob.id)
        return blob.shape if axis is None else blob.shape.replace(axis, rows)


def batch_of(graph: Graph) -> Batch:
    """Find the batch axis of each input.

    It is axis 0 of the first input, and of every other input with as many rows (an input with another number of rows is
    something else: factors for each channel, or a list of boxes). In a recurrent net it is axis 1 of every input whose
    shape begins with (time, batch), except for the static input, which has no time axis.
    """
    return batch_among(graph.inputs, graph.nodes)


def batch_among(inputs: tuple[Blob, ...], nodes: tuple[Node, ...]) -> Batch:
    """The same for inputs and nodes that make no graph yet."""
    shapes = {blob.id: blob.shape for blob in inputs if blob.shape.dims}
    time = next((node.bottoms[_TIME_MAJOR[node.type]].shape for node in nodes if node.type in _TIME_MAJOR), None)
    major = time.dims[:2] if time and time.dims else ()
    size = major[1] if len(major) == 2 else next((shape[0] for shape in shapes.values()), None)
    begins = (major, (1, size)) if len(major) == 2 else ()  # (1, batch, …) is a state of one moment
    static = {node.bottoms[2].id for node in nodes if isinstance(node.layer, Recurrent) and node.layer.static}
    found, timeless = Batch(size, {}, begins), Batch(size, {})
    places = {id: (timeless if id in static else found).axis(shape) for id, shape in shapes.items()}
    axes = {id: axis for id, axis in places.items() if axis is not None}
    return Batch(size, axes, begins)
