"""How large a blob is, as far as it is known."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

Dim = int | None
"""A size; None where only a run can tell (a batch, a database that is not there)."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of a blob, outermost first (N, C, H, W); `dims` is None when not even their number is known."""

    dims: tuple[Dim, ...] | None

    @classmethod
    def of(cls, *dims: Dim) -> Shape:
        """The shape with these sizes; none of them makes a scalar."""
        return cls(dims)

    @property
    def ranked(self) -> bool:
        """Whether the number of axes is known."""
        return self.dims is not None

    @property
    def known(self) -> bool:
        """Whether every size is known."""
        return self.dims is not None and None not in self.dims

    @property
    def sizes(self) -> tuple[Dim, ...]:
        """The sizes of a shape whose number of axes is known."""
        assert self.dims is not None, "asked for the sizes of a shape without a known rank"
        return self.dims

    @property
    def rank(self) -> int:
        """The number of axes, where that is known."""
        return len(self.sizes)

    def __getitem__(self, axis: int) -> Dim:
        """Size of one axis; negative ones count from the end."""
        return self.sizes[axis]

    def count(self, start: int = 0, end: int | None = None) -> Dim:
        """Number of elements in the axes `start` to `end` (exclusive); None when one of them is unknown."""
        return product(self.sizes[start:end]) if self.dims is not None else None

    def replace(self, axis: int, size: Dim) -> Shape:
        """The same shape with another size on one axis."""
        dims = list(self.sizes)
        dims[axis] = size
        return Shape(tuple(dims))

    def known_sizes(self) -> tuple[int, ...]:
        """The sizes as plain numbers, where all are known."""
        assert self.known, f"{self} is not fully known"
        return tuple(size for size in self.sizes if size is not None)

    def __str__(self) -> str:
        """``64x3x?x?``, ``scalar``, or ``?`` when not even the number of axes is known."""
        if self.dims is None:
            return "?"
        return "x".join("?" if size is None else str(size) for size in self.dims) or "scalar"


UNKNOWN = Shape(None)
SCALAR = Shape(())


def product(sizes: Iterable[Dim]) -> Dim:
    """The product of sizes; None when one of them is unknown, unless another is 0."""
    sizes = tuple(sizes)
    known = [size for size in sizes if size is not None]
    if len(known) == len(sizes) or 0 in known:
        return prod(known)
    return None


def agree(a: Dim, b: Dim) -> bool:
    """Whether two sizes can be the same, an unknown one agreeing with any."""
    return a is None or b is None or a == b


def merge(a: Shape, b: Shape) -> Shape | None:
    """What is known from two statements about one shape; None when they contradict each other."""
    if a.dims is None or b.dims is None:
        return a if b.dims is None else b
    if len(a.dims) != len(b.dims) or not all(map(agree, a.dims, b.dims)):
        return None
    return Shape(tuple(x if x is not None else y for x, y in zip(a.dims, b.dims, strict=True)))
