"""Caffe's losses: how a net's outputs and its labels become one number, and the gradient that Caffe takes of it.

All compute in float32 at least, also under autocast, and return the unweighted loss as a scalar.
"""

from __future__ import annotations

from math import log, prod
from typing import Any, Literal, cast

import torch
from torch import Tensor
from torch.nn import functional as F

Normalization = Literal["FULL", "VALID", "BATCH_SIZE", "NONE"]
NO_LABEL = -(2**62)
"""Stands for "no label is ignored" where torch wants a number; torch's own -100 could be a label in the data."""
MAX_NLL = -log(torch.finfo(torch.float32).tiny)
LOG_THRESHOLD = 1e-20
"""Caffe's kLOG_THRESHOLD: the smallest probability whose logarithm some losses take."""
_NAN_AS_INTEGER = torch.iinfo(torch.int64).min
"""What becomes of a label that is no number."""


class LabelError(ValueError):
    """A label names no class. Raised for tensors on the CPU only: on a GPU looking would make every step wait."""


def softmax_loss(
    x: Tensor, labels: Tensor, axis: int = 1, ignore_label: int | None = None, normalization: Normalization = "VALID"
) -> Tensor:
    """``-sum(log(max(softmax(x)[label], FLT_MIN))) / normaliser``; the gradient knows nothing of the clamp.

    Args:
        x: scores (…, C, …) with the classes on `axis`.
        labels: as many as there are scores per class, in their order; fractions are cut off.
        axis: the axis of the classes.
        ignore_label: labels of this value count for nothing.
        normalization: FULL divides by the number of labels, VALID by those not ignored, BATCH_SIZE by the product of
            the axes before `axis`, NONE by 1; never by less than 1.

    Raises:
        LabelError: a label is outside 0 … C - 1.

    Source: Caffe's softmax_loss_layer.cpp.
    """
    x = _full(x)
    axis %= x.dim()
    scores = x if x.dim() < 2 or axis == 1 else x.movedim(axis, 1)
    rest = scores.shape[:1] + scores.shape[2:] if x.dim() > 1 else ()
    target = labels.long().reshape(rest)
    ignored = NO_LABEL if ignore_label is None else ignore_label
    plain = ignore_label is None and normalization in ("VALID", "FULL") and _clamps_nothing(scores)
    try:
        nll = F.cross_entropy(scores, target, ignore_index=ignored, reduction="mean" if plain else "none")
    except IndexError:  # of labels on the CPU, where torch looks at each of them anyway
        check_labels(target, x.shape[axis], ignore_label)
        raise
    if plain:
        return nll
    valid = None if ignore_label is None else target != ignore_label
    return _at_most(nll, MAX_NLL).sum() / _normaliser(normalization, prod(x.shape[:axis]), target.numel(), valid)


def balanced_softmax_loss(
    x: Tensor,
    labels: Tensor,
    axis: int = 1,
    ignore_label: int | None = None,
    normalization: Normalization = "VALID",
    label_smoothing: float = 0.0,
    class_weight: Tensor | None = None,
) -> Tensor:
    """`softmax_loss` with a smoothed target, and classes of unequal weight.

    With e the smoothing, w the weights and p = softmax(x), a label y costs
    ``-(1 - e) w[y] log(p[y]) - e / C * sum(w log(p))``. torch's cross_entropy with reduction="mean" is the same where
    the normalization is VALID.

    Args:
        x: scores (…, C, …) with the classes on `axis`.
        labels: as in `softmax_loss`.
        axis: the axis of the classes.
        ignore_label: labels of this value count for nothing.
        normalization: as in `softmax_loss`; but with weights, VALID divides by the sum of w[y].
        label_smoothing: e, from 0 to 1.
        class_weight: w (C); None for 1 each.

    Raises:
        LabelError: a label is outside 0 … C - 1.

    Source: Szegedy et al. 2016, section 7, for the smoothing.
    """
    x = _full(x)
    axis %= x.dim()
    classes = x.shape[axis]
    scores = x.movedim(axis, -1).reshape(-1, classes)
    target = _targets(labels, classes, ignore_label).flatten()
    ignored = NO_LABEL if ignore_label is None else ignore_label
    losses = F.cross_entropy(
        scores, target, class_weight, ignore_index=ignored, reduction="none", label_smoothing=label_smoothing
    )
    valid = None if ignore_label is None else target != ignore_label
    if class_weight is not None and normalization == "VALID":
        return losses.sum() / _total_weight(class_weight, target, valid)
    return losses.sum() / _normaliser(normalization, prod(x.shape[:axis]), target.numel(), valid)


