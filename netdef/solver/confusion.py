"""Which classes does a net take for which? Counted over a test, from what its Accuracy layers compare."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from netdef.diagnostics import NetdefError, error
from netdef.ir import Graph, Node
from netdef.layers.loss import SoftmaxWithLoss
from netdef.layers.metric import Accuracy
from netdef.solver.config import NetChoice, SolverConfig
from netdef.solver.randomness import Randomness
from netdef.solver.running import RunningNet, feed_of, prepared
from netdef.solver.style import Style


@dataclass(frozen=True, slots=True)
class Confusion:
    """How often each class was taken for each.

    Attributes:
        layer: the layer that compares scores with labels.
        counts: (C, C), a row for each true class, a column for each predicted one.
    """

    layer: str
    counts: NDArray[np.int64]

    @property
    def accuracy(self) -> float:
        """The share of labels that were predicted."""
        return float(self.counts.trace() / max(self.counts.sum(), 1))

    @property
    def recall(self) -> NDArray[np.float64]:
        """For each class, the share of its labels that were predicted (its accuracy); NaN without labels."""
        return _ratio(self.counts.diagonal(), self.counts.sum(1))

    @property
    def precision(self) -> NDArray[np.float64]:
        """For each class, the share of its predictions that are right; NaN where it was never predicted."""
        return _ratio(self.counts.diagonal(), self.counts.sum(0))

    @property
    def f1(self) -> NDArray[np.float64]:
        """For each class, ``2 right / (labels + predictions)``; NaN where there is neither."""
        return _ratio(2 * self.counts.diagonal(), self.counts.sum(0) + self.counts.sum(1))

    def plain(self) -> dict[str, Any]:
        """For JSON; null where a number does not exist."""
        kinds = {"recall": self.recall, "precision": self.precision, "f1": self.f1}
        per_class = {kind: [None if np.isnan(x) else float(x) for x in found] for kind, found in kinds.items()}
        return {"layer": self.layer, "accuracy": self.accuracy, **per_class, "counts": self.counts.tolist()}


class CountingNet(RunningNet):
    """A net that counts, batch by batch, what its comparing layers see."""

    def forward(self) -> tuple[dict[str, Tensor], Tensor]:
        """See RunningNet."""
        values, loss = super().forward()
        for node in judges(self.graph):
            scores, labels = (values[blob.id] for blob in node.bottoms[:2])
            found = count(scores, labels, node.layer)
            self._counts[node.id] = self._counts[node.id] + found if node.id in self._counts else found
        return {blob.id: values[blob.id] for blob in self.graph.outputs}, loss

    def begin(self) -> None:
        """Count from 0."""
        self._counts: dict[str, Tensor] = {}

    def confusions(self) -> tuple[Confusion, ...]:
        """What has been counted."""
        return tuple(Confusion(name, counts.cpu().numpy()) for name, counts in self._counts.items())


def build_counting(
    graph: Graph, choice: NetChoice, config: SolverConfig, style: Style, random: Randomness
) -> CountingNet:
    """A net to be tested, which counts from 0.

    Raises:
        NetdefError: ND0717, no layer of it compares scores with labels.
    """
    found = judges(graph)
    if not found:
        message = f'the net "{graph.name}" has neither an Accuracy nor a SoftmaxWithLoss: no classes to tell apart'
        raise NetdefError([error("ND0717", message, help="add an Accuracy layer to its TEST phase")])
    blobs = [blob.id for blob in graph.outputs] + [blob.id for node in found for blob in node.bottoms[:2]]
    module = prepared(graph, style, random, list(dict.fromkeys(blobs)))
    net = CountingNet(graph, module, feed_of(graph, module, choice, config, style, random), style)
    net.begin()
    return net


def judges(graph: Graph) -> list[Node]:
    """The Accuracy layers, one for each pair of scores and labels; the SoftmaxWithLoss where there is none."""
    found = [node for node in graph.nodes if isinstance(node.layer, Accuracy)]
    found = found or [node for node in graph.nodes if isinstance(node.layer, SoftmaxWithLoss)]
    return list({tuple(blob.id for blob in node.bottoms[:2]): node for node in reversed(found)}.values())[::-1]


@torch.no_grad()
def count(scores: Tensor, labels: Tensor, layer: Any) -> Tensor:
    """The counts (C, C) of one batch. As in Accuracy, another class with an equal score counts as predicted.

    Every step has a size that is known before, so that a GPU need not be waited for.
    """
    ignore = layer.ignore_label if isinstance(layer, Accuracy) else layer.counting.ignore_label
    classes = scores.shape[layer.axis]
    rows = scores.float().movedim(layer.axis, -1).reshape(-1, classes)
    target = labels.long().flatten()
    counted = torch.ones_like(target) if ignore is None else (target != ignore).long()
    target = torch.where(counted > 0, target, 0).unsqueeze(1)
    others, other = rows.scatter(1, target, -torch.inf).max(1, keepdim=True)
    predicted = torch.where(rows.gather(1, target) > others, target, other)
    pairs = (target * classes + predicted).flatten()
    return counted.new_zeros(classes**2).index_add(0, pairs, counted).reshape(classes, classes)


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    out = np.full(part.shape, np.nan)
    np.divide(part, whole, out=out, where=whole > 0)
    return out
