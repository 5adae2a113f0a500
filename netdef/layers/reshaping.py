"""The same values in other shapes: joined, cut apart, copied, reshaped."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Self

from netdef.ir import Dim, Shape, agree, merge, product
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


@layer("Flatten")
@dataclass(frozen=True, slots=True)
class Flatten(Layer):
    """The axes `axis` to `end_axis` (inclusive) made one; all but the batch by default.

    With `end_axis` just before `axis` an axis of size 1 is put in. Source: Caffe's flatten_layer.cpp.
    """

    axis: int
    end_axis: int

    @classmethod
    def decode(cls, block: Block) -> Self:
        """Read `flatten_param`."""
        m = block.message.flatten_param
        return cls(m.axis, m.end_axis)

    def infer(self, bottoms: tuple[Shape, ...]) -> tuple[Shape, ...]:
        """The axes before, their product, the axes behind."""
        (x,) = bottoms
        if not x.ranked:
            return bottoms
        start, end = self._range(x)
        return (Shape((*x.sizes[:start], product(x.sizes[start:end]), *x.sizes[end:])),)

    def _range(self, x: Shape) -> tuple[int, int]:
        """First axis and the one behind the last."""
        start = canonical(self.axis, x)
        end = canonical(self.end_axis, x, field="end_axis") + 1
        if start > end:
            message = f"`axis: {self.axis}` lies behind `end_axis: {self.end_axis}` in {x}"
            raise Mismatch(message, bottom=0, code="ND0455")
        return start, end

    def describe(self) -> str:
        """The axes."""
        return f"axes {self.axis} to {self.end_axis}"

    def torch(self, g: TorchRecorder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """`torch.flatten`; `torch.unsqueeze` where it puts an axis in."""
        (x,) = bottoms
        if x.shape.ranked:
            start, end = self._range(x.shape)
            if start == end:
                return (g.torch.unsqueeze(x, start),)
        return (g.torch.flatten(x, self.axis, self.end_axis),)

    def onnx(self, g: OnnxBuilder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """Flatten where its two axes are enough, Reshape otherwise."""
        (x,) = bottoms
        start, end = self._range(x.shape)
        if start == 1 and end == x.shape.rank:
            return (g.op("Flatten", x, axis=1),)
        return (reshaped(g, x, (product(x.shape.sizes[start:end]),), start, end),)


@layer("Reshape")
@dataclass(frozen=True, slots=True)
class Reshape(Layer):
    """The same values under other sizes: 0 copies the bottom's size at that place, one -1 is worked out.

    Only the axes from `axis` on, `num_axes` of them (-1: all), are replaced. The counts must be equal.
    torch's reshape has no 0. Source: Caffe's reshape_layer.cpp.
    """

    dims: tuple[int, ...]
    axis: int
    num_axes: int

    @classmethod
    def decode(cls, block: Block) -> Self:
        """Read `reshape_param`."""
        p = block.sub("reshape_param")
        dims = tuple(int(dim) for dim in p.message.shape.dim)
        shape = p.sub("shape")
        negative = [i for i, dim in enumerate(dims) if dim < 0]
        for i in negative:
            if dims[i] < -1:
                shape.reject("ND0454", f"a size must be positive, 0 (copy) or -1 (infer), found {dims[i]}", "dim", i)
        if dims.count(-1) > 1:
            shape.reject("ND0454", "only one size can be inferred, found -1 more than once", "dim", negative[1])
        if p.message.num_axes < -1:
            p.reject("ND0454", f"`num_axes` must be -1 (all) or more, found {p.message.num_axes}", "num_axes")
        return cls(dims, p.message.axis, p.message.num_axes)

    def infer(self, bottoms: tuple[Shape, ...]) -> tuple[Shape, ...]:
        """The axes before, the new sizes, the axes behind."""
        (x,) = bottoms
        if not x.ranked:
            return (self._blind(),)
        start, end = self._range(x)
        middle = self._middle(x, start)
        old, new = self._residue(x, middle, start, end)
        if -1 in self.dims:
            middle[self.dims.index(-1)] = self._inferred(x, old, new)
        top = Shape((*x.sizes[:start], *middle, *x.sizes[end:]))
        if -1 not in self.dims and not agree(old, new):
            raise Mismatch(
                f"Reshape changes the number of values: {old} to {new} ({x} to {top})",
                bottom=0,
                code="ND0455",
                help="let one size be -1 to have it worked out",
            )
        return (held(top, "the top"),)

    def _blind(self) -> Shape:
        """What is known of the top when nothing is known of the bottom."""
        if self.axis or self.num_axes != -1:
            return Shape(None)
        return Shape(tuple(dim if dim > 0 else None for dim in self.dims))

    def _range(self, x: Shape) -> tuple[int, int]:
        """First axis replaced and the one behind the last; -1 puts the new ones behind all others."""
        start = self.axis if self.axis >= 0 else x.rank + self.axis + 1
        if not 0 <= start <= x.rank:
            message = f"`axis: {self.axis}` is out of range: the bottom has {x.rank} axes ({x})"
            raise Mismatch(message, bottom=0, code="ND0455")
        end = x.rank if self.num_axes == -1 else start + self.num_axes
        if end > x.rank:
            message = (
                f"`num_axes: {self.num_axes}` from axis {start} on is too many: the bottom has {x.rank} axes ({x})"
            )
            raise Mismatch(message, bottom=0, code="ND0455")
        return start, end

    def _middle(self, x: Shape, start: int) -> list[Dim]:
        """The new sizes with zeros replaced and None for -1."""
        middle: list[Dim] = [None if dim == -1 else dim for dim in self.dims]
        for i in _places(0, self.dims):
            if start + i >= x.rank:
                message = f"size {i} of the new shape is 0 (copy), but the bottom has no axis {start + i} ({x})"
                raise Mismatch(message, bottom=0, code="ND0455")
            middle[i] = x[start + i]
        return middle

    def _residue(self, x: Shape, middle: list[Dim], start: int, end: int) -> tuple[Dim, Dim]:
        """How many values the replaced axes hold, and how many the new ones ask for, but for sizes that are copied."""
        kept = {start + i for i in _places(0, self.dims)} & set(range(start, end))
        old = product(x[k] for k in range(start, end) if k not in kept)
        return old, product(size for i, size in enumerate(middle) if self.dims[i] != -1 and start + i not in kept)

    def _inferred(self, x: Shape, old: Dim, new: Dim) -> Dim:
        if old is None or new is None:
            return None
        if new == 0 or old % new:
            message = f"Reshape cannot infer a size: {old} values ({x}) cannot be shared out among {new}"
            raise Mismatch(message, bottom=0, code="ND0455")
        return old // new

    def describe(self) -> str:
        """The sizes as written."""
        return "to " + "x".join(map(str, self.dims))

    def torch(self, g: TorchRecorder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """`torch.reshape` where no size is copied, `netdef.nn.reshape` otherwise."""
        (x,) = bottoms
        if 0 not in self.dims and self.axis == 0 and self.num_axes == -1:
            return (g.torch.reshape(x, self.dims),)
        start, end = self._range(x.shape)
        return (g.netdef.reshape(x, self.dims, start, None if end == x.shape.rank else end),)

    def onnx(self, g: OnnxBuilder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """Reshape, whose 0 and -1 mean the same."""
        (x,) = bottoms
        start, end = self._range(x.shape)
        return (reshaped(g, x, self.dims, start, end),)


@layer("Tile")
@dataclass(frozen=True, slots=True)
class Tile(Layer):
    """The bottom repeated `tiles` times along an axis; the gradients add up. Source: Caffe's tile_layer.cpp."""

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


