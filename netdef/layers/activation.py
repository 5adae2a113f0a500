"""Element-wise non-linearities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from netdef.ir import ITS_TOPS, NOTHING, SCALAR, Filler, Keeps, ParamSpec, Shape
from netdef.layers.base import Layer, Mismatch, layer
from netdef.layers.block import Block
from netdef.layers.filler import decode_filler
from netdef.layers.record import OnnxBuilder, TorchRecorder, Value

FLOAT = 1
"""ONNX's TensorProto.FLOAT."""


@dataclass(frozen=True, slots=True)
class Elementwise(Layer):
    """A layer whose one top has the shape of its one bottom."""

    in_place: ClassVar[bool] = True

    @classmethod
    def decode(cls, block: Block) -> Self:
        """Nothing to read; a layer with fields overrides this."""
        return cls()

    def infer(self, bottoms: tuple[Shape, ...]) -> tuple[Shape, ...]:
        """The bottom's shape."""
        return bottoms


@layer("ReLU")
@dataclass(frozen=True, slots=True)
class ReLU(Elementwise):
    """``max(x, 0) + negative_slope * min(x, 0)``; at 0 the gradient is the negative side's, as in torch.

    ONNX has two operators for it, Relu and LeakyRelu. Source: Caffe's relu_layer.cpp.
    """

    keeps: ClassVar[Keeps] = ITS_TOPS

    negative_slope: float = 0.0

    @classmethod
    def decode(cls, block: Block) -> Self:
        """Read `relu_param`."""
        return cls(block.message.relu_param.negative_slope)

    def torch(self, g: TorchRecorder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """`F.relu` or `F.leaky_relu`."""
        (x,) = bottoms
        return (g.F.leaky_relu(x, self.negative_slope) if self.negative_slope else g.F.relu(x),)

    def onnx(self, g: OnnxBuilder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """Relu or LeakyRelu."""
        (x,) = bottoms
        return (g.op("LeakyRelu", x, alpha=self.negative_slope) if self.negative_slope else g.op("Relu", x),)


@layer("Sigmoid")
@dataclass(frozen=True, slots=True)
class Sigmoid(Elementwise):
    """``1 / (1 + exp(-x))``. Source: Caffe's sigmoid_layer.cpp."""

    keeps: ClassVar[Keeps] = ITS_TOPS

    def torch(self, g: TorchRecorder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """`torch.sigmoid`."""
        return (g.torch.sigmoid(bottoms[0]),)

    def onnx(self, g: OnnxBuilder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """Sigmoid."""
        return (g.op("Sigmoid", bottoms[0]),)


@layer("TanH")
@dataclass(frozen=True, slots=True)
class TanH(Elementwise):
    """``tanh(x)``. Source: Caffe's tanh_layer.cpp."""

    keeps: ClassVar[Keeps] = ITS_TOPS

    def torch(self, g: TorchRecorder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """`torch.tanh`."""
        return (g.torch.tanh(bottoms[0]),)

    def onnx(self, g: OnnxBuilder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """Tanh."""
        return (g.op("Tanh", bottoms[0]),)


@layer("PReLU")
@dataclass(frozen=True, slots=True)
class PReLU(Elementwise):
    """``max(x, 0) + a * min(x, 0)`` with a learned a for each channel, or one for all with `channel_shared`.

    As in torch the gradient at 0 is the negative side's. The shared a is a scalar in Caffe, one value in
    ``torch.nn.PReLU``. ONNX broadcasts the slope from the last axis, so there it gets trailing axes.
    Source: Caffe's prelu_layer.cpp; He et al. 2015, equation 1.
    """

    channel_shared: bool
    filler: Filler

    @classmethod
    def decode(cls, block: Block) -> Self:
        """Read `prelu_param`; a begins as 0.25 unless a filler is given."""
        p = block.sub("prelu_param")
        filler = decode_filler(p.sub("filler")) if p.has("filler") else Filler(value=0.25)
        return cls(p.message.channel_shared, filler)

    def infer(self, bottoms: tuple[Shape, ...]) -> tuple[Shape, ...]:
        """The bottom's shape, which needs a channel axis."""
        (x,) = bottoms
        if x.ranked and x.rank < 2:
            raise Mismatch(
                f"PReLU needs at least 2 axes (the second being the channels), found {x.rank} ({x})",
                bottom=0,
                code="ND0464",
            )
        return bottoms

    def params(self, bottoms: tuple[Shape, ...]) -> tuple[ParamSpec, ...]:
        """The slopes: (C), or a scalar."""
        (x,) = bottoms
        shape = SCALAR if self.channel_shared else Shape.of(x[1] if x.ranked and x.rank > 1 else None)
        return (ParamSpec("weight", shape, self.filler),)

    def torch(self, g: TorchRecorder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """`F.prelu`."""
        return (g.F.prelu(bottoms[0], g.param("weight")),)

    def onnx(self, g: OnnxBuilder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """PRelu, the slopes with an axis of 1 for each axis after the channels."""
        (x,) = bottoms
        slope = g.param("weight")
        if not self.channel_shared and x.shape.rank > 2:
            slope = g.op("Reshape", slope, g.ints([-1] + [1] * (x.shape.rank - 2)))
        return (g.op("PRelu", x, slope),)


@layer("ELU")
@dataclass(frozen=True, slots=True)
class ELU(Elementwise):
    """``x`` where x > 0, ``alpha * (exp(x) - 1)`` elsewhere. Source: Caffe's elu_layer.cpp."""

    alpha: float

    @classmethod
    def decode(cls, block: Block) -> Self:
        """Read `elu_param`."""
        return cls(block.message.elu_param.alpha)

    def torch(self, g: TorchRecorder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """`F.elu`."""
        return (g.F.elu(bottoms[0], self.alpha),)

    def onnx(self, g: OnnxBuilder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """Elu."""
        return (g.op("Elu", bottoms[0], alpha=self.alpha),)


@layer("BNLL")
@dataclass(frozen=True, slots=True)
class BNLL(Elementwise):
    """``log(1 + exp(x))``, computed without overflow: torch's and ONNX's softplus. Source: Caffe's bnll_layer.cpp."""

    def torch(self, g: TorchRecorder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """`F.softplus`; beyond 20, where it answers x, the difference is below float32's resolution."""
        return (g.F.softplus(bottoms[0]),)

    def onnx(self, g: OnnxBuilder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """``max(x, 0) + log(1 + exp(-|x|))``: Softplus itself overflows in some runtimes."""
        (x,) = bottoms
        tail = g.op("Log", g.op("Add", g.scalar(1.0), g.op("Exp", g.op("Neg", g.op("Abs", x)))))
        return (g.op("Add", g.op("Relu", x), tail),)


@layer("Swish")
@dataclass(frozen=True, slots=True)
class Swish(Elementwise):
    """``x * sigmoid(beta * x)``; torch's silu is the case beta = 1. Source: Caffe's swish_layer.cpp."""

    beta: float

    @classmethod
    def decode(cls, block: Block) -> Self:
        """Read `swish_param`."""
        return cls(block.message.swish_param.beta)

    def torch(self, g: TorchRecorder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """`F.silu`, or its product spelt out."""
        (x,) = bottoms
        if self.beta == 1:
            return (g.F.silu(x),)
        return (g.torch.mul(x, g.torch.sigmoid(g.torch.mul(x, self.beta))),)

    def onnx(self, g: OnnxBuilder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """Mul and Sigmoid."""
        (x,) = bottoms
        scaled = x if self.beta == 1 else g.op("Mul", x, g.scalar(self.beta))
        return (g.op("Mul", x, g.op("Sigmoid", scaled)),)


@layer("Clip")
@dataclass(frozen=True, slots=True)
class Clip(Elementwise):
    """``max(min, min(x, max))``; the gradient passes where x is at a bound, as in torch.

    Source: Caffe's clip_layer.cpp.
    """

    min: float
    max: float

    @classmethod
    def decode(cls, block: Block) -> Self:
        """Read `clip_param`, which must give both bounds."""
        m = block.message.clip_param
        if not block.has("clip_param"):
            block.reject(
                "ND0458", "Clip needs its bounds", "type", help="add for instance `clip_param { min: 0 max: 6 }`"
            )
        elif m.min > m.max:
            block.sub("clip_param").reject("ND0458", f"`min` ({m.min:g}) is above `max` ({m.max:g})", "min")
        return cls(m.min, m.max)

    def torch(self, g: TorchRecorder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """`torch.clamp`."""
        return (g.torch.clamp(bottoms[0], self.min, self.max),)

    def onnx(self, g: OnnxBuilder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """Clip."""
        return (g.op("Clip", bottoms[0], g.scalar(self.min), g.scalar(self.max)),)


@layer("Threshold")
@dataclass(frozen=True, slots=True)
class Threshold(Elementwise):
    """1 where x is above the threshold, 0 elsewhere, without a gradient; torch's Threshold is another function.

    Source: Caffe's threshold_layer.cpp.
    """

    keeps: ClassVar[Keeps] = NOTHING
    label_bottoms: ClassVar[frozenset[int]] = frozenset({0})
    threshold: float

    @classmethod
    def decode(cls, block: Block) -> Self:
        """Read `threshold_param`."""
        return cls(block.message.threshold_param.threshold)

    def torch(self, g: TorchRecorder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """`netdef.nn.above`."""
        return (g.netdef.above(bottoms[0], self.threshold),)

    def onnx(self, g: OnnxBuilder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """Greater, as floats."""
        return (g.op("Cast", g.op("Greater", bottoms[0], g.scalar(self.threshold)), to=FLOAT),)


@layer("Dropout")
@dataclass(frozen=True, slots=True)
class Dropout(Elementwise):
    """In training: 0 with probability r, ``x / (1 - r)`` otherwise. In testing: x.

    Source: Caffe's dropout_layer.cpp.
    """

    keeps: ClassVar[Keeps] = Keeps(bottoms=False, extra_bytes=4)

    dropout_ratio: float

    @classmethod
    def decode(cls, block: Block) -> Self:
        """Read `dropout_param`."""
        p = block.sub("dropout_param")
        ratio = p.message.dropout_ratio
        if not 0 <= ratio < 1:
            p.reject(
                "ND0457",
                f"`dropout_ratio` must be at least 0 and less than 1, found {ratio:g}",
                "dropout_ratio",
                help="it is the share of values that are dropped, 0.5 mostly",
            )
        return cls(ratio)

    def torch(self, g: TorchRecorder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """``nn.Dropout``, which drops when the module is in training mode."""
        return (g.nn.Dropout(self.dropout_ratio)(bottoms[0]),)

    def onnx(self, g: OnnxBuilder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """Identity: an exported net is for testing."""
        return (g.op("Identity", bottoms[0]),)
