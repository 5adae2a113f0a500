"""Which blobs do not depend on a net's input, and how are they computed once and stored?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import replace
from typing import Any

import numpy as np

from netdef.graph.affine import Array, Arrays
from netdef.ir import Blob, Filler, Graph, Node, Param, ParamSpec
from netdef.layers.affine import Bias, Scale
from netdef.layers.data import Parameter
from netdef.layers.filled import Filled

Evaluate = Callable[[Graph, Arrays], Mapping[str, Array]]
"""Computes the outputs of a graph without inputs, by blob id, from its parameters."""

_CHANGING: dict[str, Callable[[Any], bool]] = {
    "LSTM": lambda layer: True,
    "RNN": lambda layer: True,
    "Python": lambda layer: True,
    "HDF5Output": lambda layer: True,
    "BatchNorm": lambda layer: not layer.use_global_stats,
}
"""Layers that may give something else the next time, or do something beside what they give. `Any`, because each layer
has its own fields."""


def store_constants(
    graph: Graph, arrays: Arrays, wanted: Set[str], evaluate: Evaluate
) -> tuple[Graph, dict[str, Array]]:
    """The graph of phase TEST with every blob that depends on no input computed once, and its parameters.

    Each of these blobs that another layer reads, or that is `wanted`, then comes from a Parameter layer; a Scale or
    Bias that reads one as its second bottom takes it over as its own parameter.
    """
    part = _part(graph, wanted)
    kept = dict(arrays)
    if part.outputs:
        values = evaluate(part, arrays)
        stored = {blob.id: _parameter(graph, blob) for blob in part.outputs}
        kept.update((node.params[0].id, np.asarray(values[id], np.float32)) for id, node in stored.items())
        graph = _with_stored(graph, part, stored, wanted)
    graph = _absorbed(graph, kept, wanted)
    return graph, {id: kept[id] for id in graph.params}


def _part(graph: Graph, wanted: Set[str]) -> Graph:
    """The layers that compute constants; its outputs are the blobs to store."""
    constant: set[str] = set()
    nodes = []
    for node in graph.nodes:
        if _is_constant(node, constant):
            constant.update(blob.id for blob in node.tops)
            nodes.append(node)
    ids = {node.id for node in nodes}
    read = {blob.id for node in graph.nodes if node.id not in ids for blob in node.bottoms} | wanted
    stored = tuple(
        blob for node in nodes if not isinstance(node.layer, Parameter) for blob in node.tops if blob.id in read
    )
    return replace(graph, nodes=tuple(nodes), inputs=(), outputs=stored)


def _is_constant(node: Node, constant: Set[str]) -> bool:
    if isinstance(node.layer, Filled):
        return node.layer.axis is None
    if not node.tops or any(node.loss_weights) or _CHANGING.get(node.type, lambda layer: False)(node.layer):
        return False
    if node.layer.is_source:
        return False
    return bool(node.bottoms or isinstance(node.layer, Parameter)) and all(b.id in constant for b in node.bottoms)


def _with_stored(graph: Graph, part: Graph, stored: Mapping[str, Node], wanted: Set[str]) -> Graph:
    """The graph with the nodes `stored` instead of those that computed their tops, and without what is unused then."""
    nodes: list[Node] = []
    for node in graph.nodes:
        if node.id not in part.layers or isinstance(node.layer, Parameter):
            nodes.append(node)
        nodes += (stored[blob.id] for blob in node.tops if blob.id in stored)
    read = {blob.id for node in nodes for blob in node.bottoms} | wanted
    idle = {node.id for node in part.nodes if read.isdisjoint(blob.id for blob in node.tops)}
    return replace(graph, nodes=tuple(node for node in nodes if node.id not in idle))


def _parameter(graph: Graph, blob: Blob) -> Node:
    """A Parameter layer that gives the blob, under the name of the layer that made it, or of the blob itself."""
    maker = graph.producers[blob.id]
    name = maker.id if len(maker.tops) == 1 else _free(blob.id, graph)
    param = Param(f"{name}.weight", ParamSpec("weight", blob.shape, Filler()))
    return Node(name, name, Parameter(blob.shape), (), (blob,), (param,), (0.0,), (), maker.places)


def _free(name: str, graph: Graph) -> str:
    return name if name not in graph.layers else _free(f"{name}_", graph)


def _absorbed(graph: Graph, arrays: dict[str, Array], wanted: Set[str]) -> Graph:
    """Let each Scale and Bias own its factor where a Parameter that nobody else reads gives it."""
    owners = {blob.id: node for node in graph.nodes if isinstance(node.layer, Parameter) for blob in node.tops}
    readers = [blob.id for node in graph.nodes for blob in node.bottoms]
    users = [param.id for node in graph.nodes for param in node.params]
    made: dict[str, Node] = {}
    for node in graph.nodes:
        owner = owners.get(node.bottoms[1].id) if len(node.bottoms) == 2 else None
        if owner is None:
            continue
        alone = readers.count(node.bottoms[1].id) == users.count(owner.params[0].id) == 1
        taken = _taking(node, owner) if alone and node.bottoms[1].id not in wanted else None
        if taken:
            arrays[taken.params[0].id] = arrays[owner.params[0].id]
            made |= {node.id: taken, owner.id: taken}
    return replace(graph, nodes=tuple(_replaced(graph.nodes, made))) if made else graph


def _replaced(nodes: Iterable[Node], made: Mapping[str, Node]) -> Iterator[Node]:
    for node in nodes:
        new = made.get(node.id, node)
        if new.id == node.id:
            yield new


def _taking(node: Node, owner: Node) -> Node | None:
    """A Scale or Bias with the owner's parameter for its factor; None where its own would be as long as the batch."""
    layer = node.layer
    shape, factor = (blob.shape for blob in node.bottoms)
    if not isinstance(layer, Scale | Bias) or not shape.ranked:
        return None
    axis = layer.span.start(shape, factor)
    if factor.rank and axis == 0:
        return None
    layer = replace(
        layer, span=replace(layer.span, axis=axis if factor.rank else layer.span.axis, num_axes=factor.rank)
    )
    spec, *_ = layer.params((shape,))
    if spec.shape != factor:
        return None
    param = Param(f"{node.id}.{spec.name}", spec)
    return replace(
        node, layer=layer, bottoms=node.bottoms[:1], propagate=node.propagate[:1], params=(param, *node.params)
    )