def reshaped(g: OnnxBuilder, x: Value, dims: tuple[Dim, ...], start: int, end: int) -> Value:
    """ONNX's Reshape of the axes `start` to `end` (exclusive) to `dims`, where 0 copies and -1 or None infers.

    The axes before are copied; those behind are written as numbers, or read at run time when they are not known.
    """
    tail = x.shape.sizes[end:]
    moved = start + len(dims) != end
    middle = [-1 if dim is None else dim for dim in dims]
    behind = [size if size is not None else (-1 if -1 not in middle else None) for size in tail]
    if not moved:
        return g.op("Reshape", x, g.ints([0] * start + middle + [0] * len(tail)))
    if behind.count(-1) <= 1 and None not in behind:
        return g.op("Reshape", x, g.ints([0] * start + middle + [size for size in behind if size is not None]))
    sizes = g.op("Slice", g.op("Shape", x), g.ints([end]), g.ints([END]), g.ints([0]))
    return g.op("Reshape", x, g.op("Concat", g.ints([0] * start + middle), sizes, axis=0))


def _axis(block: Block, old: str) -> int:
    """`axis`, or its old unsigned spelling; not both."""
    if not block.has(old):
        return int(block.message.axis)
    if block.has("axis"):
        block.reject(
            "ND0451", f"`axis` and `{old}` cannot both be given", old, help="`axis` is the newer name: keep it"
        )
    return int(getattr(block.message, old))


def _places(value: int, dims: tuple[int, ...]) -> list[int]:
    return [i for i, dim in enumerate(dims) if dim == value]
