"""Layers that slide a bank of filters over a blob, or lay one out under it: Convolution, Deconvolution, Im2col."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar, Self, cast

from netdef.diagnostics.words import counted
from netdef.ir import UNKNOWN, Dim, Filler, ParamSpec, Shape, product
from netdef.layers.axes import alike, canonical, held
from netdef.layers.base import Arity, Layer, Mismatch, Unsupported, at_least, layer
from netdef.layers.block import Block
from netdef.layers.filler import decode_filler
from netdef.layers.record import OnnxBuilder, TorchRecorder, Value
from netdef.layers.window import Window, checked, decode_window, required, short

Step = Callable[[Value], Value]
Params = tuple[Value, ...]
_MAX_AXES = 3
"""The spatial axes of torch's convolutions, and of ONNX Runtime's."""
POINT = Window((1,), (1,), (0,), (1,))
"""The window over the one made-up axis of a blob that has no spatial axes."""


@dataclass(frozen=True, slots=True)
class Filters(Layer):
    """What Convolution and Deconvolution have in common: a window, groups of channels, several bottoms alike.

    Any number of axes may stand before the channel axis `axis`, and count as batch; those behind it are spatial.
    """

    num_bottoms: ClassVar[Arity] = at_least(1)
    num_tops: ClassVar[Arity] = at_least(1)
    equal_counts: ClassVar[bool] = True
    torch_module: ClassVar[str]
    onnx_op: ClassVar[str]

    num_output: int
    window: Window
    group: int
    bias_term: bool
    axis: int
    weight_filler: Filler
    bias_filler: Filler

    @classmethod
    def decode(cls, block: Block) -> Self:
        """Read `convolution_param`; `engine` and `force_nd_im2col` choose code in Caffe, not a result."""
        param = block.sub("convolution_param")
        m = param.message
        num_output = required(param, "num_output", 64)
        group = checked(param, "group", m.group)
        if num_output % group:
            param.reject("ND0409", f"`group` {group} does not divide `num_output` {num_output}", "group")
            group = 1
        fillers = decode_filler(param.sub("weight_filler")), decode_filler(param.sub("bias_filler"))
        return cls(num_output, decode_window(param, optional=True), group, m.bias_term, m.axis, *fillers)

    @abstractmethod
    def weight_shape(self, channels: Dim, kernel: tuple[int, ...]) -> Shape:
        """Caffe's shape of the weight."""

    @abstractmethod
    def spatial(self, window: Window, sizes: tuple[Dim, ...], first_axis: int) -> tuple[Dim, ...]:
        """The spatial sizes of a top."""

    def beyond(self, window: Window, sizes: tuple[Dim, ...]) -> tuple[int, ...]:
        """How many zeros a bottom of these spatial sizes gets behind each axis, besides the padding."""
        return (0,) * len(sizes)

    def infer(self, bottoms: tuple[Shape, ...]) -> tuple[Shape, ...]:
        """``leading x num_output x spatial``, for each bottom."""
        shape = alike(bottoms, self.type)
        if not shape.ranked:
            return (UNKNOWN,) * len(bottoms)
        axis, window = placed(self, shape)
        self._check_channels(shape[axis])
        held(self.weight_shape(shape[axis], window.kernel), "the weight")
        spatial = self.spatial(window, shape.sizes[axis + 1 :], axis + 1)
        top = Shape((*shape.sizes[:axis], self.num_output, *spatial))
        return (held(top, "the top"),) * len(bottoms)

    def params(self, bottoms: tuple[Shape, ...]) -> tuple[ParamSpec, ...]:
        """The weight, and a bias of `num_output` values."""
        weight = ParamSpec("weight", self._weight(alike(bottoms, self.type)), self.weight_filler)
        bias = ParamSpec("bias", Shape.of(self.num_output), self.bias_filler)
        return (weight, bias) if self.bias_term else (weight,)

    def describe(self) -> str:
        """``64 outputs, kernel 3, pad 1``."""
        return f"{counted(self.num_output, 'output')}, {self.window}"

    def torch(self, g: TorchRecorder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """One module of torch.nn, called on each bottom; a function of netdef.nn over more axes than torch knows."""
        shape = bottoms[0].shape
        axis, window = placed(self, shape)
        step = self._torch_step(g, shape[axis], window)
        beyond = self.beyond(window, shape.sizes[axis + 1 :])
        return tuple(_batched(g, lambda x: step(_extended(g, x, beyond)), x, axis) for x in bottoms)

    def onnx(self, g: OnnxBuilder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """Conv or ConvTranspose, with reshapes around it where the channel axis isn't 1."""
        weight = g.param("weight")
        params = (weight, g.param("bias")) if self.bias_term else (weight,)
        return tuple(self._onnx_one(g, x, params) for x in bottoms)

    def _weight(self, bottom: Shape) -> Shape:
        if not bottom.ranked:
            return UNKNOWN
        axis, window = placed(self, bottom)
        return self.weight_shape(bottom[axis], window.kernel)

    def _check_channels(self, channels: Dim) -> None:
        if channels is not None and channels % self.group:
            why = f"the bottom has {counted(channels, 'channel')}, which `group: {self.group}` does not divide"
            raise Mismatch(why, bottom=0, code="ND0409")

    def _torch_step(self, g: TorchRecorder, channels: Dim, window: Window) -> Step:
        if not window.kernel:
            return self._torch_point(g)
        if len(window.kernel) > _MAX_AXES:
            return self._torch_laid_out(g, window)
        options: dict[str, Any] = {
            "stride": (short(window.stride), 1),
            "padding": (short(window.pad), 0),
            "dilation": (short(window.dilation), 1),
            "groups": (self.group, 1),
            "bias": (self.bias_term, True),
        }
        changed = {name: value for name, (value, default) in options.items() if value != default}
        module = getattr(g.nn, f"{self.torch_module}{len(window.kernel)}d")
        made: Step = module(channels, self.num_output, short(window.kernel), **changed)
        return made

    def _torch_laid_out(self, g: TorchRecorder, window: Window) -> Step:
        convolve = g.netdef.deconvolve if self.torch_module == "ConvTranspose" else g.netdef.convolve
        params = g.param("weight"), g.param("bias") if self.bias_term else None
        return lambda x: convolve(x, *params, window.stride, window.pad, window.dilation, self.group)

    def _torch_point(self, g: TorchRecorder) -> Step:
        transposed = self.torch_module == "ConvTranspose"
        convolve = g.F.conv_transpose1d if transposed else g.F.conv1d
        weight = g.torch.unsqueeze(g.param("weight"), -1)
        bias = g.param("bias") if self.bias_term else None
        return lambda x: g.torch.squeeze(convolve(g.torch.unsqueeze(x, -1), weight, bias, groups=self.group), -1)

    def _onnx_one(self, g: OnnxBuilder, x: Value, params: Params) -> Value:
        axis, window = placed(self, x.shape)
        if len(window.kernel) > _MAX_AXES:
            found = f"{self.type} over {len(window.kernel)} spatial axes"
            raise Unsupported(f"{found}; ONNX Runtime knows at most {_MAX_AXES}")
        (top,), sizes = self.infer((x.shape,)), x.shape.sizes[axis + 1 :]
        if axis != 1:
            x = g.op("Reshape", x, g.ints(_flat(x.shape, axis)))
        beyond = self.beyond(window, sizes)
        y = self._onnx_conv(g, x, params, window, beyond) if window.kernel else self._onnx_point(g, x, params)
        return y if axis == 1 else g.op("Reshape", y, g.ints(_open(top)))

    def _onnx_point(self, g: OnnxBuilder, x: Value, params: Params) -> Value:
        last = g.ints([-1])
        params = (g.op("Unsqueeze", params[0], last), *params[1:])
        return g.op("Squeeze", self._onnx_conv(g, g.op("Unsqueeze", x, last), params, POINT, (0,)), last)

    def _onnx_conv(self, g: OnnxBuilder, x: Value, params: Params, window: Window, beyond: tuple[int, ...]) -> Value:
        return g.op(
            self.onnx_op,
            x,
            *params,
            kernel_shape=list(window.kernel),
            strides=list(window.stride),
            pads=_pads(window, beyond),
            dilations=list(window.dilation),
            group=self.group,
        )


@layer("Convolution")
@dataclass(frozen=True, slots=True)
class Convolution(Filters):
    """Cross-correlation over the spatial axes: ``y[n, o] = bias[o] + sum over i of weight[o, i] * x[n, i]``.

    Shapes: bottom ``N x C x H x W`` (any number of spatial axes), weight ``num_output x C / group x kernel``, top
    ``N x num_output x H' x W'`` with ``H' = (H + 2 pad - extent) / stride + 1`` rounded down. As in torch, but all axes
    before the channels count as batch. Source: Caffe's conv_layer.cpp, base_conv_layer.cpp.
    """

    torch_module: ClassVar[str] = "Conv"
    onnx_op: ClassVar[str] = "Conv"

    def weight_shape(self, channels: Dim, kernel: tuple[int, ...]) -> Shape:
        """``num_output x C / group x kernel``."""
        return Shape((self.num_output, None if channels is None else channels // self.group, *kernel))

    def spatial(self, window: Window, sizes: tuple[Dim, ...], first_axis: int) -> tuple[Dim, ...]:
        """Fewer, rounded down."""
        return window.shrink(sizes, first_axis)

    def beyond(self, window: Window, sizes: tuple[Dim, ...]) -> tuple[int, ...]:
        """What a window larger than the bottom reads as zeros."""
        return window.beyond(sizes)

    def cost(self, bottoms: tuple[Shape, ...], tops: tuple[Shape, ...]) -> int | None:
        """The size of one filter for each value of the tops."""
        filter_size = self._weight(alike(bottoms, self.type)).count(1)
        return product((len(tops), tops[0].count(), filter_size))


@layer("Deconvolution")
@dataclass(frozen=True, slots=True)
class Deconvolution(Filters):
    """The transpose of Convolution: each value of the bottom lays the filter, times itself, under its window.

    Shapes: bottom ``N x C x H x W``, weight ``C x num_output / group x kernel``, top ``N x num_output x H' x W'`` with
    ``H' = stride * (H - 1) + extent - 2 pad``. As torch's ConvTranspose with no output padding.
    Source: Caffe's deconv_layer.cpp, base_conv_layer.cpp.
    """

    torch_module: ClassVar[str] = "ConvTranspose"
    onnx_op: ClassVar[str] = "ConvTranspose"

    def weight_shape(self, channels: Dim, kernel: tuple[int, ...]) -> Shape:
        """``C x num_output / group x kernel``."""
        return Shape((channels, self.num_output // self.group, *kernel))

    def spatial(self, window: Window, sizes: tuple[Dim, ...], first_axis: int) -> tuple[Dim, ...]:
        """More, by the stride."""
        return window.grow(sizes, first_axis)

    def cost(self, bottoms: tuple[Shape, ...], tops: tuple[Shape, ...]) -> int | None:
        """The size of one filter for each value of the bottoms."""
        bottom = alike(bottoms, self.type)
        return product((len(bottoms), bottom.count(), self._weight(bottom).count(1)))


@layer("Im2col")
@dataclass(frozen=True, slots=True)
class Im2col(Layer):
    """The values under each position of a window, laid out along the channels: ``C x kernel`` of them each.

    Shapes: bottom ``N x C x H x W`` (any number of spatial axes, any leading ones), top ``N x C * kernel x H' x W'``,
    the sizes being those of a convolution. torch's `unfold` returns the positions as one axis, and takes two spatial
    axes only. Source: Caffe's im2col_layer.cpp.
    """

    window: Window
    axis: int

    @classmethod
    def decode(cls, block: Block) -> Self:
        """Read the window and axis in `convolution_param`."""
        param = block.sub("convolution_param")
        return cls(decode_window(param), param.message.axis)

    def infer(self, bottoms: tuple[Shape, ...]) -> tuple[Shape, ...]:
        """``leading x C * kernel x spatial``."""
        (shape,) = bottoms
        if not shape.ranked:
            return bottoms
        axis, window = placed(self, shape)
        channels, spatial = shape[axis], window.shrink(shape.sizes[axis + 1 :], axis + 1)
        columns = None if channels is None else channels * prod(window.kernel)
        return (held(Shape((*shape.sizes[:axis], columns, *spatial)), "the top"),)

    def describe(self) -> str:
        """The window."""
        return str(self.window)

    def torch(self, g: TorchRecorder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """`netdef.nn.im2col`."""
        (x,) = bottoms
        axis, w = placed(self, x.shape)
        beyond = w.beyond(x.shape.sizes[axis + 1 :])
        return (_batched(g, lambda x: _im2col(g, _extended(g, x, beyond), w), x, axis),)

    def onnx(self, g: OnnxBuilder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """Conv with a filter for each place in the window that is 1 there and 0 elsewhere.

        With its channels elsewhere than on axis 1, or so many as a run brings, each of them counts as an image.
        """
        (x,) = bottoms
        axis, w = placed(self, x.shape)
        if not 1 <= len(w.kernel) <= _MAX_AXES:
            raise Unsupported("Im2col has a counterpart in ONNX only over 1 to 3 spatial axes")
        channels, spatial = x.shape[axis], Shape(x.shape.sizes[axis + 1 :])
        pads = _pads(w, w.beyond(spatial.sizes))
        if axis == 1 and channels is not None:
            return (_onnx_columns(g, x, w, channels, pads),)
        (top,) = self.infer((x.shape,))
        if not spatial.known:
            raise _undecided(x.shape)
        planes = g.op("Reshape", x, g.ints([-1, 1, *spatial.known_sizes()]))
        return (g.op("Reshape", _onnx_columns(g, planes, w, 1, pads), g.ints(_open(top))),)


def placed(layer: Filters | Im2col, shape: Shape) -> tuple[int, Window]:
    """The axis of the channels, counted from the front, and the window over the axes behind it."""
    axis = canonical(layer.axis, shape)
    return axis, layer.window.over(shape.rank - axis - 1)


def _im2col(g: TorchRecorder, x: Value, w: Window) -> Value:
    return cast(Value, g.netdef.im2col(x, w.kernel, w.stride, w.pad, w.dilation))


def _batched(g: TorchRecorder, step: Step, x: Value, axis: int) -> Value:
    """Run a step that wants one batch axis on a value with `axis` of them."""
    if axis == 1:
        return step(x)
    if axis == 0:
        return g.torch.squeeze(step(g.torch.unsqueeze(x, 0)), 0)
    leading = tuple(_open(Shape((None, *x.shape.sizes[1:axis]))))  # the first is the batch, which a run may change
    return g.torch.unflatten(step(g.torch.flatten(x, 0, axis - 1)), 0, leading)


def _extended(g: TorchRecorder, x: Value, beyond: tuple[int, ...]) -> Value:
    """The value with zeros behind each spatial axis."""
    return g.F.pad(x, tuple(n for size in reversed(beyond) for n in (0, size))) if any(beyond) else x


def _pads(window: Window, beyond: tuple[int, ...]) -> list[int]:
    """ONNX's padding: in front of all axes, then behind them."""
    return [*window.pad, *(pad + more for pad, more in zip(window.pad, beyond, strict=True))]


def _onnx_columns(g: OnnxBuilder, x: Value, w: Window, channels: int, pads: list[int]) -> Value:
    size = prod(w.kernel)
    one_hot = [float(i == j) for i in range(size) for j in range(size)]
    filters = g.floats(one_hot * channels, [channels * size, 1, *w.kernel])
    strides, dilations = list(w.stride), list(w.dilation)
    return g.op("Conv", x, filters, strides=strides, pads=pads, dilations=dilations, group=channels)


def _flat(shape: Shape, axis: int) -> list[int]:
    """Sizes to reshape to, to have one batch axis."""
    rest = Shape(shape.sizes[axis:])
    if not rest.known:
        raise _undecided(shape)
    return [-1, *rest.known_sizes()]


def _open(shape: Shape) -> list[int]:
    """Sizes to reshape to, with -1 for the one that may be unknown."""
    if shape.sizes.count(None) > 1:
        raise _undecided(shape)
    return [-1 if size is None else size for size in shape.sizes]


def _undecided(shape: Shape) -> Unsupported:
    return Unsupported(f"with its channels elsewhere than on axis 1, a layer needs all sizes, here {shape}")
