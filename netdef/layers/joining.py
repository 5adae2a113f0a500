"""Blobs joined, cut apart and repeated: Concat, Slice, Split, Tile."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Self

from netdef.ir import NOTHING, Dim, Keeps, Shape, agree, merge
from netdef.layers.axes import canonical, held, scaled
from netdef.layers.base import Arity, Layer, Mismatch, at_least, layer
from netdef.layers.block import Block
from netdef.layers.record import OnnxBuilder, TorchRecorder, Value

END = 2**63 - 1
"""The end of an axis in ONNX's Slice."""


@layer("Concat")
@dataclass(frozen=True, slots=True)
class Concat(Layer):
    """Bottoms joined along one axis; all others must agree. Source: Caffe's concat_layer.cpp."""

    keeps: ClassVar[Keeps] = NOTHING
    num_bottoms: ClassVar[Arity] = at_least(1)
    axis: int

    @classmethod
    def decode(cls, block: Block) -> Self:
        """Read `concat_param`, with the old `concat_dim`."""
        return cls(_axis(block.sub("concat_param"), "concat_dim"))

    def infer(self, bottoms: tuple[Shape, ...]) -> tuple[Shape, ...]:
        """The common sizes, and on the axis their sum."""
        ranked = [i for i, shape in enumerate(bottoms) if shape.ranked]
        if not ranked:
            return bottoms[:1]
        first = ranked[0]
        axis = canonical(self.axis, bottoms[first], bottom=first)
        common = bottoms[first].replace(axis, None)
        for i in ranked[1:]:
            common = self._join(common, bottoms, first, i, axis)
        sizes = [shape[axis] if shape.ranked else None for shape in bottoms]
        total = sum(size for size in sizes if size is not None)
        return (held(common.replace(axis, None if None in sizes else total), "the top"),)

    def _join(self, common: Shape, bottoms: tuple[Shape, ...], first: int, i: int, axis: int) -> Shape:
        a, b = common, bottoms[i]
        if a.rank != b.rank:
            message = f"Concat inputs differ in their number of axes: {a.rank} and {b.rank}"
            raise Mismatch(message, bottom=i, other=first)
        for k, (x, y) in enumerate(zip(a.sizes, b.sizes, strict=True)):
            if k != axis and not agree(x, y):
                raise Mismatch(
                    f"Concat inputs differ at axis {k}: {x} and {y}; they are joined along axis {axis}",
                    bottom=i,
                    other=first,
                    help=f"all axes but {axis} must have equal sizes",
                )
        joined = merge(a, b.replace(axis, None))
        assert joined is not None
        return joined

    def describe(self) -> str:
        """The axis."""
        return f"along axis {self.axis}"

    def torch(self, g: TorchRecorder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """`torch.cat`."""
        return (g.torch.cat(bottoms, dim=self.axis),)

    def onnx(self, g: OnnxBuilder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """Concat."""
        return (g.op("Concat", *bottoms, axis=self.axis),)


@layer("Slice")
@dataclass(frozen=True, slots=True)
class Slice(Layer):
    """One bottom cut along an axis, at the slice points or into equal parts. Source: Caffe's slice_layer.cpp."""

    keeps: ClassVar[Keeps] = NOTHING
    num_tops: ClassVar[Arity] = at_least(1)
    axis: int
    points: tuple[int, ...]
    count: int

    @classmethod
    def decode(cls, block: Block) -> Self:
        """Read `slice_param`, with the old `slice_dim`."""
        p = block.sub("slice_param")
        points = tuple(p.message.slice_point)
        if points and len(points) != block.num_tops - 1:
            p.reject(
                "ND0452",
                f"{block.num_tops} tops need {block.num_tops - 1} slice points, found {len(points)}",
                "slice_point",
                help="each `slice_point` is the place where the next top begins",
            )
        for i, (before, point) in enumerate(pairwise((0, *points))):
            if point <= before:
                message = f"slice points must grow: {point} comes after {before}"
                p.reject(
                    "ND0452", message if i else "the first slice point must be at least 1, found 0", "slice_point", i
                )
        return cls(_axis(p, "slice_dim"), points, block.num_tops)

    def infer(self, bottoms: tuple[Shape, ...]) -> tuple[Shape, ...]:
        """The bottom's shape with the parts' sizes on the axis."""
        (x,) = bottoms
        if not x.ranked:
            return bottoms * self.count
        axis = canonical(self.axis, x)
        return tuple(x.replace(axis, size) for size in self._sizes(x[axis], axis))

    def _sizes(self, size: Dim, axis: int) -> tuple[Dim, ...]:
        if self.points:
            ends = (0, *self.points, size)
            if size is not None and self.points[-1] > size:
                message = f"slice point {self.points[-1]} is beyond axis {axis}, whose size is {size}"
                raise Mismatch(message, bottom=0, code="ND0453")
            return tuple(None if end is None else end - (start or 0) for start, end in pairwise(ends))
        if size is not None and size % self.count:
            message = f"axis {axis} of size {size} cannot be cut into {self.count} equal parts"
            raise Mismatch(message, bottom=0, code="ND0453", help="give a `slice_point` for each cut")
        return (None if size is None else size // self.count,) * self.count

    def describe(self) -> str:
        """The axis and the points."""
        at = " at " + ", ".join(map(str, self.points)) if self.points else ""
        return f"cut along axis {self.axis}{at}"

    def torch(self, g: TorchRecorder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """`torch.tensor_split`."""
        if self.count == 1:
            return bottoms
        parts = g.torch.tensor_split(bottoms[0], self.points or self.count, dim=self.axis)
        return tuple(g.item(parts, i) for i in range(self.count))

    def onnx(self, g: OnnxBuilder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """Split by sizes; Slice at the points where the axis has no known size."""
        (x,) = bottoms
        if self.count == 1:
            return (g.op("Identity", x),)
        sizes = self._sizes(x.shape[self.axis], self.axis) if x.shape.ranked else (None,)
        known = [size for size in sizes if size is not None]
        if len(known) == self.count:
            return g.op("Split", x, g.ints(known), outputs=self.count, axis=self.axis)
        if not self.points:
            count = {"num_outputs": self.count} if g.opset >= 18 else {}
            return g.op("Split", x, outputs=self.count, axis=self.axis, **count)
        ends = pairwise((0, *self.points, END))
        axes = g.ints([self.axis])
        return tuple(g.op("Slice", x, g.ints([start]), g.ints([end]), axes) for start, end in ends)


@layer("Split")
@dataclass(frozen=True, slots=True)
class Split(Layer):
    """The bottom under several names; the gradients add up. Caffe puts it in by itself.

    Source: Caffe's split_layer.cpp.
    """

    keeps: ClassVar[Keeps] = NOTHING
    num_tops: ClassVar[Arity] = at_least(1)
    count: int

    @classmethod
    def decode(cls, block: Block) -> Self:
        """Count the tops."""
        return cls(block.num_tops)

    def infer(self, bottoms: tuple[Shape, ...]) -> tuple[Shape, ...]:
        """The bottom's shape, for each top."""
        return bottoms * self.count

    def torch(self, g: TorchRecorder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """The same tensor; autograd adds up."""
        return bottoms * self.count

    def onnx(self, g: OnnxBuilder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """Identity, once for each name."""
        return tuple(g.op("Identity", bottoms[0]) for _ in range(self.count))


@layer("Tile")
@dataclass(frozen=True, slots=True)
class Tile(Layer):
    """The bottom repeated `tiles` times along an axis; the gradients add up. Source: Caffe's tile_layer.cpp."""

    keeps: ClassVar[Keeps] = NOTHING

    axis: int
    tiles: int

    @classmethod
    def decode(cls, block: Block) -> Self:
        """Read `tile_param`."""
        p = block.sub("tile_param")
        return cls(p.message.axis, p.positive("tiles"))

    def infer(self, bottoms: tuple[Shape, ...]) -> tuple[Shape, ...]:
        """The bottom's shape with one size multiplied."""
        (x,) = bottoms
        if not x.ranked:
            return bottoms
        axis = canonical(self.axis, x)
        return (held(x.replace(axis, scaled(x[axis], self.tiles)), "the top"),)

    def describe(self) -> str:
        """How often and where."""
        return f"{self.tiles} times along axis {self.axis}"

    def torch(self, g: TorchRecorder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """`torch.tile`."""
        return (g.torch.tile(bottoms[0], self._repeats(bottoms[0].shape)),)

    def onnx(self, g: OnnxBuilder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """Tile."""
        return (g.op("Tile", bottoms[0], g.ints(self._repeats(bottoms[0].shape))),)

    def _repeats(self, x: Shape) -> tuple[int, ...]:
        axis = canonical(self.axis, x)
        return tuple(self.tiles if i == axis else 1 for i in range(x.rank))


def _axis(block: Block, old: str) -> int:
    """`axis`, or its old unsigned spelling; not both."""
    if not block.has(old):
        return int(block.message.axis)
    if block.has("axis"):
        block.reject(
            "ND0451", f"`axis` and `{old}` cannot both be given", old, help="`axis` is the newer name: keep it"
        )
    return int(getattr(block.message, old))
