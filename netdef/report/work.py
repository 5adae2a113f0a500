"""How much arithmetic and memory traffic can a layer not do without?

FLOPs count a multiply-add as two. Bytes count each bottom, top and parameter that a way needs, read or written once.
"""

from __future__ import annotations

from collections.abc import Sequence

from netdef.ir import Dim, Node
from netdef.ir.cost import FLOAT_BYTES, total


def forward_work(node: Node) -> tuple[Dim, Dim]:
    """FLOPs and bytes of the forward pass."""
    return _doubled(node.cost.multiply_adds), _moved(_counts(node))


def backward_work(node: Node) -> tuple[Dim, Dim]:
    """FLOPs and bytes of the backward pass: once for the gradient of the bottoms, once for that of the parameters.

    The first needs the parameters, the second the bottoms, both the gradient of the tops.
    """
    adds = node.cost.multiply_adds
    learned = [p.spec.shape.count() for p in node.params if p.lr_mult and not p.spec.statistic]
    flowing = [b.shape.count() for b, flows in zip(node.bottoms, node.propagate, strict=True) if flows]
    read = [blob.shape.count() for blob in node.tops]
    read += [blob.shape.count() for blob in node.bottoms] if learned else []
    read += [param.spec.shape.count() for param in node.params] if flowing else []
    ways = bool(flowing) + bool(learned)
    return _doubled(None if adds is None else adds * ways), _moved([*read, *flowing, *learned])


def _counts(node: Node) -> list[Dim]:
    shapes = [b.shape for b in (*node.bottoms, *node.tops)] + [p.spec.shape for p in node.params]
    return [shape.count() for shape in shapes]


def _doubled(adds: Dim) -> Dim:
    return None if adds is None else 2 * adds


def _moved(counts: Sequence[Dim]) -> Dim:
    count = total(counts)
    return None if count is None else count * FLOAT_BYTES
