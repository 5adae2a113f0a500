"""Which axes and sizes may a layer's blobs have? The checks that many shape rules share."""

from __future__ import annotations

from netdef.diagnostics.words import counted
from netdef.ir import Dim, Shape, agree, merge
from netdef.layers.base import Mismatch

MAX_COUNT = 2**31 - 1
"""The most values a Caffe blob holds (source: blob.cpp, Reshape: its count is an int)."""


def canonical(axis: int, shape: Shape, *, field: str = "axis", bottom: int = 0) -> int:
    """The axis counted from the front, of a shape whose rank is known (source: Caffe's blob.hpp, CanonicalAxisIndex).

    Raises:
        Mismatch: ND0412, the shape has no such axis.
    """
    rank = shape.rank
    if -rank <= axis < rank:
        return axis % rank
    raise Mismatch(
        f"`{field}: {axis}` is out of range: the bottom has {counted(rank, 'axis')} ({shape})",
        bottom=bottom,
        code="ND0412",
        help=f"`{field}` may be {-rank} to {rank - 1} here" if rank else "a scalar has no axes",
    )


def with_rank(shape: Shape, rank: int, kind: str, *, bottom: int = 0) -> Shape:
    """The shape itself; where its number of axes is unknown, one with `rank` unknown sizes.

    Raises:
        Mismatch: ND0411, it has another number of axes.
    """
    if not shape.ranked:
        return Shape((None,) * rank)
    if shape.rank == rank:
        return shape
    raise Mismatch(f"{kind} works on blobs of {rank} axes, found {shape.rank} ({shape})", bottom=bottom, code="ND0411")


def alike(bottoms: tuple[Shape, ...], kind: str) -> Shape:
    """The one shape that all bottoms have, with what is known from each of them.

    Raises:
        Mismatch: ND0304, a later bottom differs from the first.
    """
    common = bottoms[0]
    for index, shape in enumerate(bottoms[1:], start=1):
        merged = merge(common, shape)
        if merged is None:
            raise Mismatch(_difference(common, shape, kind), bottom=index, other=0)
        common = merged
    return common


def held(shape: Shape, what: str) -> Shape:
    """The shape itself, if a blob can hold it.

    Raises:
        Mismatch: ND0413, it has more than `MAX_COUNT` values.
    """
    count = shape.count()
    if count is None or count <= MAX_COUNT:
        return shape
    raise Mismatch(
        f"{what} would be {shape}: {count} values, and a blob holds at most {MAX_COUNT}",
        bottom=0,
        code="ND0413",
        help="look for a digit too many in this layer or in the sizes of its bottom",
    )


def _difference(a: Shape, b: Shape, kind: str) -> str:
    if a.rank != b.rank:
        return f"{kind} inputs differ in their number of axes: {a.rank} and {b.rank}"
    pairs = enumerate(zip(a.sizes, b.sizes, strict=True))
    axis, sizes = next((axis, sizes) for axis, sizes in pairs if not agree(*sizes))
    return f"{kind} inputs differ at axis {axis}: {sizes[0]} and {sizes[1]}"


def scaled(size: Dim, factor: int) -> Dim:
    """A size times a factor, unknown when the size is."""
    return None if size is None else size * factor
