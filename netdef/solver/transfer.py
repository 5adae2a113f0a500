"""How do arrays get from weight files into a net's tensors, and back?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from netdef.ir import Graph, Node
from netdef.weights import Floats, LayerWeights, MatchReport, NetLayer, Weights, match


def net_layers(graph: Graph) -> list[NetLayer]:
    """Every layer with its parameters' names and shapes, as `match` wants them."""
    return [(node.name, [(p.spec.name, p.spec.shape.known_sizes()) for p in node.params]) for node in graph.nodes]


def shared(graph: Graph) -> set[tuple[str, int]]:
    """(layer, index) of the parameters that another layer owns."""
    owned: set[str] = set()
    found = set()
    for node in graph.nodes:
        for index, param in enumerate(node.params):
            if param.id in owned:
                found.add((node.name, index))
            owned.add(param.id)
    return found


@torch.no_grad()
def put(graph: Graph, tensors: Mapping[str, Tensor], weights: Sequence[Weights]) -> MatchReport:
    """Copy weights into `tensors` (by Param id), by layer name as Caffe does.

    Raises:
        NetdefError: a layer's blobs do not fit (ND0610, ND0611).
    """
    report = match(net_layers(graph), weights, shared=shared(graph))
    for node in _first_of_name(graph):
        for index, param in enumerate(node.params):
            array = report.arrays.get((node.name, index))
            if array is not None:
                # A copy of its own: the array may be a read-only view on the file, and not aligned.
                tensors[param.id].copy_(torch.from_numpy(np.array(array, np.float32)))
    return report


def layer_weights(graph: Graph, tensors: Mapping[str, Tensor], *, owners_only: bool) -> Iterator[LayerWeights]:
    """Every layer with its blobs, one layer at a time, as a snapshot stores them.

    With `owners_only` a shared parameter stands with its owner alone (Caffe's HDF5), else with all that share it.
    """
    stored: set[str] = set()
    for node in graph.nodes:
        kept = [(i, p) for i, p in enumerate(node.params) if not (owners_only and p.id in stored)]
        stored.update(param.id for param in node.params)
        keys = tuple(str(index) for index, _ in kept) if len(kept) < len(node.params) else ()
        yield LayerWeights(node.name, node.type, [array(tensors[param.id]) for _, param in kept], keys=keys)


def array(tensor: Tensor) -> Floats:
    """The numbers of a tensor in Caffe's order of memory."""
    return np.ascontiguousarray(tensor.detach().to("cpu", torch.float32).numpy())


def _first_of_name(graph: Graph) -> Iterator[Node]:
    seen: set[str] = set()
    for node in graph.nodes:
        if node.name not in seen:
            yield node
        seen.add(node.name)
