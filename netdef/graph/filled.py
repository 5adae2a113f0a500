"""Which blobs of a deployed net are constants from the start, and which of them are as long as the batch?"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import replace
from typing import cast

from netdef.graph.batch import Batch, batch_among, batch_of
from netdef.ir import Blob, Graph, Node, Shape
from netdef.layers import Mismatch
from netdef.layers.arithmetic import Power
from netdef.layers.data import DummyData
from netdef.layers.filled import Filled

_PROBES = (7, 11)
"""Numbers of rows to try, primes, so that no layer that needs a divisible batch gets through by luck."""


def constant(node: Node, blob: Blob) -> Filled | None:
    """What a top of a DummyData is filled with, if that is one number."""
    if not isinstance(node.layer, DummyData):
        return None
    filler = node.layer.fillers[node.tops.index(blob)]
    return Filled(blob.shape, filler.value) if filler.type == "constant" else None


def following(nodes: tuple[Node, ...]) -> tuple[Node, ...]:
    """The nodes, with constants that grow with the batch where the net takes another batch in that way alone.

    They come behind the input that tells the batch. In Caffe such a blob keeps its size, and the net its batch.
    """
    inputs = [node for node in nodes if node.layer.is_source]
    if not any(isinstance(node.layer, Filled) for node in nodes) or not inputs:
        return nodes
    batch = batch_among(tuple(blob for node in inputs for blob in node.tops), nodes)
    leader = next((node for node in inputs if node.tops[0].id in batch.axes), None)
    if leader is None:
        return nodes
    led = _led(nodes, leader, batch)
    return next((found for found in (nodes, led) if all(_takes(found, batch, rows) for rows in _PROBES)), led)


def without_effect(graph: Graph, wanted: Set[str]) -> Graph:
    """The graph without what only Powers that give one number read: of that the size alone counts, but for the batch.

    Sizes other than the batch's are taken for fixed.
    """
    batch, nodes = batch_of(graph), list(graph.nodes)
    leader = next((node for node in nodes if node.tops and node.tops[0].id in batch.axes), None)
    if leader is None or not any(_gives_one_number(node) for node in nodes):
        return graph
    probes = [_probe(graph.nodes, batch, rows) for rows in _PROBES]
    for index, node in enumerate(nodes):
        if _gives_one_number(node):
            nodes[index] = _filled(node, leader, batch, [shapes[node.tops[0].id] for shapes in probes if shapes])
    needed = {*wanted, *(blob.id for blob in graph.inputs)}
    for node in reversed(nodes):
        if any(blob.id in needed for blob in node.tops):
            needed.update(blob.id for blob in node.bottoms)
    return replace(graph, nodes=tuple(node for node in nodes if any(blob.id in needed for blob in node.tops)))


def _gives_one_number(node: Node) -> bool:
    return isinstance(node.layer, Power) and node.layer.constant is not None


def _filled(node: Node, leader: Node, batch: Batch, found: Sequence[Shape]) -> Node:
    """The node as a constant that follows the batch; as it is where more than one size, or none, does that plainly."""
    shape, value = node.tops[0].shape, cast(Power, node.layer).constant
    pairs = [*zip(*(sizes.dims or () for sizes in found), strict=False)] if len(found) == len(_PROBES) else []
    moving = [axis for axis, pair in enumerate(pairs) if pair[0] != pair[1]]
    if value is None or not shape.known or len(pairs) != shape.rank or [pairs[axis] for axis in moving] != [_PROBES]:
        return node
    (blob,) = leader.tops
    layer = Filled(shape, value, moving[0], batch.axes[blob.id])
    return replace(node, layer=layer, bottoms=(blob,), propagate=(False,))


def _led(nodes: tuple[Node, ...], leader: Node, batch: Batch) -> tuple[Node, ...]:
    """The nodes with each constant that may be as long as the batch made so."""
    made = {node.id: _follow(node, leader, batch) for node in nodes if _may_follow(node, batch)}
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


def _may_follow(node: Node, batch: Batch) -> bool:
    return isinstance(node.layer, Filled) and batch.axis(node.layer.shape) is not None


def _follow(node: Node, leader: Node, batch: Batch) -> Node:
    layer = cast(Filled, node.layer)
    (blob,) = leader.tops
    layer = replace(layer, axis=batch.axis(layer.shape), rows=batch.axes[blob.id])
    return replace(node, layer=layer, bottoms=(blob,), propagate=(False,))


def _takes(nodes: tuple[Node, ...], batch: Batch, rows: int) -> bool:
    return _probe(nodes, batch, rows) is not None


def _probe(nodes: tuple[Node, ...], batch: Batch, rows: int) -> dict[str, Shape] | None:
    """The shapes with so many rows and the parameters that are there; None where these do not work together."""
    shapes: dict[str, Shape] = {}
    for node in nodes:
        try:
            found = _sizes(node, batch, rows, lambda blob: shapes[blob.id])
        except Mismatch:
            return None
        shapes.update((blob.id, shape) for blob, shape in zip(node.tops, found, strict=True))
    return shapes


def _sizes(node: Node, batch: Batch, rows: int, now: Callable[[Blob], Shape]) -> tuple[Shape, ...]:
    if node.layer.is_source:
        return tuple(
            blob.shape.replace(batch.axes[blob.id], rows) if blob.id in batch.axes else blob.shape for blob in node.tops
        )
    bottoms = tuple(map(now, node.bottoms))
    tops = node.layer.infer(bottoms)
    for param, spec in zip(node.params, node.layer.params(bottoms), strict=False):
        if param.spec.shape.count() != spec.shape.count():
            raise Mismatch("a parameter would be of another size")
    return tops
