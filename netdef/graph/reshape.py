"""What is a net like when its blobs have other sizes and its parameters the same?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from netdef.ir import Blob, Graph, Shape


def with_shapes(graph: Graph, shapes: Mapping[str, Shape]) -> Graph:
    """The same graph with these shapes, by blob id, which its layers' shape rules must have given."""

    def resized(blobs: tuple[Blob, ...]) -> tuple[Blob, ...]:
        return tuple(replace(blob, shape=shapes[blob.id]) for blob in blobs)

    nodes = tuple(replace(node, bottoms=resized(node.bottoms), tops=resized(node.tops)) for node in graph.nodes)
    return replace(graph, nodes=nodes, inputs=resized(graph.inputs), outputs=resized(graph.outputs))
