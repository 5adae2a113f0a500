"""Reshaping with sizes that only a run knows."""

from __future__ import annotations

from torch import Tensor


def reshape(x: Tensor, dims: tuple[int, ...], start: int = 0, end: int | None = None) -> Tensor:
    """The same values with the axes `start` to `end` (exclusive) replaced by `dims`: 0 copies a size, -1 infers one.

    A 0 at place i copies the size of axis ``start + i``. Source: Caffe's reshape_layer.cpp.
    """
    sizes = x.shape
    tail = () if end is None else sizes[end:]
    copied = [size or sizes[start + i] for i, size in enumerate(dims)]
    return x.reshape((*sizes[:start], *copied, *tail))


def crop(x: Tensor, reference: Tensor, axis: int, offsets: tuple[int, ...]) -> Tensor:
    """The part of x that begins at `offsets` on the axes from `axis` on, with the sizes of `reference` there.

    Source: Caffe's crop_layer.cpp.
    """
    for i, offset in enumerate(offsets, axis):
        x = x.narrow(i, offset, reference.shape[i])
    return x
