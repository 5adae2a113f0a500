"""The same values under other sizes: Flatten and Reshape."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from netdef.ir import NOTHING, Dim, Keeps, Shape, agree, product
from netdef.layers.axes import canonical, held
from netdef.layers.base import Layer, Mismatch, layer
from netdef.layers.block import Block
from netdef.layers.record import OnnxBuilder, TorchRecorder, Value

END = 2**63 - 1
"""The end of an axis in ONNX's Slice."""


@layer("Flatten")
@dataclass(frozen=True, slots=True)
class Flatten(Layer):
    """The axes `axis` to `end_axis` (inclusive) made one; all but the batch by default.

    With `end_axis` just before `axis` an axis of size 1 is put in. Source: Caffe's flatten_layer.cpp.
    """

    keeps: ClassVar[Keeps] = NOTHING

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

    keeps: ClassVar[Keeps] = NOTHING

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
        if min(self.dims, default=0) >= 0 and not agree(old, new):  # of a size below -1 decoding has spoken
            raise Mismatch(
                f"Reshape changes the number of values: {old} to {new} ({x} to {top})",
                bottom=0,
                code="ND0455",
                help="let one size be -1 to have it worked out",
            )
        return (held(top, "the top"),)

    def restated(self, x: Shape, axis: int, size: Callable[[int], int]) -> Self:
        """The same with `size(n)` where it states a size n for that axis of its top."""
        place = axis - self._range(x)[0]
        if not 0 <= place < len(self.dims) or self.dims[place] < 1:
            return self
        return replace(self, dims=(*self.dims[:place], size(self.dims[place]), *self.dims[place + 1 :]))

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


def _places(value: int, dims: tuple[int, ...]) -> list[int]:
    return [i for i, dim in enumerate(dims) if dim == value]
