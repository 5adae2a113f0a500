"""Which blobs of a deployed net are constants, and which of these are as long as the batch?"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import replace

from netdef.graph.batch import PROBES, Batch, batch_among, batch_of
from netdef.graph.bypass import needed
from netdef.graph.reshape import CannotTake, reshape
from netdef.ir import Blob, Graph, Node, Shape
from netdef.layers.arithmetic import Power
from netdef.layers.data import DummyData
from netdef.layers.filled import Filled


def constant(node: Node, blob: Blob) -> Filled | None:
    """What a top of a DummyData is filled with, if that is one number."""
    if not isinstance(node.layer, DummyData):
        return None
    filler = node.layer.fillers[node.tops.index(blob)]
    return Filled(blob.shape, filler.value) if filler.type == "constant" else None


def following(nodes: tuple[Node, ...]) -> tuple[Node, ...]:
    """The nodes, with constants made to grow with the batch if only that lets the net take batches of other sizes.

    Such a constant is moved behind the input that it gets the batch size from. In Caffe it keeps its size, so that the
    net is bound to one batch size.
    """
    inputs = [node for node in nodes if node.layer.is_source]
    if not any(isinstance(node.layer, Filled) for node in nodes) or not inputs:
        return nodes
    batch = batch_among(tuple(blob for node in inputs for blob in node.tops), nodes)
    leader = next((node for node in inputs if node.tops[0].id in batch.axes), None)
    if leader is None:
        return nodes
    led = _led(nodes, leader, batch)
    return next((found for found in (nodes, led) if all(_probe(found, batch, rows) for rows in PROBES)), led)


def without_effect(graph: Graph, wanted: Set[str]) -> Graph:
    """The graph without layers that are read only by Powers which give one number, whatever they read.

    Such a Power becomes a constant, and needs only the batch size of its bottom: the other sizes are taken as fixed.
    """
    batch, nodes = batch_of(graph), list(graph.nodes)
    leader = next((node for node in nodes if node.tops and node.tops[0].id in batch.axes), None)
    if leader is None or all(_number(node) is None for node in nodes):
        return graph
    probes = [_probe(graph.nodes, batch, rows) for rows in PROBES]
    for index, node in enumerate(nodes):
        if _number(node) is not None:
            nodes[index] = _filled(node, leader, batch, [shapes[node.tops[0].id] for shapes in probes if shapes])
    return replace(graph, nodes=needed(nodes, {*wanted, *(blob.id for blob in graph.inputs)}))


def _number(node: Node) -> float | None:
    """What a Power gives whatever it reads; None where that counts."""
    return node.layer.constant if isinstance(node.layer, Power) else None


def _filled(node: Node, leader: Node, batch: Batch, found: Sequence[Shape]) -> Node:
    """The node as a constant that follows the batch; unchanged unless exactly one of its sizes is that of the batch."""
    shape, value = node.tops[0].shape, _number(node)
    pairs = [*zip(*(sizes.dims or () for sizes in found), strict=False)] if len(found) == len(PROBES) else []
    moving = [axis for axis, pair in enumerate(pairs) if pair[0] != pair[1]]
    if value is None or not shape.known or len(pairs) != shape.rank or [pairs[axis] for axis in moving] != [PROBES]:
        return node
    (blob,) = leader.tops
    layer = Filled(shape, value, moving[0], batch.axes[blob.id])
    return replace(node, layer=layer, bottoms=(blob,), propagate=(False,))


def _led(nodes: tuple[Node, ...], leader: Node, batch: Batch) -> tuple[Node, ...]:
    """The nodes with each constant that may be as long as the batch made so."""
    made = {node.id: led for node in nodes if (led := _follow(node, leader, batch))}
    early = [made[node.id] for node in nodes[: nodes.index(leader)] if node.id in made]
    found: list[Node] = []
    for node in nodes:
        if node is leader:
            found += (node, *early)
        elif node.id not in made:
            found.append(node)
        elif made[node.id] not in early:
            found.append(made[node.id])
    return tuple(found)


def _follow(node: Node, leader: Node, batch: Batch) -> Node | None:
    """A constant that may be as long as the batch, made so; None of any other node."""
    layer = node.layer
    if not isinstance(layer, Filled) or (axis := batch.axis(layer.shape)) is None:
        return None
    (blob,) = leader.tops
    layer = replace(layer, axis=axis, rows=batch.axes[blob.id])
    return replace(node, layer=layer, bottoms=(blob,), propagate=(False,))


def _probe(nodes: tuple[Node, ...], batch: Batch, rows: int) -> dict[str, Shape] | None:
    """The shapes with so many rows; None where the layers and their parameters cannot work with as many."""
    given = [blob for node in nodes if node.layer.is_source for blob in node.tops]
    try:
        return reshape(nodes, {blob.id: batch.resized(blob, rows) for blob in given})
    except CannotTake:
        return None
