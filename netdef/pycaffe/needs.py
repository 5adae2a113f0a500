"""Which layers take part in a backward pass? Caffe's rule (net.cpp, Init), which its scripts know."""

from __future__ import annotations

from dataclasses import dataclass

from netdef.ir import Graph, Node


@dataclass(frozen=True, slots=True)
class Need:
    """What one node computes in a backward pass.

    Attributes:
        runs: whether it takes part at all.
        bottoms: for each bottom, whether it gets a gradient.
    """

    runs: bool
    bottoms: tuple[bool, ...]


def needs(graph: Graph, force: bool) -> dict[str, Need]:
    """The need of every node, by its id.

    Only what is under a loss and learns, or has something that learns before it, takes part; so that no gradient
    reaches an Input. `force` (the net's `force_backward`) makes every layer take part, and all bottoms but labels.
    """
    if force:
        return {node.id: _forced(node) for node in graph.nodes}
    under_loss: set[str] = set()
    found: dict[str, Need] = {}
    for node in reversed(graph.nodes):
        counts = any(node.loss_weights) or any(blob.id in under_loss for blob in node.tops)
        learns = any(node.propagate) or any(param.lr_mult for param in node.params)
        found[node.id] = Need(counts and learns, node.propagate if counts else (False,) * len(node.bottoms))
        if counts:
            flows = zip(node.bottoms, node.propagate, strict=True)
            under_loss.update(blob.id for blob, flowing in flows if flowing)
    return found


def _forced(node: Node) -> Need:
    refused = node.layer.label_bottoms
    wanted = tuple(index not in refused for index in range(len(node.bottoms)))
    return Need(not node.layer.is_source, wanted)
