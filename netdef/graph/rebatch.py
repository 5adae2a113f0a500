"""What is a net like when its sources bring another number of rows?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import cast

from netdef.diagnostics import NetdefError, error
from netdef.ir import Blob, Graph, Node, Shape
from netdef.layers import Layer, Mismatch
from netdef.layers.data import Data, DummyData, HDF5Data, ImageData, MemoryData, WindowData

Rows = Callable[[int], int]
"""The number of rows in the place of another."""


def rebatch(graph: Graph, rows: Rows) -> Graph:
    """The same net with `rows(n)` rows where its sources brought n.

    Raises:
        NetdefError: ND0721, a layer refuses: it states sizes that hold for the whole batch alone.
    """
    shapes: dict[str, Shape] = {}
    nodes = tuple(_node(node, shapes, rows) for node in graph.nodes)
    blobs = {blob.id: blob for node in nodes for blob in node.tops}
    inputs, outputs = (tuple(blobs[blob.id] for blob in old) for old in (graph.inputs, graph.outputs))
    return replace(graph, nodes=nodes, inputs=inputs, outputs=outputs)


def _node(node: Node, shapes: dict[str, Shape], rows: Rows) -> Node:
    layer = cast(Layer, node.layer)
    bottoms = tuple(_with(blob, shapes[blob.id]) for blob in node.bottoms)
    if layer.is_source:
        layer = _source(layer, rows)
        found = tuple(_rows_of(blob.shape, rows) for blob in node.tops)
    else:
        found = _inferred(node, layer, tuple(blob.shape for blob in bottoms))
    tops = tuple(_with(blob, shape) for blob, shape in zip(node.tops, found, strict=True))
    shapes.update((blob.id, blob.shape) for blob in tops)
    return replace(node, layer=layer, bottoms=bottoms, tops=tops)


def _with(blob: Blob, shape: Shape) -> Blob:
    return replace(blob, shape=shape)


def _rows_of(shape: Shape, rows: Rows) -> Shape:
    first = shape[0] if shape.ranked and shape.rank else None
    return shape if first is None else shape.replace(0, rows(first))


def _source(layer: Layer, rows: Rows) -> Layer:
    """The source that reads so many rows a batch."""
    if isinstance(layer, DummyData):
        return replace(layer, shapes=tuple(_rows_of(shape, rows) for shape in layer.shapes))
    if isinstance(layer, Data | HDF5Data | ImageData | MemoryData | WindowData):
        return replace(layer, batch_size=rows(layer.batch_size))
    return layer


def _inferred(node: Node, layer: Layer, bottoms: tuple[Shape, ...]) -> tuple[Shape, ...]:
    """What the shape rule says; parameters must stay as they are."""
    try:
        found = layer.infer(bottoms)
    except Mismatch as mismatch:
        raise _refused(node, str(mismatch)) from mismatch
    for before, now in zip(node.params, layer.params(bottoms), strict=False):
        if now.shape.count() != before.spec.shape.count():
            raise _refused(node, f"its parameter would be {now.shape} in the place of {before.spec.shape}")
    return found


def _refused(node: Node, why: str) -> NetdefError:
    message = f'a batch cannot be shared out: {node.type} "{node.id}" does not take another number of rows: {why}'
    help = "write sizes that hold for any number of rows (`dim: 0` copies one, `dim: -1` works it out)"
    return NetdefError([error("ND0721", message, span=node.places.layer, help=help)])