def sigmoid_cross_entropy_loss(
    x: Tensor, target: Tensor, ignore_label: int | None = None, normalization: Normalization = "BATCH_SIZE"
) -> Tensor:
    """``-sum(t log(sigmoid(x)) + (1 - t) log(1 - sigmoid(x))) / normaliser``, computed without overflow.

    Args:
        x: scores of any shape.
        target: probabilities, as many as scores; no gradient flows to them.
        ignore_label: targets that equal it after their fraction is cut off count for nothing.
        normalization: as in `softmax_loss`, with the first axis as the batch.

    Source: Caffe's sigmoid_cross_entropy_loss_layer.cpp.
    """
    x = _full(x)
    target = target.detach().to(x.dtype).reshape(x.shape)
    losses = F.binary_cross_entropy_with_logits(x, target, reduction="none")
    valid = None
    if ignore_label is not None:
        valid = target.trunc() != ignore_label
        losses = torch.where(valid, losses, 0.0)
    return losses.sum() / _normaliser(normalization, x.shape[0], x.numel(), valid)


def infogain_loss(
    x: Tensor,
    labels: Tensor,
    matrix: Tensor,
    axis: int = 1,
    ignore_label: int | None = None,
    normalization: Normalization = "VALID",
) -> Tensor:
    """``-sum(H[label] · log(max(softmax(x), 1e-20))) / normaliser``; the gradient knows nothing of the clamp.

    Args:
        x: scores (…, C, …) with the classes on `axis`.
        labels: as in `softmax_loss`.
        matrix: H, C * C values, a row for each true class; no gradient flows to it.
        axis: the axis of the classes.
        ignore_label: labels of this value count for nothing.
        normalization: as in `softmax_loss`.

    Source: Caffe's infogain_loss_layer.cpp.
    """
    x = _full(x)
    classes = x.shape[axis]
    target = _targets(labels, classes, ignore_label).flatten()
    valid = None if ignore_label is None else target != ignore_label
    rows = target if valid is None else torch.where(valid, target, 0)
    gains = matrix.detach().to(x.dtype).reshape(classes, classes).index_select(0, rows)
    logs = torch.log_softmax(x, axis).movedim(axis, -1).reshape(-1, classes)
    losses = -(gains * _clamp(logs, log(LOG_THRESHOLD), 0.0)).sum(1)
    losses = losses if valid is None else torch.where(valid, losses, 0.0)
    return losses.sum() / _normaliser(normalization, prod(x.shape[: axis % x.dim()]), target.numel(), valid)


def euclidean_loss(a: Tensor, b: Tensor) -> Tensor:
    """``sum((a - b)^2) / (2 N)`` for two blobs (N, …) of equal count. Source: Caffe's euclidean_loss_layer.cpp."""
    a, b = _full(a), _full(b)
    return F.mse_loss(a, b.reshape(a.shape), reduction="sum") / (2 * a.shape[0])


def hinge_loss(x: Tensor, labels: Tensor, norm: Literal["L1", "L2"] = "L1") -> Tensor:
    """``sum(max(0, 1 - d x)^p) / N``, d being 1 at the label and -1 elsewhere, p being 1 or 2.

    Args:
        x: scores (N, …), all but the first axis being the classes.
        labels: (N), one for each row.
        norm: L1 or L2.

    Raises:
        LabelError: a label is outside its row.

    Source: Caffe's hinge_loss_layer.cpp.
    """
    x = _rows(x)
    target = _targets(labels, x.shape[1], None).reshape(-1, 1)
    margins = F.relu(1 + x * torch.ones_like(x).scatter(1, target, -1.0))
    return (margins if norm == "L1" else margins * margins).sum() / x.shape[0]


def contrastive_loss(
    a: Tensor, b: Tensor, similar: Tensor, margin: float = 1.0, legacy_version: bool = False
) -> Tensor:
    """``sum(y d^2 + (1 - y) max(margin - d, 0)^2) / (2 N)`` with ``d = |a - b|``; legacy: ``max(margin - d^2, 0)``.

    The gradient divides by d + 1e-4, as Caffe's does, so that equal pairs get none.

    Args:
        a: features (N, C).
        b: features (N, C).
        similar: (N), 0 for a pair that should be far apart.
        margin: how far apart.
        legacy_version: the formula of Caffe's first versions.

    Source: Caffe's contrastive_loss_layer.cpp.
    """
    difference = _rows(a) - _rows(b)
    squared = (difference * difference).sum(1)
    apart = F.relu(margin - squared) if legacy_version else F.relu(margin - _distance(squared)).square()
    return torch.where(similar.reshape(-1).long() != 0, squared, apart).sum() / (2 * a.shape[0])


