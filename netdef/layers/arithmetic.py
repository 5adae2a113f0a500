"""Layers of plain arithmetic: Power, AbsVal, Exp, Log, Eltwise, Reduction."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from math import exp, inf, log, nan
from typing import ClassVar, Literal, Self, cast

from netdef.diagnostics.words import counted
from netdef.ir import UNKNOWN, Keeps, Shape
from netdef.layers.activation import Elementwise
from netdef.layers.axes import alike, canonical
from netdef.layers.base import Arity, Layer, at_least, layer
from netdef.layers.block import Block
from netdef.layers.record import OnnxBuilder, TorchRecorder, Value


@dataclass(frozen=True, slots=True)
class Affine:
    """``scale * x + shift`` of every value, leaving out what changes nothing."""

    scale: float
    shift: float

    def torch(self, g: TorchRecorder, x: Value) -> Value:
        """Record it in torch."""
        x = x if self.scale == 1 else g.torch.mul(x, self.scale)
        return x if self.shift == 0 else g.torch.add(x, self.shift)

    def onnx(self, g: OnnxBuilder, x: Value) -> Value:
        """Emit it in ONNX."""
        x = x if self.scale == 1 else g.op("Mul", x, g.scalar(self.scale))
        return x if self.shift == 0 else g.op("Add", x, g.scalar(self.shift))


@layer("Power")
@dataclass(frozen=True, slots=True)
class Power(Elementwise):
    """``(shift + scale * x) ^ power``; a constant, without a gradient, where `power` or `scale` is 0.

    Where the base is 0, the gradient is the mathematical one; Caffe divides ``y / (shift + scale * x)`` and gets NaN.
    Source: Caffe's power_layer.cpp.
    """

    power: float
    inner: Affine

    @classmethod
    def decode(cls, block: Block) -> Self:
        """Read `power_param`."""
        m = block.message.power_param
        return cls(m.power, Affine(m.scale, m.shift))

    def torch(self, g: TorchRecorder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """`torch.pow` of an affine function."""
        if self.constant is not None:
            return (g.netdef.constant_like(bottoms[0], self.constant),)
        x = self.inner.torch(g, bottoms[0])
        if self.power == 1:
            return (x if x != bottoms[0] else g.torch.clone(x),)
        return (g.torch.pow(x, self.power),)

    def onnx(self, g: OnnxBuilder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """Pow of an affine function."""
        if self.constant is not None:
            return (g.op("Expand", g.scalar(self.constant), g.op("Shape", bottoms[0])),)
        x = self.inner.onnx(g, bottoms[0])
        if self.power == 1:
            return (x if x != bottoms[0] else g.op("Identity", x),)
        return (g.op("Pow", x, g.scalar(self.power)),)

    @property
    def constant(self) -> float | None:
        """What it gives whatever comes in; None where that counts."""
        if self.power == 0:
            return 1.0
        return float(_power(self.inner.shift, self.power)) if self.inner.scale == 0 else None


@layer("AbsVal")
@dataclass(frozen=True, slots=True)
class AbsVal(Elementwise):
    """``|x|``; the gradient at 0 is 0. Source: Caffe's absval_layer.cpp."""

    def torch(self, g: TorchRecorder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """`torch.abs`."""
        return (g.torch.abs(bottoms[0]),)

    def onnx(self, g: OnnxBuilder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """Abs."""
        return (g.op("Abs", bottoms[0]),)


@layer("Exp")
@dataclass(frozen=True, slots=True)
class Exp(Elementwise):
    """``base ^ (shift + scale * x)``, to the base e unless told otherwise.

    Computed as ``outer * exp(inner * x)`` as in Caffe. Source: Caffe's exp_layer.cpp.
    """

    inner: float
    outer: float

    @classmethod
    def decode(cls, block: Block) -> Self:
        """Read `exp_param`."""
        param = block.sub("exp_param")
        ln_base = _ln_base(param)
        return cls(ln_base * param.message.scale, _exp(ln_base * param.message.shift))

    def torch(self, g: TorchRecorder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """`torch.exp` between two multiplications."""
        y = g.torch.exp(Affine(self.inner, 0).torch(g, bottoms[0]))
        return (Affine(self.outer, 0).torch(g, y),)

    def onnx(self, g: OnnxBuilder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """Exp between two multiplications."""
        y = g.op("Exp", Affine(self.inner, 0).onnx(g, bottoms[0]))
        return (Affine(self.outer, 0).onnx(g, y),)


@layer("Log")
@dataclass(frozen=True, slots=True)
class Log(Elementwise):
    """The logarithm of ``shift + scale * x``, to the base e unless told otherwise. Source: Caffe's log_layer.cpp."""

    inner: Affine
    outer: float

    @classmethod
    def decode(cls, block: Block) -> Self:
        """Read `log_param`."""
        param = block.sub("log_param")
        ln_base = _ln_base(param, logarithm=True)
        return cls(Affine(param.message.scale, param.message.shift), 1 / ln_base)

    def torch(self, g: TorchRecorder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """`torch.log` of an affine function, over the base's logarithm."""
        y = g.torch.log(self.inner.torch(g, bottoms[0]))
        return (Affine(self.outer, 0).torch(g, y),)

    def onnx(self, g: OnnxBuilder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """Log of an affine function, over the base's logarithm."""
        y = g.op("Log", self.inner.onnx(g, bottoms[0]))
        return (Affine(self.outer, 0).onnx(g, y),)


@layer("Eltwise")
@dataclass(frozen=True, slots=True)
class Eltwise(Layer):
    """The product, weighted sum or maximum of two or more blobs of one shape.

    MAX gives the gradient to one bottom: of the first two the larger, the second of two equal ones; a later bottom only
    if it is greater than all before it. (torch's `maximum` halves the gradient of equals.) The gradient of PROD is the
    product of the other bottoms, whatever `stable_prod_grad` says: the quotient that Caffe takes without it is
    the same, or NaN. Source: Caffe's eltwise_layer.cpp.
    """

    num_bottoms: ClassVar[Arity] = at_least(2)
    in_place: ClassVar[bool] = True

    operation: Literal["PROD", "SUM", "MAX"]
    coeff: tuple[float, ...]
    """One for each bottom; empty for all 1."""

    @classmethod
    def decode(cls, block: Block) -> Self:
        """Read `eltwise_param`."""
        param = block.sub("eltwise_param")
        operation = cast(Literal["PROD", "SUM", "MAX"], param.enum("operation"))
        coeff = tuple(param.message.coeff)
        if coeff and operation == "PROD":
            param.reject("ND0421", "`coeff` weighs a sum; PROD has no use for it", "coeff", help="drop `coeff`")
        elif coeff and len(coeff) != block.num_bottoms:
            found = f"{counted(len(coeff), 'value')} for {counted(block.num_bottoms, 'bottom')}"
            param.reject("ND0420", f"`coeff` has {found}", "coeff", help="give one for each bottom, or none at all")
        elif coeff and operation == "MAX":
            param.warn("ND0421", "`coeff` weighs a sum; MAX takes no notice of it", "coeff", help="drop `coeff`")
        fits = operation == "SUM" and len(coeff) == block.num_bottoms
        return cls(operation, coeff if fits and set(coeff) != {1.0} else ())

    def infer(self, bottoms: tuple[Shape, ...]) -> tuple[Shape, ...]:
        """The shape of all bottoms."""
        return (alike(bottoms, self.type),)

    @property
    def keeps(self) -> Keeps:
        """A sum keeps nothing, a product and a maximum their bottoms."""
        return Keeps(bottoms=self.operation != "SUM")

    def torch(self, g: TorchRecorder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """`mul`, `add` with factors, or `netdef.nn.larger`."""
        if self.operation == "PROD":
            return (reduce(g.torch.mul, bottoms),)
        if self.operation == "MAX":
            first = g.netdef.larger(bottoms[0], bottoms[1])
            return (reduce(lambda y, x: g.netdef.larger(x, y), bottoms[2:], first),)
        if not self.coeff:
            return (reduce(g.torch.add, bottoms),)
        y = Affine(self.coeff[0], 0).torch(g, bottoms[0])
        for x, factor in zip(bottoms[1:], self.coeff[1:], strict=True):
            y = g.torch.add(y, x, alpha=factor)
        return (y,)

    def onnx(self, g: OnnxBuilder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """Mul, Sum or Max."""
        if self.operation == "PROD":
            return (reduce(lambda y, x: g.op("Mul", y, x), bottoms),)
        if self.operation == "MAX":
            return (g.op("Max", *bottoms),)
        factors = self.coeff or (1.0,) * len(bottoms)
        terms = [Affine(factor, 0).onnx(g, x) for x, factor in zip(bottoms, factors, strict=True)]
        return (g.op("Sum", *terms),)


_REDUCTIONS = {"SUM": "ReduceSum", "ASUM": "ReduceL1", "SUMSQ": "ReduceSumSquare", "MEAN": "ReduceMean"}


@layer("Reduction")
@dataclass(frozen=True, slots=True)
class Reduction(Layer):
    """Sum, sum of absolute values, sum of squares or mean over `axis` and all axes behind it, times `coeff`.

    Shapes: bottom ``leading x rest``, top ``leading``; `axis: 0` makes a scalar. torch and ONNX reduce the axes that
    they are told, here it is always the tail. Source: Caffe's reduction_layer.cpp.
    """

    operation: Literal["SUM", "ASUM", "SUMSQ", "MEAN"]
    axis: int
    coeff: float

    @classmethod
    def decode(cls, block: Block) -> Self:
        """Read `reduction_param`."""
        param = block.sub("reduction_param")
        operation = cast(Literal["SUM", "ASUM", "SUMSQ", "MEAN"], param.enum("operation"))
        return cls(operation, param.message.axis, param.message.coeff)

    def infer(self, bottoms: tuple[Shape, ...]) -> tuple[Shape, ...]:
        """The axes before `axis`."""
        (x,) = bottoms
        if x.ranked:
            return (Shape(x.sizes[: canonical(self.axis, x)]),)
        return (Shape((None,) * self.axis) if self.axis >= 0 else UNKNOWN,)

    def describe(self) -> str:
        """The operation and the axis."""
        return f"{self.operation} from axis {self.axis} on"

    def torch(self, g: TorchRecorder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """`torch.sum` or `torch.mean` of the values, their absolutes or squares."""
        (x,) = bottoms
        tail = self._tail(x)
        if self.operation == "MEAN":
            y = g.torch.mean(x, tail)
        elif self.operation == "SUM":
            y = g.torch.sum(x, tail)
        else:
            y = g.torch.sum(g.torch.abs(x) if self.operation == "ASUM" else g.torch.square(x), tail)
        return (Affine(self.coeff, 0).torch(g, y),)

    def onnx(self, g: OnnxBuilder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """ReduceSum, ReduceL1, ReduceSumSquare or ReduceMean."""
        (x,) = bottoms
        y = onnx_reduce(g, _REDUCTIONS[self.operation], x, self._tail(x), keepdims=False)
        return (Affine(self.coeff, 0).onnx(g, y),)

    def _tail(self, x: Value) -> tuple[int, ...]:
        return tuple(range(canonical(self.axis, x.shape), x.shape.rank))


def onnx_reduce(g: OnnxBuilder, op: str, x: Value, axes: tuple[int, ...], *, keepdims: bool) -> Value:
    """A reduction in any opset: the axes are an input since opset 18, and since 13 for ReduceSum."""
    if op == "ReduceSum" or g.opset >= 18:
        return g.op(op, x, g.ints(axes), keepdims=int(keepdims))
    return g.op(op, x, axes=list(axes), keepdims=int(keepdims))


def _ln_base(param: Block, *, logarithm: bool = False) -> float:
    """The natural logarithm of `base`, -1 standing for e."""
    base = param.message.base
    if base == -1:
        return 1.0
    if 0 < base < inf and not (logarithm and base == 1):
        return log(base)
    need = "finite" if base == inf else "above 0 and other than 1" if logarithm else "above 0"
    param.reject("ND0419", f"`base` must be {need}, or -1 for e; found {base:g}", "base")
    return 1.0


def _exp(exponent: float) -> float:
    """Like math.exp, but infinite where a float ends."""
    return exp(exponent) if exponent < 700 else inf


def _power(base: float, exponent: float) -> float:
    """C's pow: infinite at 0 to a negative power and where a float ends, NaN for a root of a negative number."""
    if base == 0 and exponent < 0:
        return inf
    try:
        result = base**exponent
    except OverflowError:
        return -inf if base < 0 and exponent % 2 == 1 else inf
    return nan if isinstance(result, complex) else result
