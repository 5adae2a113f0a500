"""What a net costs: parameters, multiply-adds and memory, as far as its sizes are known."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from netdef.ir.graph import Graph, Node
from netdef.ir.shape import Dim

FLOAT_BYTES = 4


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of a net or of a layer; None where a size is unknown.

    Attributes:
        parameters: numbers that are learnt (a frozen one counts, a statistic does not).
        statistics: numbers that BatchNorm keeps.
        multiply_adds: of one forward pass over the whole batch.
        activation_bytes: all blobs, those of an in-place chain once.
    """

    parameters: Dim
    statistics: Dim
    multiply_adds: Dim
    activation_bytes: Dim


def node_cost(node: Node) -> Cost:
    """The cost of one layer; a shared parameter counts with its owner alone."""
    own = [param.spec for param in node.params if param.id.rpartition(".")[0] == node.id]
    bottoms = tuple(blob.shape for blob in node.bottoms)
    in_place = {blob.name for blob in node.bottoms}
    written = (blob for blob in node.tops if blob.name not in in_place)
    return Cost(
        total(spec.shape.count() for spec in own if not spec.statistic),
        total(spec.shape.count() for spec in own if spec.statistic),
        node.layer.cost(bottoms, tuple(blob.shape for blob in node.tops)),
        total(_bytes(blob.shape.count()) for blob in written),
    )


def graph_cost(graph: Graph) -> Cost:
    """The cost of all layers together."""
    costs = [node_cost(node) for node in graph.nodes]
    return Cost(
        total(cost.parameters for cost in costs),
        total(cost.statistics for cost in costs),
        total(cost.multiply_adds for cost in costs),
        total(cost.activation_bytes for cost in costs),
    )


def training_bytes(graph: Graph, histories: int = 1) -> Dim:
    """Predicted memory of a training step: parameters, their gradients and histories, activations, and the
    gradients of the two largest blobs, which are alive together on the way back.
    """
    cost = graph_cost(graph)
    trained = total(p.spec.shape.count() for p in graph.params.values() if p.lr_mult and not p.spec.statistic)
    blobs = [_bytes(blob.shape.count()) for node in graph.nodes for blob in node.tops]
    largest = sorted((size for size in blobs if size is not None), reverse=True)[:2]
    numbers = (cost.parameters, cost.statistics, *(trained for _ in range(1 + histories)))
    return total((*map(_bytes, numbers), cost.activation_bytes, *largest))


def total(sizes: Iterable[Dim]) -> Dim:
    """The sum; None when a term is unknown."""
    known = list(sizes)
    return None if None in known else sum(size for size in known if size is not None)


def _bytes(count: Dim) -> Dim:
    return None if count is None else count * FLOAT_BYTES
