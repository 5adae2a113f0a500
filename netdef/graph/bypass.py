"""Which layers of a graph do nothing, and how are they taken out?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import replace
from typing import Any

from netdef.ir import Blob, Graph, Node
from netdef.layers.axes import canonical


def _flat_already(node: Any) -> bool:
    x = node.bottoms[0].shape
    return x.ranked and canonical(node.layer.axis, x) == canonical(node.layer.end_axis, x)


def _keeps_sizes(node: Any) -> bool:
    """Whether a Reshape gives every axis the size that it has, whatever the batch is."""
    x, top = node.bottoms[0].shape, node.tops[0].shape
    if not (x.ranked and top.ranked) or x.rank != top.rank:
        return False
    start = node.layer.axis if node.layer.axis >= 0 else x.rank + node.layer.axis + 1
    kept = all(dim == 0 or (dim == x[axis] and axis) for axis, dim in enumerate(node.layer.dims, start) if dim != -1)
    return kept and top == x


def _pools_nothing(node: Any) -> bool:
    """Whether each window of a Pooling is one value."""
    if node.layer.windows is None or node.layer.mask:
        return False
    window = node.layer.windows.window
    return {*window.kernel, *window.stride} == {1} and not any(window.pad)


_IDENTITIES: dict[str, Callable[[Any], bool]] = {
    "Dropout": lambda node: True,
    "Split": lambda node: True,
    "Concat": lambda node: len(node.bottoms) == 1,
    "Slice": lambda node: len(node.tops) == 1,
    "Tile": lambda node: node.layer.tiles == 1,
    "Power": lambda node: (node.layer.power, node.layer.inner.scale, node.layer.inner.shift) == (1, 1, 0),
    "Flatten": _flat_already,
    "Reshape": _keeps_sizes,
    "Pooling": _pools_nothing,
}
"""When a layer of a TEST net does nothing, by type; `Any`, because each layer has its own fields."""


def bypass(graph: Graph, wanted: Iterable[str]) -> Graph:
    """The graph of phase TEST without layers that do nothing.

    These are Dropout, Split, ``Power(1, 1, 0)``, Concat and Slice of a single blob, Tile by 1, Flatten of a blob that
    is flat already, Reshape to the sizes that a blob has already, and Pooling over windows of one value. The blobs
    whose ids are `wanted` stay. A layer's bottom and top become one blob, which keeps the top's name in an in-place
    chain or where the top is wanted, and the bottom's name elsewhere.
    """
    kept = {*wanted, *(blob.id for blob in graph.inputs)}
    for node in graph.nodes:
        if node.type in _IDENTITIES and _IDENTITIES[node.type](node) and not any(node.loss_weights):
            graph = without(graph, node.id, kept)
    return graph


def needed(nodes: Sequence[Node], wanted: Set[str]) -> tuple[Node, ...]:
    """The nodes that the wanted blobs, by id, are computed by, in their order."""
    read = set(wanted)
    alive = []
    for node in reversed(nodes):
        if any(blob.id in read for blob in node.tops):
            read.update(blob.id for blob in node.bottoms)
            alive.append(node)
    return tuple(reversed(alive))


def rename(nodes: Iterable[Node], blobs: dict[str, Blob]) -> tuple[Node, ...]:
    """The nodes with some blobs, by id, replaced by others."""
    return tuple(
        replace(
            node,
            bottoms=tuple(blobs.get(blob.id, blob) for blob in node.bottoms),
            tops=tuple(blobs.get(blob.id, blob) for blob in node.tops),
        )
        for node in nodes
    )


def without(graph: Graph, id: str, kept: Set[str]) -> Graph:
    """The graph without a node that hands its bottom on; as it is where both of its blobs must stay."""
    node = graph.layers[id]
    (bottom,) = node.bottoms
    others = tuple(other for other in graph.nodes if other is not node)
    wanted = [top for top in node.tops if top.id in kept]
    if len(wanted) > 1 or (wanted and bottom.id in kept):
        return graph
    survivor = wanted[0] if wanted else bottom
    if bottom.id not in kept:
        survivor = next((top for top in node.tops if top.name == bottom.name), survivor) if not wanted else survivor
    merged = {blob.id: survivor for blob in (bottom, *node.tops)}
    return replace(graph, nodes=rename(others, merged))