def multinomial_logistic_loss(probabilities: Tensor, labels: Tensor) -> Tensor:
    """``-sum(log(max(p[label], 1e-20))) / N``; where p is smaller its gradient is that at 1e-20.

    Args:
        probabilities: (N, …), all but the first axis being the classes.
        labels: (N), one for each row.

    Raises:
        LabelError: a label is outside its row.

    Source: Caffe's multinomial_logistic_loss_layer.cpp.
    """
    p = _rows(probabilities)
    chosen = p.gather(1, _targets(labels, p.shape[1], None).reshape(-1, 1))
    return -torch.log(_clamp(chosen, LOG_THRESHOLD, float("inf"))).sum() / p.shape[0]


def check_labels(
    target: Tensor, classes: int, ignore_label: int | None = None, *, what: str = "label", of: str = "classes"
) -> None:
    """See that integer labels are in 0 … classes - 1, where that costs no waiting for a device.

    Raises:
        LabelError: one is not.
    """
    if not _may_look(target) or _within(target, 0, classes - 1):
        return
    bad = (target < 0) | (target >= classes)
    if ignore_label is not None:
        bad &= target != ignore_label
    if bad.any():
        position = int(bad.flatten().nonzero()[0])
        number = int(target.flatten()[position])
        found = "nan" if number == _NAN_AS_INTEGER else number
        raise LabelError(f"{what} {found} (at position {position} of the batch) is none of the {of} 0 to {classes - 1}")


def _full(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def _rows(x: Tensor) -> Tensor:
    return _full(x).flatten(1) if x.dim() > 1 else _full(x).unsqueeze(1)


def _targets(labels: Tensor, classes: int, ignore_label: int | None) -> Tensor:
    target = labels.long()
    check_labels(target, classes, ignore_label)
    return target


def _normaliser(normalization: Normalization, batch: int, count: int, valid: Tensor | None) -> Tensor | int:
    if normalization == "VALID" and valid is not None:
        return valid.sum().clamp(min=1)
    return {"FULL": max(count, 1), "VALID": max(count, 1), "BATCH_SIZE": max(batch, 1), "NONE": 1}[normalization]


def _total_weight(class_weight: Tensor, target: Tensor, valid: Tensor | None) -> Tensor:
    """The sum of the weights of the labels that count; 1 where nothing counts."""
    if valid is None:
        total = class_weight[target].sum()
    else:
        total = torch.where(valid, class_weight[torch.where(valid, target, 0)], 0.0).sum()
    return torch.where(total > 0, total, 1.0)


def _may_look(x: Tensor) -> bool:
    """Whether values can be looked at without waiting for a device or breaking a compiled graph."""
    return x.device.type == "cpu" and x.numel() > 0 and not torch.compiler.is_compiling()


def _within(x: Tensor, low: float, high: float) -> bool:
    smallest, largest = torch.aminmax(x.detach())
    return bool(smallest.item() >= low and largest.item() <= high)


def _clamp(x: Tensor, low: float, high: float) -> Tensor:
    if _may_look(x) and _within(x, low, high):
        return x  # almost always; a Python autograd function takes as long as the rest of a small loss
    return cast(Tensor, _Clamp.apply(x, low, high))  # type: ignore[no-untyped-call]  # torch leaves it untyped


def _at_most(nll: Tensor, high: float) -> Tensor:
    """As `_clamp`, of numbers that are never below 0."""
    if _may_look(nll) and nll.detach().max().item() <= high:
        return nll
    return cast(Tensor, _Clamp.apply(nll, -high, high))  # type: ignore[no-untyped-call]  # torch leaves it untyped


def _clamps_nothing(scores: Tensor) -> bool:
    """Whether scores (N, C, …) lie so near each other that no probability is as small as FLT_MIN: almost always."""
    if scores.dim() < 2 or not _may_look(scores):
        return False
    smallest, largest = torch.aminmax(scores.detach())
    return largest.item() - smallest.item() + log(scores.shape[1]) < MAX_NLL


def _distance(squared: Tensor) -> Tensor:
    return cast(Tensor, _Distance.apply(squared))  # type: ignore[no-untyped-call]  # torch leaves it untyped


class _Clamp(torch.autograd.Function):
    """Clamp the value, let the gradient through."""

    @staticmethod
    def forward(x: Tensor, low: float, high: float) -> Tensor:
        return x.clamp(low, high)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Nothing to keep."""

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return grad, None, None


class _Distance(torch.autograd.Function):
    """The square root whose gradient is ``1 / (2 (root + 1e-4))``."""

    @staticmethod
    def forward(squared: Tensor) -> Tensor:
        return squared.sqrt()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        ctx.save_for_backward(output)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (distance,) = ctx.saved_tensors
        slope: Tensor = grad / (2 * (distance + 1e-4))
        return slope
