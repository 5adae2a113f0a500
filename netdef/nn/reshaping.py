"""Reshaping with sizes that only a run knows."""

from __future__ import annotations

from math import prod

from torch import Tensor


def reshape(x: Tensor, dims: tuple[int, ...], start: int = 0, end: int | None = None) -> Tensor:
    """The same values with the axes `start` to `end` (exclusive) replaced by `dims`: 0 copies a size, -1 infers one.

    A 0 at place i copies the size of axis ``start + i``. Source: Caffe's reshape_layer.cpp.
    """
    sizes = x.shape
    stop = len(sizes) if end is None else end
    middle = [size or sizes[start + i] for i, size in enumerate(dims)]
    if -1 in middle and not x.numel():  # of no values, as Filter may leave them, torch infers no size
        kept = {start + i for i, size in enumerate(dims) if size == 0}
        replaced = prod(sizes[axis] for axis in range(start, stop) if axis not in kept)
        middle[middle.index(-1)] = replaced // prod(size for size in dims if size > 0)
    return x.reshape((*sizes[:start], *middle, *sizes[stop:]))


def crop(x: Tensor, reference: Tensor, axis: int, offsets: tuple[int, ...]) -> Tensor:
    """The part of x that begins at `offsets` on the axes from `axis` on, with the sizes of `reference` there.

    Source: Caffe's crop_layer.cpp.
    """
    for i, offset in enumerate(offsets, axis):
        x = x.narrow(i, offset, reference.shape[i])
    return x
