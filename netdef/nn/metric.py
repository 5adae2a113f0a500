"""How often is a net right? Caffe's Accuracy."""

from __future__ import annotations

import torch
from torch import Tensor

from netdef.nn.loss import check_labels


def accuracy(x: Tensor, labels: Tensor, axis: int = 1, top_k: int = 1, ignore_label: int | None = None) -> Tensor:
    """The share of labels whose score is among the best `top_k`; 0 when all are ignored.

    Another class with an equal score counts as better: a net whose scores are all the same is never right.

    Args:
        x: scores (…, C, …) with the classes on `axis`.
        labels: as many as there are scores per class, in their order.
        axis: the axis of the classes.
        top_k: how many guesses there are.
        ignore_label: labels of this value do not count.

    Raises:
        LabelError: a label is outside 0 … C - 1.

    Source: Caffe's accuracy_layer.cpp.
    """
    right, counted, _ = _judge(x, labels, axis, top_k, ignore_label)
    return right.sum() / counted.sum().clamp(min=1)


def class_accuracy(x: Tensor, labels: Tensor, axis: int = 1, top_k: int = 1, ignore_label: int | None = None) -> Tensor:
    """The accuracy among the labels of each class (C); 0 for a class without labels. Arguments as for `accuracy`."""
    right, counted, target = _judge(x, labels, axis, top_k, ignore_label)
    zeros = torch.zeros(x.shape[axis], device=x.device)
    return zeros.index_add(0, target, right) / zeros.index_add(0, target, counted).clamp(min=1)


def _judge(x: Tensor, labels: Tensor, axis: int, top_k: int, ignore_label: int | None) -> tuple[Tensor, Tensor, Tensor]:
    """For each label: whether it is right and whether it counts, as 1.0 or 0.0, and the label (0 if ignored)."""
    scores = x.detach().movedim(axis, -1).flatten(0, -2) if x.dim() > 1 else x.detach().unsqueeze(0)
    target = labels.long().flatten()
    check_labels(target, scores.shape[1], ignore_label)
    counted = torch.ones_like(target, dtype=torch.bool) if ignore_label is None else target != ignore_label
    target = torch.where(counted, target, 0)
    others = (scores >= scores.gather(1, target.unsqueeze(1))).sum(1) - 1
    return ((others < top_k) & counted).float(), counted.float(), target
