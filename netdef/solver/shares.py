"""How much of the whole batch's loss is the loss of one process's rows?

A Caffe loss is a sum over rows divided by a normaliser. Of N processes each computes its own sum over its own
normaliser, and the loss of the whole batch is Σ loss * own normaliser / whole normaliser. Each loss is therefore
multiplied by N * own / whole: then the mean over the processes is the loss of the whole batch, and so is the mean of
the gradients, exactly, however unequal the parts are.

The normaliser is a number of rows or labels, which the shapes tell, but for VALID with an `ignore_label` or a
`class_weight`: there the labels that count are counted in each batch. What is no loss layer but has a `loss_weight`
counts as a sum over its elements, which is right unless the layer itself averages over rows (a Reduction MEAN over
axis 0 is known).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from netdef.ir import Graph, Node
from netdef.layers.arithmetic import Reduction
from netdef.layers.loss import Counting, Loss, SoftmaxWithLoss
from netdef.solver.team import Team


@dataclass(frozen=True, slots=True)
class Term:
    """One term of the loss.

    Attributes:
        blob: its id.
        weight: its `loss_weight`.
        share: own normaliser / whole normaliser where the shapes tell it.
        labels: the blob of labels, where they must be counted.
        ignore: the label that does not count.
        class_weight: how much a label of each class counts; empty for 1 each.
    """

    blob: str
    weight: float
    share: float = 1.0
    labels: str | None = None
    ignore: int | None = None
    class_weight: tuple[float, ...] = ()

    def factor(self, values: Mapping[str, Tensor], team: Team) -> Tensor | float:
        """What to multiply the own value by, so that the mean over the team is the whole batch's."""
        if self.labels is None:
            return self.share * team.world
        own = self._count(values[self.labels].detach().long())
        whole = team.sum(own.clone())
        factor: Tensor = torch.where(own > 0, own, 1.0) * team.world / torch.where(whole > 0, whole, 1.0)
        return factor.float()

    def _count(self, target: Tensor) -> Tensor:
        """The labels that count, or the sum of their weights."""
        valid = torch.ones_like(target, dtype=torch.bool) if self.ignore is None else target != self.ignore
        if not self.class_weight:
            return valid.sum().double()
        weights = _on_device(self.class_weight, target.device)
        return torch.where(valid, weights[torch.where(valid, target, 0)], 0.0).sum()


@cache
def _on_device(numbers: tuple[float, ...], device: torch.device) -> Tensor:
    """Sent once: a GPU would be waited for each time."""
    return torch.tensor(numbers, dtype=torch.float64, device=device)


def terms(own: Graph, whole: Graph) -> tuple[Term, ...]:
    """The terms of the loss of `own`, the net with this process's rows; `whole` is the net with all rows."""
    found = []
    for node in own.nodes:
        for blob, weight in zip(node.tops, node.loss_weights, strict=True):
            if weight:
                found.append(_term(node, whole.layers[node.id], blob.id, weight))
    return tuple(found)


def output_terms(own: Graph, whole: Graph) -> dict[str, Term]:
    """How each output of the whole batch follows from those of its parts; outputs with a value a row are not there."""
    losses = {term.blob: term for term in terms(own, whole)}
    found = {}
    for blob in own.outputs:
        node = own.producers[blob.id]
        if blob.id in losses:
            found[blob.id] = losses[blob.id]
        elif node.bottoms and blob.shape == whole.blobs[blob.id].shape:
            found[blob.id] = Term(blob.id, 0.0, _ratio(node, whole.layers[node.id], 0))
    return found


def label_blobs(terms: tuple[Term, ...]) -> list[str]:
    """The labels that must be counted."""
    return [term.labels for term in terms if term.labels is not None]


def total(terms: tuple[Term, ...], values: Mapping[str, Tensor], team: Team) -> Tensor:
    """The loss whose mean over the team is that of the whole batch."""
    parts = [values[term.blob].sum() * (term.factor(values, team) * term.weight) for term in terms]
    return torch.stack(parts).sum() if len(parts) > 1 else parts[0]


def _term(own: Node, whole: Node, blob: str, weight: float) -> Term:
    counting = getattr(own.layer, "counting", None)
    if not isinstance(own.layer, Loss) or blob != own.tops[0].id:
        averages = isinstance(own.layer, Reduction) and own.layer.operation == "MEAN" and own.layer.axis == 0
        return Term(blob, weight, _ratio(own, whole, 0) if averages else 1.0)
    if not isinstance(counting, Counting):
        return Term(blob, weight, _ratio(own, whole, 0))
    if counting.normalization == "NONE":
        return Term(blob, weight)
    weights = own.layer.balance.class_weight if isinstance(own.layer, SoftmaxWithLoss) else ()
    if counting.normalization == "VALID" and (counting.ignore_label is not None or weights):
        return Term(blob, weight, 1.0, own.bottoms[1].id, counting.ignore_label, weights)
    return Term(blob, weight, _ratio(own, whole, 0))


def _ratio(own: Node, whole: Node, bottom: int) -> float:
    """Rows here of rows in all; what a row holds is the same on both sides."""
    return (own.bottoms[bottom].shape.count() or 1) / (whole.bottoms[bottom].shape.count() or 1)
