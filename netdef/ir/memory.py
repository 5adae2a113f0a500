"""How much memory does a training step take?"""

from __future__ import annotations

from netdef.ir.cost import float_bytes, total
from netdef.ir.graph import Graph
from netdef.ir.shape import Dim


def training_bytes(graph: Graph, histories: int = 1) -> Dim:
    """Predicted memory of a training step; None where a size is unknown.

    Parameters, their gradients and `histories` rows of solver history, the activations kept for the way back, and the
    gradients of the two largest blobs, which are alive together.
    """
    cost = graph.cost
    trained = total(p.spec.shape.count() for p in graph.params.values() if p.lr_mult and not p.spec.statistic)
    blobs = [float_bytes(blob.shape.count()) for node in graph.nodes for blob in node.tops]
    largest = sorted((size for size in blobs if size is not None), reverse=True)[:2]
    numbers = (cost.parameters, cost.statistics, *(trained for _ in range(1 + histories)))
    return total((*map(float_bytes, numbers), cost.activation_bytes, *largest))
