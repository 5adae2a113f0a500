"""Layers that bring values to a common size: LRN, BatchNorm, MVN."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, Self, cast

from netdef.ir import ZERO, Dim, Keeps, ParamSpec, Shape
from netdef.layers.activation import Elementwise
from netdef.layers.arithmetic import onnx_reduce
from netdef.layers.axes import with_rank
from netdef.layers.base import Layer, Mismatch, layer
from netdef.layers.block import Block
from netdef.layers.record import OnnxBuilder, TorchRecorder, Value
from netdef.layers.window import checked

_NUM_AXES = 4
"""Of a blob of images."""


@layer("LRN")
@dataclass(frozen=True, slots=True)
class LRN(Layer):
    """``x / (k + alpha / size * sum of x^2)^beta`` over `size` neighbours: channels, or places in a square.

    Shapes: bottom and top ``N x C x H x W``. ACROSS_CHANNELS sums over `size` channels and divides alpha by `size`;
    WITHIN_CHANNEL takes the mean over ``size x size`` places, padding included, and 1 for k. torch's
    `local_response_norm` and ONNX's LRN are the same as ACROSS_CHANNELS. Source: Caffe's lrn_layer.cpp.
    """

    keeps: ClassVar[Keeps] = Keeps(tops=True, extra_bytes=4)

    size: int
    alpha: float
    beta: float
    k: float
    region: Literal["ACROSS_CHANNELS", "WITHIN_CHANNEL"]

    @classmethod
    def decode(cls, block: Block) -> Self:
        """Read `lrn_param`."""
        param = block.sub("lrn_param")
        m = param.message
        size = checked(param, "local_size", m.local_size)
        if size % 2 == 0:
            help = f"use {size - 1} or {size + 1}"
            param.reject("ND0418", f"`local_size` must be odd, found {size}", "local_size", help=help)
        region = cast(Literal["ACROSS_CHANNELS", "WITHIN_CHANNEL"], param.enum("norm_region"))
        return cls(size, m.alpha, m.beta, m.k, region)

    def infer(self, bottoms: tuple[Shape, ...]) -> tuple[Shape, ...]:
        """The bottom's shape."""
        return (with_rank(bottoms[0], 4, self.type),)

    def torch(self, g: TorchRecorder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """`netdef.nn.lrn_across` or `lrn_within`."""
        (x,) = bottoms
        if self.region == "ACROSS_CHANNELS":
            return (g.netdef.lrn_across(x, self.size, self.alpha, self.beta, self.k),)
        return (g.netdef.lrn_within(x, self.size, self.alpha, self.beta),)

    def onnx(self, g: OnnxBuilder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """LRN, or a division by a power of a mean; ONNX Runtime's LRN takes no alpha or beta that isn't positive."""
        (x,) = bottoms
        reach = self.size // 2
        if self.region == "WITHIN_CHANNEL":
            return (self._onnx_by_mean(g, x, _mean(g, x, [self.size] * 2, [reach] * 4), 1.0),)
        if self.alpha > 0 and self.beta > 0:
            return (g.op("LRN", x, size=self.size, alpha=self.alpha, beta=self.beta, bias=self.k),)
        channels = g.op("Unsqueeze", x, g.ints([1]))
        mean = _mean(g, channels, [self.size, 1, 1], [reach, 0, 0] * 2)
        return (self._onnx_by_mean(g, x, g.op("Squeeze", mean, g.ints([1])), self.k),)

    def _onnx_by_mean(self, g: OnnxBuilder, x: Value, mean: Value, k: float) -> Value:
        base = g.op("Add", g.op("Mul", mean, g.scalar(self.alpha)), g.scalar(k))
        return g.op("Mul", x, g.op("Pow", base, g.scalar(-self.beta)))


def _mean(g: OnnxBuilder, x: Value, kernel: list[int], pads: list[int]) -> Value:
    """The mean of the squares under the window around each place; padding counts."""
    return g.op("AveragePool", g.op("Mul", x, x), kernel_shape=kernel, pads=pads, count_include_pad=1)


@layer("BatchNorm")
@dataclass(frozen=True, slots=True)
class BatchNorm(Elementwise):
    """``(x - mean) / sqrt(variance + eps)`` for each channel, without learned factors (those are a Scale layer's).

    Shapes: bottom and top ``N x C x ...``, or one axis only, which then is one channel. Parameters: mean (C), variance
    (C), factor (1), all statistics: sums that decay by `moving_average_fraction` at each forward, ``factor = factor *
    fraction + 1`` counting how much they hold; so they are divided by the factor when used, and with a factor of 0 they
    count as 0. torch keeps means, not sums. The batch's own statistics are used, and counted, unless `use_global_stats`
    (by default in phase TEST). The normalising variance is the biased one, the one kept is not.
    Source: Caffe's batch_norm_layer.cpp.
    """

    use_global_stats: bool
    fraction: float
    eps: float

    @classmethod
    def decode(cls, block: Block) -> Self:
        """Read `batch_norm_param`; the phase decides whose statistics are used if nothing else does."""
        param = block.sub("batch_norm_param")
        m = param.message
        _check_rates(block)
        use_global = m.use_global_stats if param.has("use_global_stats") else block.phase == "TEST"
        return cls(use_global, m.moving_average_fraction, m.eps)

    def params(self, bottoms: tuple[Shape, ...]) -> tuple[ParamSpec, ...]:
        """The sums of the means, of the variances, and how much they hold."""
        channels = Shape.of(self._channels(bottoms[0]))
        return (
            ParamSpec("mean", channels, ZERO, statistic=True),
            ParamSpec("variance", channels, ZERO, statistic=True),
            ParamSpec("factor", Shape.of(1), ZERO, statistic=True),
        )

    def infer(self, bottoms: tuple[Shape, ...]) -> tuple[Shape, ...]:
        """The bottom's shape."""
        self._channels(bottoms[0])
        return bottoms

    def torch(self, g: TorchRecorder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """`netdef.nn.BatchNorm`."""
        (x,) = bottoms
        options = {"eps": self.eps, "fraction": self.fraction, "use_global_stats": self.use_global_stats}
        return (g.netdef.BatchNorm(self._channels(x.shape), **options)(x),)

    def onnx(self, g: OnnxBuilder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """BatchNormalization with the kept statistics; spelled out with the batch's own."""
        (x,) = bottoms
        if x.shape.rank == 1:
            flat = g.op("Reshape", x, g.ints([1, 1, -1]))
            return (g.op("Reshape", self._onnx(g, flat, 1, 3), g.ints([-1])),)
        channels = self._channels(x.shape)
        return (self._onnx(g, x, channels, x.shape.rank),)

    def _onnx(self, g: OnnxBuilder, x: Value, channels: Dim, rank: int) -> Value:
        if not self.use_global_stats:
            axes = (0, *range(2, rank))
            centred = g.op("Sub", x, onnx_reduce(g, "ReduceMean", x, axes, keepdims=True))
            variance = onnx_reduce(g, "ReduceMean", g.op("Mul", centred, centred), axes, keepdims=True)
            return g.op("Div", centred, g.op("Sqrt", g.op("Add", variance, g.scalar(self.eps))))
        assert channels is not None, "an export knows the number of channels"
        ones, zeros = g.floats([1.0] * channels), g.floats([0.0] * channels)
        factor = g.param("factor")
        empty = g.op("Equal", factor, g.floats([0.0]))
        share = g.op("Where", empty, g.floats([0.0]), g.op("Reciprocal", factor))
        mean, variance = g.op("Mul", g.param("mean"), share), g.op("Mul", g.param("variance"), share)
        return g.op("BatchNormalization", x, ones, zeros, mean, variance, epsilon=self.eps)

    def _channels(self, bottom: Shape) -> Dim:
        if not bottom.ranked:
            return None
        if bottom.rank == 0:
            raise Mismatch("BatchNorm works on blobs of 1 axis or more, found a scalar", bottom=0, code="ND0411")
        return 1 if bottom.rank == 1 else bottom[1]


def _check_rates(block: Block) -> None:
    """Statistics take no rate; where all three have a `param`, Caffe sets the rates to 0 (UpgradeNetBatchNorm)."""
    rates = [spec.lr_mult for spec in block.message.param]
    learned = [index for index, rate in enumerate(rates) if rate]
    for index in learned[:1] if len(rates) == _NUM_STATISTICS else learned:
        param = block.sub("param", index)
        told, what = "BatchNorm's statistics are counted, not learned: `lr_mult`", f"{rates[index]:g}"
        if len(rates) == _NUM_STATISTICS:
            param.warn("ND0424", f"{told} {what} is taken as 0", "lr_mult", help=_RATE_HELP)
        else:
            param.reject("ND0424", f"{told} must be 0, found {what}", "lr_mult", help=_RATE_HELP)


_NUM_STATISTICS = 3
_RATE_HELP = "write `param { lr_mult: 0 }`, or no `param` at all; a Scale layer behind it learns"


@layer("MVN")
@dataclass(frozen=True, slots=True)
class MVN(Layer):
    """``(x - mean) / (sqrt(variance) + eps)`` over each plane of each image, or over each image with `across_channels`.

    Shapes: bottom ``N x C x H x W`` or fewer axes, top always four: axes of size 1 are put behind. eps is added to the
    deviation, not to the variance as in torch's `instance_norm` and ONNX's InstanceNormalization; the gradient is
    Caffe's, which takes the deviation and eps for one number. Source: Caffe's mvn_layer.cpp.
    """

    in_place: ClassVar[bool] = True

    normalize_variance: bool
    across_channels: bool
    eps: float

    @classmethod
    def decode(cls, block: Block) -> Self:
        """Read `mvn_param`."""
        m = block.message.mvn_param
        return cls(m.normalize_variance, m.across_channels, m.eps)

    def infer(self, bottoms: tuple[Shape, ...]) -> tuple[Shape, ...]:
        """The bottom's sizes in four axes."""
        (x,) = bottoms
        if not x.ranked:
            return (Shape((None,) * _NUM_AXES),)
        if not 1 <= x.rank <= _NUM_AXES:
            raise Mismatch(f"MVN works on blobs of 1 to 4 axes, found {x.rank} ({x})", bottom=0, code="ND0411")
        return (Shape((*x.sizes, *[1] * (_NUM_AXES - x.rank))),)

    def torch(self, g: TorchRecorder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """`netdef.nn.mvn`, or the mean subtracted."""
        (x,) = bottoms
        for _ in range(x.shape.rank, _NUM_AXES):
            x = g.torch.unsqueeze(x, -1)
        if self.normalize_variance:
            return (g.netdef.mvn(x, self._axes, self.eps),)
        return (g.torch.sub(x, g.torch.mean(x, self._axes, keepdim=True)),)

    def onnx(self, g: OnnxBuilder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """Means, spelled out."""
        (x,) = bottoms
        if x.shape.rank < _NUM_AXES:
            x = g.op("Unsqueeze", x, g.ints(range(x.shape.rank, _NUM_AXES)))
        centred = g.op("Sub", x, onnx_reduce(g, "ReduceMean", x, self._axes, keepdims=True))
        if not self.normalize_variance:
            return (centred,)
        variance = onnx_reduce(g, "ReduceMean", g.op("Mul", centred, centred), self._axes, keepdims=True)
        return (g.op("Div", centred, g.op("Add", g.op("Sqrt", variance), g.scalar(self.eps))),)

    @property
    def _axes(self) -> tuple[int, ...]:
        return tuple(range(1 if self.across_channels else 2, _NUM_AXES))
