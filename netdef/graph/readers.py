"""Which layers make use of a blob's values?"""

from __future__ import annotations

from collections.abc import Iterator

from netdef.ir import Blob, Graph, Node

_CARRIERS = frozenset({"Split", "Reshape", "Flatten", "Slice", "Concat", "Tile", "Crop", "Dropout"})
"""Layers that hand values on as they are: what reads their tops decides what may stand in their bottoms."""


def readers(graph: Graph, blob: Blob) -> Iterator[tuple[Node, int]]:
    """Each such layer, and as which of its bottoms it reads the blob, at once or through layers that change nothing."""
    for node in graph.nodes:
        for index, bottom in enumerate(node.bottoms):
            if bottom.id == blob.id and node.type in _CARRIERS:
                for top in node.tops:
                    yield from readers(graph, top)
            elif bottom.id == blob.id:
                yield node, index
