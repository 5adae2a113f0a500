"""What torch.nn has not around convolutions: windows laid out along the channels, rows picked by floats."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from netdef.nn.loss import check_labels


def im2col(
    x: Tensor, kernel: Sequence[int], stride: Sequence[int], pad: Sequence[int], dilation: Sequence[int]
) -> Tensor:
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
