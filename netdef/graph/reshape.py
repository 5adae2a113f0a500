"""Which shapes do a net's blobs take when its inputs change their shapes and its parameters keep theirs?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from netdef.ir import Blob, Graph, Node, Shape, merge
from netdef.layers import Mismatch


class CannotTake(Exception):
    """A layer cannot take bottoms of other shapes.

    Attributes:
        node: the layer.
        why: what it has against them.
    """

    def __init__(self, node: Node, why: str) -> None:
        super().__init__(f'"{node.name}": {why}')
        self.node, self.why = node, why


def reshaped(graph: Graph, inputs: Mapping[str, Shape]) -> Graph:
    """The same graph for inputs of these shapes, by blob id, with the parameters as they are.

    Raises:
        CannotTake: as `reshape`.
    """
    return with_shapes(graph, reshape(graph.nodes, inputs))


def reshape(nodes: Iterable[Node], inputs: Mapping[str, Shape]) -> dict[str, Shape]:
    """The shape of every blob, by id, where the inputs have these shapes (Caffe's Net::Reshape).

    Raises:
        CannotTake: a layer has no use for what it would read, or would need other parameters.
    """
    shapes = dict(inputs)
    for node in nodes:
        if not all(blob.id in shapes for blob in node.tops):
            found = _tops(node, tuple(shapes[blob.id] for blob in node.bottoms))
            shapes.update(zip((blob.id for blob in node.tops), found, strict=True))
    return shapes


def _tops(node: Node, bottoms: tuple[Shape, ...]) -> tuple[Shape, ...]:
    try:
        tops, specs = node.layer.infer(bottoms), node.layer.params(bottoms)
    except Mismatch as mismatch:
        raise CannotTake(node, str(mismatch)) from mismatch
    for before, now in zip(node.specs, specs, strict=True):
        if merge(before.shape, now.shape) is None:
            raise CannotTake(node, f"its {now.name} is {before.shape}, and would have to be {now.shape}")
    return tops


def with_shapes(graph: Graph, shapes: Mapping[str, Shape]) -> Graph:
    """The same graph with these shapes, by blob id, which its layers' shape rules must have given."""

    def resized(blobs: tuple[Blob, ...]) -> tuple[Blob, ...]:
        return tuple(replace(blob, shape=shapes[blob.id]) for blob in blobs)

    nodes = tuple(replace(node, bottoms=resized(node.bottoms), tops=resized(node.tops)) for node in graph.nodes)
    return replace(graph, nodes=nodes, inputs=resized(graph.inputs), outputs=resized(graph.outputs))
