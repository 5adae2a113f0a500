"""How much memory does a training step take?"""

from __future__ import annotations

from netdef.ir.cost import float_bytes, total
from netdef.ir.graph import Blob, Graph, Node
from netdef.ir.shape import Dim


def training_bytes(graph: Graph, histories: int = 1) -> Dim:
    """Predicted memory of a training step; None where a size is unknown.

    Parameters, their gradients and `histories` rows of solver history, what the layers keep for the backward pass, and
    the gradients of the two largest blobs, which are alive together.
    """
    cost = graph.cost
    trained = total(p.spec.shape.count() for p in graph.params.values() if p.lr_mult and not p.spec.statistic)
    blobs = [float_bytes(blob.shape.count()) for node in graph.nodes for blob in node.tops]
    largest = sorted((size for size in blobs if size is not None), reverse=True)[:2]
    numbers = (cost.parameters, cost.statistics, *(trained for _ in range(1 + histories)))
    return total((*map(float_bytes, numbers), kept_bytes(graph), *largest))


def kept_bytes(graph: Graph) -> Dim:
    """What the layers keep from the forward pass for the backward pass: blobs, each once, and masks and indices."""
    kept = {blob.id: blob for node in graph.nodes if _learns(node) for blob in _kept(graph, node)}
    extra = (_times(node.tops[0].shape.count(), node.layer.keeps.extra_bytes) for node in graph.nodes if node.tops)
    return total((*(float_bytes(blob.shape.count()) for blob in kept.values()), *extra))


def _learns(node: Node) -> bool:
    return any(node.propagate) or any(param.lr_mult for param in node.params)


def _kept(graph: Graph, node: Node) -> tuple[Blob, ...]:
    keeps = node.layer.keeps
    bottoms = node.bottoms if keeps.bottoms and not _within_batch_norm(graph, node) else ()
    return bottoms + (node.tops if keeps.tops else ())


def _within_batch_norm(graph: Graph, node: Node) -> bool:
    """Whether it is a Scale that the torch target computes in one step with the BatchNorm before it."""
    return node.type == "Scale" and graph.producers[node.bottoms[0].id].type == "BatchNorm"


def _times(count: Dim, size: int) -> Dim:
    return None if count is None else count * size
