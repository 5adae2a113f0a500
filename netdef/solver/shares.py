"""How much of the whole batch's loss is the loss of one process's rows?

A Caffe loss is a sum over rows divided by a normaliser. Of N processes each computes its own sum over its own
normaliser, and the loss of the whole batch is Σ loss * own normaliser / whole normaliser. Each loss is therefore
multiplied by N * own / whole: then the mean over the processes is the loss of the whole batch, and so is the mean of
the gradients, exactly, however unequal the parts are.

The normaliser is a number of rows or labels, which the shapes tell, but for VALID with an `ignore_label` or a
`class_weight`: there the labels that count are counted in each batch. What is no loss layer but has a `loss_weight`
counts as a sum over its elements, unless it is a Reduction that takes their mean or a layer of the user's own, which
is taken to average.

Where each process has a batch of its own (`batch: PER_DEVICE`) the loss is the mean of theirs, as in Caffe.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from netdef.ir import Blob, Dim, Graph, Node, Shape
from netdef.layers.arithmetic import Reduction
from netdef.layers.axes import canonical
from netdef.layers.loss import InfogainLoss, Loss, SigmoidCrossEntropyLoss, SoftmaxWithLoss
from netdef.layers.metric import Accuracy
from netdef.layers.python import Python
from netdef.solver.team import Team


@dataclass(frozen=True, slots=True)
class Term:
    """One term of the loss, or one output.

    Attributes:
        blob: its id.
        weight: its `loss_weight`.
        share: own normaliser / whole normaliser where the shapes tell it; None where each process has all there is of
            the blob, or a batch of its own, so that the mean is taken as it is.
        labels: the blob of labels, where they must be counted.
        ignore: the label that does not count.
        class_weight: how much a label of each class counts; empty for 1 each.
    """

    blob: str
    weight: float
    share: float | None = None
    labels: str | None = None
    ignore: int | None = None
    class_weight: tuple[float, ...] = ()

    def factor(self, values: Mapping[str, Tensor], team: Team) -> Tensor | float:
        """What to multiply the own value by, so that the mean over the team is the whole batch's."""
        if self.labels is None:
            return 1.0 if self.share is None else self.share * team.world
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


def terms(own: Graph, whole: Graph | None) -> tuple[Term, ...]:
    """The terms of the loss of `own`, the net with this process's rows.

    `whole` is the net with all rows, None where each process has a batch of its own.
    """
    return tuple(_term(node, whole, blob, weight) for node, blob, weight in _weighted(own))


def output_terms(own: Graph, whole: Graph | None) -> dict[str, Term]:
    """How each output of the whole batch follows from those of its parts; outputs with a value a row are not there."""
    found = {term.blob: term for term in terms(own, whole)}
    for blob in own.outputs:
        node = own.producers[blob.id]
        if blob.id not in found and node.bottoms and _is_of_all(blob, node, whole):
            found[blob.id] = _term(node, whole, blob.id, 0.0)
    return found


def label_blobs(terms: Iterable[Term]) -> list[str]:
    """The labels that must be counted."""
    return [term.labels for term in terms if term.labels is not None]


def total(terms: tuple[Term, ...], values: Mapping[str, Tensor], team: Team) -> Tensor:
    """The loss whose mean over the team is that of the whole batch."""
    parts = [values[term.blob].sum() * (term.factor(values, team) * term.weight) for term in terms]
    return torch.stack(parts).sum() if len(parts) > 1 else parts[0]


def _weighted(graph: Graph) -> Iterator[tuple[Node, str, float]]:
    for node in graph.nodes:
        for blob, weight in zip(node.tops, node.loss_weights, strict=True):
            if weight:
                yield node, blob.id, weight


def _is_of_all(blob: Blob, node: Node, whole: Graph | None) -> bool:
    """Whether an output tells of the batch as one, not of its rows."""
    if whole is None:
        return not blob.shape.rank or isinstance(node.layer, Accuracy)
    return blob.shape == whole.blobs[blob.id].shape


def _term(own: Node, whole: Graph | None, blob: str, weight: float) -> Term:
    if whole is None or _shapes(own) == _shapes(whole.layers[own.id]):
        return Term(blob, weight)
    if (counted := _counted(own)) and blob == own.tops[0].id:
        return Term(blob, weight, None, own.bottoms[1].id, *counted)
    return Term(blob, weight, (_normaliser(own) or 1) / (_normaliser(whole.layers[own.id]) or 1))


def _counted(node: Node) -> tuple[int | None, tuple[float, ...]] | None:
    """The label that does not count and the classes' weights, where labels must be looked at to count them."""
    layer = node.layer
    if isinstance(layer, Accuracy):
        return None if layer.ignore_label is None else (layer.ignore_label, ())
    counting = layer.counting if isinstance(layer, SoftmaxWithLoss | SigmoidCrossEntropyLoss | InfogainLoss) else None
    weights = layer.balance.class_weight if isinstance(layer, SoftmaxWithLoss) else ()
    if counting is None or counting.normalization != "VALID" or (counting.ignore_label is None and not weights):
        return None
    return counting.ignore_label, weights


def _normaliser(node: Node) -> Dim:
    """What the layer divides the sum over the batch by, but for a factor; a user's own layer is taken to average."""
    if not node.bottoms:
        return 1
    layer, first = node.layer, node.bottoms[0].shape
    if isinstance(layer, Loss):
        return layer.normaliser(tuple(blob.shape for blob in node.bottoms))
    if isinstance(layer, Reduction):
        return first.count(canonical(layer.axis, first)) if layer.operation == "MEAN" else 1
    return first.count() if isinstance(layer, Accuracy | Python) else 1


def _shapes(node: Node) -> tuple[Shape, ...]:
    return tuple(blob.shape for blob in (*node.bottoms, *node.tops))
