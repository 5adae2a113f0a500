"""What is a net like when its blobs have other sizes and its parameters the same?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

from netdef.ir import Blob, Graph, Node, Shape
from netdef.layers import Layer, Mismatch


class CannotTake(Exception):
    """A layer cannot take bottoms of other shapes."""

    def __init__(self, node: Node, why: str) -> None:
        super().__init__(f'"{node.name}": {why}')


def reshaped(graph: Graph, inputs: Mapping[str, Shape]) -> Graph:
    """The same graph for inputs of these shapes, by blob id, with the parameters as they are (Caffe's Net::Reshape).

    Raises:
        CannotTake: a layer has no use for them, or would need other parameters.
    """
    shapes = dict(inputs)
    for node in graph.nodes:
        if not all(blob.id in shapes for blob in node.tops):
            found = _tops(node, tuple(shapes[blob.id] for blob in node.bottoms))
            shapes.update(zip((blob.id for blob in node.tops), found, strict=True))
    return with_shapes(graph, shapes)


def _tops(node: Node, bottoms: tuple[Shape, ...]) -> tuple[Shape, ...]:
    layer = cast(Layer, node.layer)
    try:
        tops = layer.infer(bottoms)
    except Mismatch as mismatch:
        raise CannotTake(node, str(mismatch)) from mismatch
    for spec, param in zip(layer.params(bottoms), node.params, strict=True):
        if spec.shape != param.spec.shape:
            given = " and ".join(map(str, bottoms))
            raise CannotTake(node, f"its {spec.name} is {param.spec.shape}, for {given} it would be {spec.shape}")
    return tops


def with_shapes(graph: Graph, shapes: Mapping[str, Shape]) -> Graph:
    """The same graph with these shapes, by blob id, which its layers' shape rules must have given."""

    def resized(blobs: tuple[Blob, ...]) -> tuple[Blob, ...]:
        return tuple(replace(blob, shape=shapes[blob.id]) for blob in blobs)

    nodes = tuple(replace(node, bottoms=resized(node.bottoms), tops=resized(node.tops)) for node in graph.nodes)
    return replace(graph, nodes=nodes, inputs=resized(graph.inputs), outputs=resized(graph.outputs))
