"""Passes: which tops count into the loss, and to which bottoms a gradient flows."""

from __future__ import annotations

from dataclasses import replace

from netdef.diagnostics import error
from netdef.diagnostics.words import counted
from netdef.graph.draft import Draft, Written
from netdef.ir import Node


def weigh(draft: Draft) -> Draft:
    """Give every top its loss weight: as written, else 1 for the first top of a loss layer and 0 for others."""
    pairs = zip(draft.written, draft.nodes, strict=True)
    return replace(
        draft, nodes=tuple(replace(node, loss_weights=_weights(draft, layer, node)) for layer, node in pairs)
    )


def _weights(draft: Draft, layer: Written, node: Node) -> tuple[float, ...]:
    stated = tuple(layer.message.loss_weight)
    count = len(node.tops)
    if len(stated) > count or (stated and len(stated) < count and not node.layer.is_loss):
        message = (
            f'"{node.id}" has {counted(count, "top")} and {len(stated)} `loss_weight`; give none, or one for each top'
        )
        draft.found.append(error("ND0309", message, span=layer.where.field("loss_weight")))
    if not stated and node.layer.is_loss:
        stated = (1.0,)
    return (stated + (0.0,) * count)[:count]


def propagate(draft: Draft) -> Draft:
    """Follow the gradient's way (Caffe's net.cpp, Init).

    A bottom gets a gradient when something learnable lies before it, or `force_backward` or `propagate_down: true`
    asks for one; not when `propagate_down: false` or the layer itself (labels) refuses.
    """
    flowing: set[str] = set()
    nodes = []
    for layer, node in zip(draft.written, draft.nodes, strict=True):
        ways = _ways(draft, layer, node, flowing)
        nodes.append(replace(node, propagate=ways))
        if any(ways) or any(param.lr_mult for param in node.params):
            flowing.update(blob.id for blob in node.tops)
    return replace(draft, nodes=tuple(nodes))


def _ways(draft: Draft, layer: Written, node: Node, flowing: set[str]) -> tuple[bool, ...]:
    stated = tuple(layer.message.propagate_down)
    if stated and len(stated) != len(node.bottoms):
        counts = f"{counted(len(node.bottoms), 'bottom')} and {len(stated)} `propagate_down`"
        message = f'"{node.id}" has {counts}; give none, or one for each'
        draft.found.append(error("ND0310", message, span=layer.where.field("propagate_down")))
        stated = ()
    forced = draft.message.force_backward
    wanted = stated or tuple(forced or blob.id in flowing for blob in node.bottoms)
    refused = node.layer.label_bottoms
    return tuple(want and index not in refused for index, want in enumerate(wanted))
