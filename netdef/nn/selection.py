"""Rows and indices chosen by values: BatchReindex, Filter and ArgMax."""

from __future__ import annotations

import torch
from torch import Tensor

from netdef.nn.loss import check_labels


def batch_reindex(x: Tensor, index: Tensor) -> Tensor:
    """``y[i] = x[index[i]]``; the gradients of a row that is used several times add up.

    Raises:
        LabelError: there is no such row.

    Source: Caffe's batch_reindex_layer.cpp.
    """
    rows = index.long()
    check_labels(rows, x.shape[0], what="index", of="rows")
    return x.index_select(0, rows)


def chosen_rows(selector: Tensor) -> Tensor:
    """The rows whose selector is not 0, as indices; how many they are is known only after looking."""
    return selector.flatten().nonzero().squeeze(1)


def arg_max(x: Tensor, top_k: int = 1, axis: int | None = None, out_max_val: bool = False) -> Tensor:
    """The places of the `top_k` largest values, as floats; among equal values the larger index comes first.

    Args:
        x: scores.
        top_k: how many places.
        axis: search along this axis and put the result there; with `out_max_val` the values in place of the indices.
            Without it the search goes over all but the first axis, and the result is (N, 1, top_k, …), or
            (N, 2, top_k, …) with the values after the indices, filled up with sizes of 1 to the rank of x.
        out_max_val: whether the values are wanted.

    Source: Caffe's argmax_layer.cpp.
    """
    x = x.detach()
    if axis is not None:
        index = _largest(x, top_k, axis)
        return x.gather(axis, index) if out_max_val else index.float()
    rows = x.flatten(1) if x.dim() > 1 else x.unsqueeze(1)
    index = _largest(rows, top_k, 1)
    found = [index.float(), rows.gather(1, index).float()][: 1 + out_max_val]
    return torch.stack(found, 1).reshape(x.shape[0], 1 + out_max_val, top_k, *[1] * (x.dim() - 3))


def _largest(x: Tensor, top_k: int, axis: int) -> Tensor:
    """Sorting the mirrored axis stably puts the larger index first; torch.topk promises no order among equals."""
    mirrored = x.flip(axis)
    if top_k == 1:
        place = mirrored.argmax(axis, keepdim=True)
    else:
        place = mirrored.sort(dim=axis, descending=True, stable=True).indices.narrow(axis, 0, top_k)
    return x.shape[axis] - 1 - place
