"""Is a graph what a graph must be? Run after the passes; a finding is a bug of ours, not a user's mistake."""

from __future__ import annotations

from netdef.ir.graph import Graph, Node
from netdef.ir.shape import merge


def verify(graph: Graph) -> Graph:
    """Check that blobs are written once and before they are read, and that the shape rules still hold."""
    written: set[str] = set()
    for node in graph.nodes:
        _verify_node(node, written)
        written.update(blob.id for blob in node.tops)
    assert all(blob.id in written for blob in (*graph.inputs, *graph.outputs))
    assert len(graph.layers) == len(graph.nodes), "two nodes have one id"
    return graph


def _verify_node(node: Node, written: set[str]) -> None:
    for blob in node.bottoms:
        assert blob.id in written, f"{node.id} reads {blob.id} before it is written"
    for blob in node.tops:
        assert blob.id not in written, f"{blob.id} is written twice"
    assert len(node.loss_weights) == len(node.tops)
    assert len(node.propagate) == len(node.bottoms)
    shapes = node.layer.infer(tuple(blob.shape for blob in node.bottoms))
    for blob, shape in zip(node.tops, shapes, strict=True):
        assert merge(blob.shape, shape) is not None, f"{node.id}: {blob.id} is {blob.shape}, the rule says {shape}"
