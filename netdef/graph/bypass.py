"""Take layers out of a graph that hand their bottom on as it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from netdef.ir import Blob, Graph, Node

_IDENTITIES: dict[str, Callable[[Any], bool]] = {
    "Dropout": lambda node: True,
    "Split": lambda node: True,
    "Concat": lambda node: len(node.bottoms) == 1,
    "Slice": lambda node: len(node.tops) == 1,
    "Power": lambda node: (node.layer.power, node.layer.inner.scale, node.layer.inner.shift) == (1, 1, 0),
}
"""When a layer of a TEST net does nothing, by type; `Any`, because each layer has its own fields."""


def bypass(graph: Graph, wanted: Iterable[str]) -> Graph:
    """The graph of phase TEST without Dropout, Split, ``Power(1, 1, 0)``, and Concat and Slice of one.

    The blobs whose ids are `wanted` stay. Of a bottom and a top that are one value now, the top's name stays in an
    in-place chain or where it is wanted, the bottom's elsewhere.
    """
    kept = {*wanted, *(blob.id for blob in graph.inputs)}
    for node in graph.nodes:
        if node.type in _IDENTITIES and _IDENTITIES[node.type](node) and not any(node.loss_weights):
            graph = _without(graph, node.id, kept)
    return graph


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


def _without(graph: Graph, id: str, kept: set[str]) -> Graph:
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
