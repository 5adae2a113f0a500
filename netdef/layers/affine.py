"""Layers that multiply or shift whole slices of a blob: Scale, Bias."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from netdef.diagnostics.words import counted
from netdef.ir import ONE, UNKNOWN, Filler, ParamSpec, Shape, agree
from netdef.layers.axes import canonical
from netdef.layers.base import Arity, Layer, Mismatch, between, layer
from netdef.layers.block import Block
from netdef.layers.filler import decode_filler
from netdef.layers.record import OnnxBuilder, TorchRecorder, Value


@dataclass(frozen=True, slots=True)
class Span:
    """The axes of the first bottom that the factors or shifts run along: `num_axes` from `axis` on, -1 for all."""

    axis: int
    num_axes: int

    def shape(self, bottom: Shape) -> Shape:
        """The shape of a parameter along these axes.

        Raises:
            Mismatch: ND0412, the bottom has no such axis; ND0422, not as many axes.
        """
        if not bottom.ranked:
            return UNKNOWN
        if self.num_axes == 0:
            return Shape(())
        axis = canonical(self.axis, bottom)
        if axis + self.num_axes > bottom.rank:
            found = f"the bottom has {counted(bottom.rank, 'axis')} ({bottom})"
            why = f"`num_axes: {self.num_axes}` from axis {axis} on is too many: {found}"
            raise Mismatch(why, bottom=0, code="ND0422")
        return Shape(bottom.sizes[axis:] if self.num_axes < 0 else bottom.sizes[axis : axis + self.num_axes])

    def start(self, bottom: Shape, factor: Shape) -> int:
        """The axis where a factor of this shape begins; 0 for a scalar (source: Caffe's scale_layer.cpp, Reshape)."""
        return canonical(self.axis, bottom) if factor.rank else 0

    def check(self, kind: str, bottom: Shape, factor: Shape) -> None:
        """See that a factor given as a second bottom runs along axes of the first.

        Raises:
            Mismatch: ND0304, its sizes differ from the bottom's; ND0422, it has too many axes.
        """
        if not (bottom.ranked and factor.ranked):
            return
        start = self.start(bottom, factor)
        if start + factor.rank > bottom.rank:
            found = f"from axis {start} on the first has {bottom.rank - start}"
            why = f"{kind}'s second input has {counted(factor.rank, 'axis')}, but {found}"
            raise Mismatch(why, bottom=1, other=0, code="ND0422")
        for i, size in enumerate(factor.sizes):
            if not agree(bottom[start + i], size):
                why = f"{kind} inputs differ at axis {start + i}: {bottom[start + i]} and {size}"
                raise Mismatch(why, bottom=1, other=0)


def _decode_span(param: Block) -> Span:
    num_axes = param.message.num_axes
    if num_axes < -1:
        param.reject("ND0423", f"`num_axes` must be -1 (all) or more, found {num_axes}", "num_axes")
    return Span(param.message.axis, max(num_axes, -1))


@layer("Scale")
@dataclass(frozen=True, slots=True)
class Scale(Layer):
    """``y = x * s``, and ``+ b`` with `bias_term`; s runs along some axes of x and is the same along the others.

    Shapes: bottom any, s (a parameter, or the second bottom) the sizes of `num_axes` axes from `axis` on, b as s.
    Neither torch nor ONNX aligns axes from the front: there s is given axes of size 1 behind.
    Source: Caffe's scale_layer.cpp.
    """

    num_bottoms: ClassVar[Arity] = between(1, 2)
    in_place: ClassVar[bool] = True

    span: Span
    bias_term: bool
    filler: Filler
    bias_filler: Filler

    @classmethod
    def decode(cls, block: Block) -> Self:
        """Read `scale_param`; without a filler s begins as 1."""
        param = block.sub("scale_param")
        filler = decode_filler(param.sub("filler")) if param.has("filler") else ONE
        return cls(_decode_span(param), param.message.bias_term, filler, decode_filler(param.sub("bias_filler")))

    def infer(self, bottoms: tuple[Shape, ...]) -> tuple[Shape, ...]:
        """The first bottom's shape."""
        self._factor(bottoms)
        return bottoms[:1]

    def params(self, bottoms: tuple[Shape, ...]) -> tuple[ParamSpec, ...]:
        """s, unless it is a bottom, and b if asked for."""
        shape = self._factor(bottoms)
        weight = [ParamSpec("weight", shape, self.filler)] if len(bottoms) == 1 else []
        bias = [ParamSpec("bias", shape, self.bias_filler)] if self.bias_term else []
        return (*weight, *bias)

    def torch(self, g: TorchRecorder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """`netdef.nn.scale`."""
        x, factor, start = self._operands(g, bottoms)
        bias = (g.param("bias"),) if self.bias_term else ()
        return (g.netdef.scale(x, factor, start, *bias),)

    def onnx(self, g: OnnxBuilder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """Mul and Add."""
        x, factor, start = self._operands(g, bottoms)
        y = g.op("Mul", x, _aligned(g, factor, start, x.shape))
        return (g.op("Add", y, _aligned(g, g.param("bias"), start, x.shape)) if self.bias_term else y,)

    def _operands(self, g: TorchRecorder | OnnxBuilder, bottoms: tuple[Value, ...]) -> tuple[Value, Value, int]:
        x, factor = bottoms[0], bottoms[1] if len(bottoms) == 2 else g.param("weight")
        return x, factor, self.span.start(x.shape, self._factor(tuple(value.shape for value in bottoms)))

    def _factor(self, bottoms: tuple[Shape, ...]) -> Shape:
        return _factor(self.type, self.span, bottoms)


@layer("Bias")
@dataclass(frozen=True, slots=True)
class Bias(Layer):
    """``y = x + b``; b runs along some axes of x and is the same along the others.

    Shapes: bottom any, b (a parameter, or the second bottom) the sizes of `num_axes` axes from `axis` on. Neither torch
    nor ONNX aligns axes from the front: there b is given axes of size 1 behind. Source: Caffe's bias_layer.cpp.
    """

    num_bottoms: ClassVar[Arity] = between(1, 2)
    in_place: ClassVar[bool] = True

    span: Span
    filler: Filler

    @classmethod
    def decode(cls, block: Block) -> Self:
        """Read `bias_param`."""
        param = block.sub("bias_param")
        return cls(_decode_span(param), decode_filler(param.sub("filler")))

    def infer(self, bottoms: tuple[Shape, ...]) -> tuple[Shape, ...]:
        """The first bottom's shape."""
        _factor(self.type, self.span, bottoms)
        return bottoms[:1]

    def params(self, bottoms: tuple[Shape, ...]) -> tuple[ParamSpec, ...]:
        """b, unless it is a bottom."""
        shape = _factor(self.type, self.span, bottoms)
        return (ParamSpec("bias", shape, self.filler),) if len(bottoms) == 1 else ()

    def torch(self, g: TorchRecorder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """`netdef.nn.shift`."""
        x, shift, start = self._operands(g, bottoms)
        return (g.netdef.shift(x, shift, start),)

    def onnx(self, g: OnnxBuilder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """Add."""
        x, shift, start = self._operands(g, bottoms)
        return (g.op("Add", x, _aligned(g, shift, start, x.shape)),)

    def _operands(self, g: TorchRecorder | OnnxBuilder, bottoms: tuple[Value, ...]) -> tuple[Value, Value, int]:
        x, shift = bottoms[0], bottoms[1] if len(bottoms) == 2 else g.param("bias")
        factor = _factor(self.type, self.span, tuple(value.shape for value in bottoms))
        return x, shift, self.span.start(x.shape, factor)


def _factor(kind: str, span: Span, bottoms: tuple[Shape, ...]) -> Shape:
    """The shape of the factor: the second bottom's, or that of a parameter."""
    if len(bottoms) == 1:
        return span.shape(bottoms[0])
    span.check(kind, *bottoms)
    return bottoms[1]


def _aligned(g: OnnxBuilder, factor: Value, start: int, bottom: Shape) -> Value:
    """The factor with axes of size 1 behind, so that it meets the bottom from axis `start` on."""
    behind = bottom.rank - start - factor.shape.rank
    if not (behind and factor.shape.rank):
        return factor
    return g.op("Unsqueeze", factor, g.ints(range(factor.shape.rank, factor.shape.rank + behind)))
