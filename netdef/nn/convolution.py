"""What torch.nn has not around convolutions: windows laid out along the channels, rows picked by floats."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor

from netdef.nn.loss import check_labels

Sizes = Sequence[int]


def im2col(x: Tensor, kernel: Sizes, stride: Sizes, pad: Sizes, dilation: Sizes) -> Tensor:
    """The values under each position of a window, over any number of spatial axes.

    Shapes: ``N x C x spatial`` to ``N x C * kernel x positions``, the channel outermost and the window's last axis
    innermost, as the rows of Caffe's column buffer are.
    """
    num_axes = len(kernel)
    x = F.pad(x, [p for p in reversed(pad) for _ in range(2)])
    for i in range(num_axes):
        x = x.unfold(2 + i, dilation[i] * (kernel[i] - 1) + 1, stride[i])[..., :: dilation[i]]
    places = range(2 + num_axes, 2 + 2 * num_axes)
    return x.permute(0, 1, *places, *range(2, 2 + num_axes)).flatten(1, 1 + num_axes)


def convolve(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: Sizes, pad: Sizes, dilation: Sizes, groups: int
) -> Tensor:
    """Convolution over any number of spatial axes, torch's own being for 1 to 3.

    Shapes: ``N x C x spatial``, weight ``O x C / groups x kernel``, bias (O), to ``N x O x positions``.
    """
    columns = im2col(x, weight.shape[2:], stride, pad, dilation)
    positions = columns.shape[2:]
    rows = columns.reshape(len(x), groups, columns.shape[1] // groups, prod(positions))
    filters = weight.reshape(groups, len(weight) // groups, rows.shape[2])
    y = torch.einsum("gok,ngkp->ngop", filters, rows).reshape(len(x), len(weight), *positions)
    return _shifted(y, bias)


def deconvolve(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: Sizes, pad: Sizes, dilation: Sizes, groups: int
) -> Tensor:
    """The transpose of `convolve`: each value lays the filter, times itself, under its window.

    Shapes: ``N x C x positions``, weight ``C x O / groups x kernel``, bias (O), to ``N x O x spatial``.
    """
    kernel, positions = weight.shape[2:], x.shape[2:]
    rows = x.reshape(len(x), groups, x.shape[1] // groups, prod(positions))
    filters = weight.reshape(groups, rows.shape[2], -1)
    columns = torch.einsum("gck,ngcp->ngkp", filters, rows)
    columns = columns.reshape(len(x), groups * weight.shape[1], prod(kernel), *positions)
    reached = [s * (n - 1) + d * (k - 1) + 1 for n, k, s, d in zip(positions, kernel, stride, dilation, strict=True)]
    y = columns.new_zeros(*columns.shape[:2], *reached)
    for place, values in zip(product(*map(range, kernel)), columns.unbind(2), strict=True):
        steps = zip(place, positions, stride, dilation, strict=True)
        _part(y, [slice(k * d, k * d + s * (n - 1) + 1, s) for k, n, s, d in steps]).add_(values)
    return _shifted(_part(y, [slice(p, size - p) for p, size in zip(pad, reached, strict=True)]), bias)


def _part(x: Tensor, parts: Sequence[slice]) -> Tensor:
    """The view of x that these parts of its spatial axes make up."""
    for axis, part in enumerate(parts, 2):
        x = x[(slice(None),) * axis + (part,)]
    return x


def _shifted(y: Tensor, bias: Tensor | None) -> Tensor:
    return y if bias is None else y + bias.reshape(-1, *(1,) * (y.dim() - 2))


def embed(index: Tensor, weight: Tensor) -> Tensor:
    """The rows of `weight` that the floats in `index` name: ``...`` and ``R x K`` to ``... x K``.

    Raises:
        LabelError: there is no such row.
    """
    rows = index.long()
    try:
        return F.embedding(rows, weight)
    except IndexError:  # of indices on the CPU, where torch looks at each of them anyway
        check_labels(rows, len(weight), what="index", of="rows")
        raise
