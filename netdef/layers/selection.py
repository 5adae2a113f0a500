"""Parts of a blob chosen by a reference's size or by values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from netdef.ir import NOTHING, UNKNOWN, Dim, Keeps, Shape, agree
from netdef.layers.axes import canonical
from netdef.layers.base import Arity, Layer, Mismatch, at_least, exactly, layer
from netdef.layers.block import Block
from netdef.layers.record import OnnxBuilder, TorchRecorder, Value

FLOAT, INT64, BOOL = 1, 7, 9
"""ONNX's TensorProto.FLOAT, INT64 and BOOL."""


@layer("Crop")
@dataclass(frozen=True, slots=True)
class Crop(Layer):
    """The first bottom cut to the second's sizes, from `axis` on, beginning at the offsets.

    No gradient flows to the second bottom. Source: Caffe's crop_layer.cpp.
    """

    keeps: ClassVar[Keeps] = NOTHING
    num_bottoms: ClassVar[Arity] = exactly(2)
    label_bottoms: ClassVar[frozenset[int]] = frozenset({1})
    axis: int
    offset: tuple[int, ...]

    @classmethod
    def decode(cls, block: Block) -> Self:
        """Read `crop_param`."""
        m = block.message.crop_param
        return cls(m.axis, tuple(m.offset))

    def infer(self, bottoms: tuple[Shape, ...]) -> tuple[Shape, ...]:
        """The first bottom's sizes up to `axis`, the second's behind."""
        x, reference = bottoms
        if not x.ranked:
            return (UNKNOWN,)
        axis = canonical(self.axis, x)
        offsets = self._offsets(axis, x)
        if not reference.ranked:
            return (Shape(x.sizes[:axis] + (None,) * len(offsets)),)
        if reference.rank < x.rank:
            message = f"Crop cuts a blob of {x.rank} axes ({x}) to one of {reference.rank} ({reference})"
            raise Mismatch(message, bottom=1, other=0, code="ND0456")
        for i, offset in enumerate(offsets, axis):
            _fits(x[i], offset, reference[i], i)
        return (Shape(x.sizes[:axis] + reference.sizes[axis : x.rank]),)

    def _offsets(self, axis: int, x: Shape) -> tuple[int, ...]:
        """One for each cut axis; a single one serves for all, none is 0."""
        cut = x.rank - axis
        if len(self.offset) not in (0, 1, cut):
            raise Mismatch(
                f"Crop cuts {cut} axes of {x} and has {len(self.offset)} offsets",
                bottom=0,
                code="ND0456",
                help="give no `offset`, one for all axes, or one for each axis from `axis` on",
            )
        return self.offset if len(self.offset) == cut else (self.offset or (0,)) * cut

    def describe(self) -> str:
        """The axis and the offsets."""
        return f"from axis {self.axis}, offset {', '.join(map(str, self.offset)) or 0}"

    def torch(self, g: TorchRecorder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """`netdef.nn.crop`."""
        x, reference = bottoms
        axis = canonical(self.axis, x.shape)
        return (g.netdef.crop(x, reference, axis, self._offsets(axis, x.shape)),)

    def onnx(self, g: OnnxBuilder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """Slice; its ends are computed from the reference's shape where that is not known."""
        x, reference = bottoms
        axis = canonical(self.axis, x.shape)
        offsets = self._offsets(axis, x.shape)
        starts, axes = g.ints(offsets), g.ints(range(axis, x.shape.rank))
        sizes = [reference.shape[i] for i in range(axis, x.shape.rank)]
        known = [size for size in sizes if size is not None]
        if len(known) == len(sizes):
            return (g.op("Slice", x, starts, g.ints([a + b for a, b in zip(offsets, known, strict=True)]), axes),)
        shape = g.op("Gather", g.op("Shape", reference), axes)
        return (g.op("Slice", x, starts, g.op("Add", shape, starts), axes),)


@layer("BatchReindex")
@dataclass(frozen=True, slots=True)
class BatchReindex(Layer):
    """``y[i] = x[index[i]]``: rows chosen, repeated and reordered by the second bottom.

    Source: Caffe's batch_reindex_layer.cpp.
    """

    num_bottoms: ClassVar[Arity] = exactly(2)
    label_bottoms: ClassVar[frozenset[int]] = frozenset({1})

    @classmethod
    def decode(cls, block: Block) -> Self:
        """Nothing to read."""
        return cls()

    def infer(self, bottoms: tuple[Shape, ...]) -> tuple[Shape, ...]:
        """As many rows as there are indices."""
        x, index = bottoms
        if index.ranked and index.rank != 1:
            raise Mismatch(f"the indices must have one axis, found {index.rank} ({index})", bottom=1, code="ND0466")
        if x.ranked and not x.rank:
            raise Mismatch("a scalar has no rows to choose from", bottom=0, code="ND0466")
        return (x.replace(0, index[0] if index.ranked else None) if x.ranked else x,)

    def torch(self, g: TorchRecorder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """`netdef.nn.batch_reindex`."""
        return (g.netdef.batch_reindex(*bottoms),)

    def onnx(self, g: OnnxBuilder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """Gather."""
        x, index = bottoms
        return (g.op("Gather", x, g.op("Cast", index, to=INT64), axis=0),)


@layer("Filter")
@dataclass(frozen=True, slots=True)
class Filter(Layer):
    """The rows of the bottoms for which the last bottom, the selector, is not 0; a top for each bottom but the last.

    How many rows there will be, only a run tells. Source: Caffe's filter_layer.cpp.
    """

    num_bottoms: ClassVar[Arity] = at_least(2)
    num_tops: ClassVar[Arity] = at_least(1)

    @classmethod
    def decode(cls, block: Block) -> Self:
        """Check that there is one top for each bottom but the selector."""
        if block.num_tops != block.num_bottoms - 1:
            block.reject(
                "ND0467",
                f"Filter has {block.num_bottoms} bottoms and {block.num_tops} tops",
                "top",
                help="it needs a top for each bottom but the last, the selector",
            )
        return cls()

    def infer(self, bottoms: tuple[Shape, ...]) -> tuple[Shape, ...]:
        """The bottoms' shapes with an unknown number of rows."""
        *xs, selector = bottoms
        if selector.ranked and (not selector.rank or not agree(selector.count(1), 1)):
            message = f"the selector must hold one value a row, found {selector}"
            raise Mismatch(message, bottom=len(xs), code="ND0466")
        rows = selector[0] if selector.ranked else None
        for i, x in enumerate(xs):
            if x.ranked and (not x.rank or not agree(x[0], rows)):
                message = f"the selector has {rows} rows, bottom {i} has {x[0] if x.rank else 'none'} ({x})"
                raise Mismatch(message, bottom=i, other=len(xs), code="ND0466")
        return tuple(x.replace(0, None) if x.ranked else x for x in xs)

    def torch(self, g: TorchRecorder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """`netdef.nn.chosen_rows`, then `torch.index_select` for each bottom."""
        *xs, selector = bottoms
        rows = g.netdef.chosen_rows(selector)
        return tuple(g.torch.index_select(x, 0, rows) for x in xs)

    def onnx(self, g: OnnxBuilder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """Compress."""
        *xs, selector = bottoms
        chosen = g.op("Cast", g.op("Reshape", selector, g.ints([-1])), to=BOOL)
        return tuple(g.op("Compress", x, chosen, axis=0) for x in xs)


@layer("ArgMax")
@dataclass(frozen=True, slots=True)
class ArgMax(Layer):
    """The places of the `top_k` largest values, as floats; among equal ones the larger index first.

    With `axis` the search goes along it, and `out_max_val` asks for the values in place of the indices. Without, it
    goes over all but the first axis: the top is (N, 1, top_k), with `out_max_val` (N, 2, top_k), indices before
    values, and has at least three axes. torch and ONNX put the smaller index first. Source: Caffe's argmax_layer.cpp.
    """

    keeps: ClassVar[Keeps] = NOTHING
    label_bottoms: ClassVar[frozenset[int]] = frozenset({0})
    top_k: int
    axis: int | None
    out_max_val: bool

    @classmethod
    def decode(cls, block: Block) -> Self:
        """Read `argmax_param`."""
        p = block.sub("argmax_param")
        return cls(p.positive("top_k"), p.message.axis if p.has("axis") else None, p.message.out_max_val)

    def infer(self, bottoms: tuple[Shape, ...]) -> tuple[Shape, ...]:
        """See the class."""
        (x,) = bottoms
        if not x.ranked:
            return bottoms
        if self.axis is not None:
            axis = canonical(self.axis, x)
            self._check(x[axis], f"along axis {axis} of {x}")
            return (x.replace(axis, self.top_k),)
        if not x.rank:
            raise Mismatch("ArgMax needs a batch axis, found a scalar", bottom=0, code="ND0464")
        self._check(x.count(1), f"in a row of {x}")
        return (Shape.of(x[0], 1 + self.out_max_val, self.top_k, *[1] * (x.rank - 3)),)

    def _check(self, count: Dim, place: str) -> None:
        if count is not None and self.top_k > count:
            message = f"top_k is {self.top_k}, but there are only {count} values {place}"
            raise Mismatch(message, bottom=0, code="ND0459")

    def torch(self, g: TorchRecorder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """`netdef.nn.arg_max`."""
        return (g.netdef.arg_max(bottoms[0], self.top_k, self.axis, self.out_max_val),)

    def onnx(self, g: OnnxBuilder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """ArgMax with its last index for a single place; else TopK of the mirrored axis."""
        (x,) = bottoms
        if self.axis is not None:
            index = _largest(g, x, self.top_k, self.axis)
            return (_values(g, x, index, self.axis) if self.out_max_val else g.op("Cast", index, to=FLOAT),)
        rows = g.op("Flatten", x, axis=1)
        index = _largest(g, rows, self.top_k, 1)
        found = [g.op("Cast", index, to=FLOAT)] + ([_values(g, rows, index, 1)] if self.out_max_val else [])
        shape = g.ints([0, 1, self.top_k, *[1] * max(x.shape.rank - 3, 0)])
        filled = [g.op("Reshape", value, shape) for value in found]
        return (g.op("Concat", *filled, axis=1) if self.out_max_val else filled[0],)


def _largest(g: OnnxBuilder, x: Value, top_k: int, axis: int) -> Value:
    """The indices, as integers; ONNX's TopK puts the smaller index first, hence the mirror."""
    if top_k == 1:
        return g.op("ArgMax", x, axis=axis, keepdims=1, select_last_index=1)
    mirrored = g.op("Slice", x, g.ints([-1]), g.ints([-(2**62)]), g.ints([axis]), g.ints([-1]))
    _, place = g.op("TopK", mirrored, g.ints([top_k]), outputs=2, axis=axis, largest=1, sorted=1)
    return g.op("Sub", g.op("Sub", g.op("Gather", g.op("Shape", x), g.ints([axis])), g.ints([1])), place)


def _values(g: OnnxBuilder, x: Value, index: Value, axis: int) -> Value:
    return g.op("GatherElements", x, index, axis=axis)


@layer("Silence")
@dataclass(frozen=True, slots=True)
class Silence(Layer):
    """Takes blobs that nobody reads, so that they are no outputs; no gradient flows back. Source: silence_layer.cpp."""

    keeps: ClassVar[Keeps] = NOTHING
    num_bottoms: ClassVar[Arity] = at_least(1)
    num_tops: ClassVar[Arity] = exactly(0)

    @classmethod
    def decode(cls, block: Block) -> Self:
        """Nothing to read."""
        return cls()

    def infer(self, bottoms: tuple[Shape, ...]) -> tuple[Shape, ...]:
        """No tops."""
        return ()

    def torch(self, g: TorchRecorder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """Nothing."""
        return ()

    def onnx(self, g: OnnxBuilder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """Nothing."""
        return ()


def _fits(size: Dim, offset: int, wanted: Dim, axis: int) -> None:
    if size is not None and offset + (wanted or 0) > size:
        raise Mismatch(
            f"Crop goes beyond axis {axis}: {wanted} values from {offset} on, of {size}",
            bottom=0,
            other=1,
            code="ND0456",
            help="lower the `offset`, or look at why the first bottom is so small",
        )
