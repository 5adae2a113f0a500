"""Does a net apply the same layers to two inputs, as a siamese net does? Then one of its towers is all of it."""

from __future__ import annotations

from dataclasses import replace

from netdef.ir import Blob, Graph, Node
from netdef.layers.data import Input


def one_tower(graph: Graph, first: Blob, second: Blob) -> tuple[Node, ...] | None:
    """The graph's nodes with the input of the first tower cut off from that of the second; None if they are no twins.

    Twins are made by the same layers with the same parameters, of two inputs or of two tops of one layer (the Slice
    that parts a pair). There must be something learned in them.
    """
    leaves = _leaves(graph, first, second)
    if len(leaves) != 1:
        return None
    ((own, other),) = leaves
    maker = graph.producers[own.id]
    if maker is not graph.producers[other.id] or maker.layer.is_source:
        return graph.nodes
    layer = Input((own.shape,))
    cut = replace(
        maker, id=own.id, name=own.name, layer=layer, bottoms=(), tops=(own,), loss_weights=(0.0,), propagate=()
    )
    return tuple(cut if node is maker else node for node in graph.nodes)


def _leaves(graph: Graph, first: Blob, second: Blob) -> set[tuple[Blob, Blob]]:
    """The pairs of blobs where two towers begin; none where these differ, or meet, or learn nothing."""
    todo, done, learned = [(first, second)], set[tuple[Blob, Blob]](), False
    leaves: set[tuple[Blob, Blob]] = set()
    while todo:
        pair = todo.pop()
        if pair in done:
            continue
        done.add(pair)
        one, two = (graph.producers[blob.id] for blob in pair)
        if pair[0].shape != pair[1].shape or pair[0].id == pair[1].id:
            return set()
        if one is two or (one.layer.is_source and two.layer.is_source):
            leaves.add(pair)
            continue
        if not _alike(one, two) or one.tops.index(pair[0]) != two.tops.index(pair[1]):
            return set()
        learned = learned or bool(one.params)
        todo += zip(one.bottoms, two.bottoms, strict=True)
    return leaves if learned else set()


def _alike(one: Node, two: Node) -> bool:
    return one.layer == two.layer and one.params == two.params and len(one.bottoms) == len(two.bottoms)
