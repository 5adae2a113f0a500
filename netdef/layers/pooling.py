"""Layers that sum up the values under a window in one: Pooling, SPP."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, prod
from typing import ClassVar, Literal, Self, cast

from netdef.ir import Dim, Keeps, Shape, product
from netdef.layers.axes import held, with_rank
from netdef.layers.base import Arity, Layer, Mismatch, Unsupported, between, layer
from netdef.layers.block import Block
from netdef.layers.record import OnnxBuilder, TorchRecorder, Value
from netdef.layers.window import Window, Windows, decode_window, required, short, too_large

Method = Literal["MAX", "AVE", "STOCHASTIC"]
LOWEST = -3.4028234663852886e38
"""-FLT_MAX, what Caffe's MAX begins with, and leaves for a window without values."""


@layer("Pooling")
@dataclass(frozen=True, slots=True)
class Pooling(Layer):
    """The largest value (MAX), the mean (AVE) or a value drawn by its size (STOCHASTIC) under each window.

    Shapes: bottom ``N x C x H x W``, top ``N x C x H' x W'``; MAX may have a second top of the same shape with the
    place ``h * W + w`` of each maximum, as a float. `Windows` tells how H' differs from torch's and ONNX's. AVE divides
    by the part of the window up to ``H + pad``. MAX takes the first of equal values, and the gradient goes there; a
    window without any value gives -FLT_MAX. STOCHASTIC draws in TRAIN, and weighs by the values in TEST.
    Source: Caffe's pooling_layer.cpp, pooling_layer.cu.
    """

    num_tops: ClassVar[Arity] = between(1, 2)

    method: Method
    windows: Windows | None
    """None for one window over all (`global_pooling`)."""
    mask: bool = False

    @classmethod
    def decode(cls, block: Block) -> Self:
        """Read `pooling_param`."""
        param = block.sub("pooling_param")
        method = cast(Method, param.enum("pool"))
        mask = block.num_tops == 2
        if mask and method != "MAX":
            block.reject("ND0417", f"only MAX pooling has a second top, this is {method}", "top", 1)
        if param.message.global_pooling:
            _check_global(param)
            return cls(method, None, mask)
        window = _decode_window(param)
        if method == "STOCHASTIC" and any(window.pad):
            param.reject("ND0416", "STOCHASTIC pooling takes no padding", "pad", help="use MAX or AVE, or no `pad`")
        return cls(method, Windows(window, param.enum("round_mode") == "CEIL"), mask)

    def infer(self, bottoms: tuple[Shape, ...]) -> tuple[Shape, ...]:
        """``N x C x H' x W'``, twice with a mask."""
        shape = with_rank(bottoms[0], 4, self.type)
        windows = self.windows
        spatial = (1, 1) if windows is None else tuple(_windows(windows, shape[2 + i], i) for i in range(2))
        return (held(Shape((*shape.sizes[:2], *spatial)), "the top"),) * (2 if self.mask else 1)

    @property
    def keeps(self) -> Keeps:
        """The bottom, and the place of each maximum in 8 bytes."""
        return Keeps(extra_bytes=8 if self.method == "MAX" else 0)

    def describe(self) -> str:
        """``kernel 3, stride 2, rounds up``."""
        if self.windows is None:
            return "global"
        return f"{self.windows.window}, rounds {'up' if self.windows.ceil else 'down'}"

    def hint(self, name: str) -> str:
        """How to round down."""
        if self.windows is None or not self.windows.ceil or set(self.windows.window.stride) == {1}:
            return ""
        return f'Caffe\'s pooling rounds up; set `round_mode: FLOOR` in "{name}" to round down'

    def torch(self, g: TorchRecorder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """Torch's own pooling where its windows are the same, one of netdef.nn otherwise."""
        (x,) = bottoms
        if self.windows is None:
            return _torch_global(g, x, self)
        w = self.windows.window
        if self.method == "STOCHASTIC":
            training = g.phase == "TRAIN"
            return (g.netdef.stochastic_pool2d(x, w.kernel, w.stride, _ends(self.windows), training),)
        if self.mask:
            both = g.netdef.max_pool2d_with_mask(x, w.kernel, w.stride, w.pad, _ends(self.windows))
            return g.item(both, 0), g.item(both, 1)
        name = "max_pool2d" if self.method == "MAX" else "avg_pool2d"
        if self.windows.as_torch((x.shape[2], x.shape[3])):
            args = (short(w.kernel), short(w.stride), short(w.pad))
            return (getattr(g.F, name)(x, *args, **({"ceil_mode": True} if self.windows.ceil else {})),)
        return (getattr(g.netdef, name)(x, w.kernel, w.stride, w.pad, _ends(self.windows)),)

    def onnx(self, g: OnnxBuilder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """MaxPool or AveragePool without `ceil_mode`: the padding spelled out so that the windows are Caffe's."""
        (x,) = bottoms
        if self.windows is None:
            return _onnx_global(g, x, self)
        if self.method == "MAX":
            return _onnx_max(g, x, self.windows, self.mask)
        if self.method == "AVE":
            return (_onnx_average(g, x, self.windows),)
        return (_onnx_stochastic(g, x, self.windows),)


@layer("SPP")
@dataclass(frozen=True, slots=True)
class SPP(Layer):
    """Spatial pyramid pooling: at level i the blob is pooled in ``2^i x 2^i`` bins, and all bins are laid in a row.

    Shapes: bottom ``N x C x H x W``, top ``N x C * (1 + 4 + ... + 4^(height - 1))`` whatever H and W are; with a
    `pyramid_height` of 1 the top keeps four axes, ``N x C x 1 x 1``. A bin is ``ceil(H / 2^i)`` high, what is missing
    is padded, the larger half in front. Neither torch nor ONNX has it. Source: Caffe's spp_layer.cpp.
    """

    height: int
    method: Method

    @classmethod
    def decode(cls, block: Block) -> Self:
        """Read `spp_param`."""
        param = block.sub("spp_param")
        height = required(param, "pyramid_height", 3)
        if height > 15:
            param.reject("ND0404", f"`pyramid_height` is {height}: 2^{height - 1} bins an axis", "pyramid_height")
            height = 1
        return cls(height, cast(Method, param.enum("pool")))

    def infer(self, bottoms: tuple[Shape, ...]) -> tuple[Shape, ...]:
        """All levels in a row."""
        shape = with_rank(bottoms[0], 4, self.type)
        if self.height == 1:
            return (Shape((*shape.sizes[:2], 1, 1)),)
        bins = (4**self.height - 1) // 3
        if shape.count(2) is not None:
            tops = [self._level(i, shape).infer((shape,))[0] for i in range(self.height)]
            bins = sum(top.count(2) or 0 for top in tops)
        return (held(Shape((shape[0], product((shape[1], bins)))), "the top"),)

    def describe(self) -> str:
        """The number of levels."""
        return f"{self.height} levels"

    def torch(self, g: TorchRecorder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """One pooling for each level."""
        (x,) = bottoms
        tops = [self._level(i, x.shape).torch(g, bottoms)[0] for i in range(self.height)]
        return (tops[0],) if self.height == 1 else (g.torch.cat([g.torch.flatten(top, 1) for top in tops], 1),)

    def onnx(self, g: OnnxBuilder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """One pooling for each level."""
        (x,) = bottoms
        tops = [self._level(i, x.shape).onnx(g, bottoms)[0] for i in range(self.height)]
        if self.height == 1:
            return (tops[0],)
        return (g.op("Concat", *(g.op("Flatten", top, axis=1) for top in tops), axis=1),)

    def _level(self, level: int, shape: Shape) -> Pooling:
        if level == 0:
            return Pooling(self.method, None)
        bins = 2**level
        kernel, pad = [], []
        for axis, size in ((2, shape[2]), (3, shape[3])):
            if size is None:
                raise Unsupported(f"the bins of {self.type} follow from the blob's height and width, here {shape}")
            kernel.append(-(-size // bins))
            pad.append((kernel[-1] * bins - size + 1) // 2)
            if pad[-1] >= kernel[-1]:
                why = f"level {level} of the pyramid has {bins} bins at axis {axis}, too many for a size of {size}"
                raise Mismatch(why, bottom=0, code="ND0425", help="lower `pyramid_height`")
        if self.method == "STOCHASTIC" and any(pad):
            why = f"level {level} of the pyramid pads the blob ({shape}), and STOCHASTIC pooling takes no padding"
            raise Mismatch(why, bottom=0, code="ND0416", help="use MAX or AVE")
        sizes = tuple(kernel)
        return Pooling(self.method, Windows(Window(sizes, sizes, tuple(pad), (1, 1)), ceil=True))


def _check_global(param: Block) -> None:
    for name in ("kernel_size", "kernel_h", "kernel_w"):
        if param.has(name):
            param.reject("ND0415", f"`{name}` cannot stand beside `global_pooling: true`", name, help=f"drop `{name}`")
    for name, neutral in (("pad", 0), ("pad_h", 0), ("pad_w", 0), ("stride", 1), ("stride_h", 1), ("stride_w", 1)):
        value = getattr(param.message, name)
        if param.has(name) and value != neutral:
            why = f"`global_pooling: true` takes one window over all, so `{name}` must be {neutral}, found {value}"
            param.reject("ND0415", why, name, help=f"drop `{name}`")


def _decode_window(param: Block) -> Window:
    window = decode_window(param).over(2)
    for name, i in (("pad_h" if param.has("pad_h") else "pad", 0), ("pad_w" if param.has("pad_w") else "pad", 1)):
        if window.pad[i] >= window.kernel[i]:
            why = f"`{name}` {window.pad[i]} must be smaller than the kernel, {window.kernel[i]}"
            param.reject("ND0414", why, name, help="a window in the padding alone has nothing to pool")
            return Window(window.kernel, window.stride, (0, 0), (1, 1))
    return window


def _windows(windows: Windows, size: Dim, i: int) -> Dim:
    count = windows.count(size, i)
    if size is not None and count is not None and count < 1:
        raise too_large(windows.window.kernel[i], size, windows.window.pad[i], 2 + i)
    return count


def _ends(windows: Windows) -> tuple[int, int]:
    return windows.end(0), windows.end(1)


def _torch_global(g: TorchRecorder, x: Value, layer: Pooling) -> tuple[Value, ...]:
    if layer.mask:
        both = g.netdef.global_max_pool2d_with_mask(x)
        return g.item(both, 0), g.item(both, 1)
    if layer.method == "MAX":
        return (g.netdef.global_max_pool2d(x),)
    if layer.method == "AVE":
        return (g.torch.mean(x, (2, 3), keepdim=True),)
    return (g.netdef.global_stochastic_pool2d(x, g.phase == "TRAIN"),)


def _onnx_global(g: OnnxBuilder, x: Value, layer: Pooling) -> tuple[Value, ...]:
    if layer.method == "AVE":
        return (g.op("GlobalAveragePool", x),)
    if layer.method == "MAX" and not layer.mask:
        return (g.op("GlobalMaxPool", x),)
    height, width = x.shape[2], x.shape[3]
    if height is None or width is None:
        raise Unsupported(f"this global pooling needs the blob's height and width, here {x.shape}")
    whole = Windows(Window((height, width), (1, 1), (0, 0), (1, 1)), ceil=False)
    return _onnx_max(g, x, whole, mask=True) if layer.mask else (_onnx_stochastic(g, x, whole),)


def _onnx_pool(g: OnnxBuilder, op: str, x: Value, windows: Windows, outputs: int = 1) -> tuple[Value, ...]:
    """A pooling node over exactly those of Caffe's windows that hold values."""
    w, sizes = windows.window, (x.shape[2], x.shape[3])
    pads = [*w.pad, *(windows.end(i, size) for i, size in enumerate(sizes))]
    include: dict[str, int] = {"count_include_pad": 1} if op == "AveragePool" and any(pads) else {}
    return g.op(op, x, outputs=outputs, kernel_shape=list(w.kernel), strides=list(w.stride), pads=pads, **include)


def _with_empty(g: OnnxBuilder, top: Value, windows: Windows, sizes: tuple[Dim, Dim], fill: float) -> Value:
    """The top with the windows that hold no value appended.

    A Pad before the pooling would do as well, but ONNX Runtime fuses it in, and then refuses such a large one.
    """
    empty = _num_empty(windows, sizes)
    return g.op("Pad", top, g.ints([0] * 6 + empty), g.scalar(fill)) if any(empty) else top


def _num_empty(windows: Windows, sizes: tuple[Dim, Dim]) -> list[int]:
    rows, columns = (windows.num_empty(size, i) for i, size in enumerate(sizes))
    if rows is None or columns is None:
        raise Unsupported(
            "pooling that rounds up with a stride larger than its kernel needs the blob's height and width",
            help="set `round_mode: FLOOR`, or give the sizes with --shape",
        )
    return [rows, columns]


def _onnx_max(g: OnnxBuilder, x: Value, windows: Windows, mask: bool) -> tuple[Value, ...]:
    sizes, plane = (x.shape[2], x.shape[3]), x.shape.count(2)
    if not mask:
        (top,) = _onnx_pool(g, "MaxPool", x, windows)
        return (_with_empty(g, top, windows, sizes, LOWEST),)
    if plane is None:
        raise Unsupported(f"the mask of Pooling needs the blob's height and width, here {x.shape}")
    top, index = _onnx_pool(g, "MaxPool", x, windows, outputs=2)
    place = g.op("Cast", g.op("Mod", index, g.integer(plane)), to=1)
    return _with_empty(g, top, windows, sizes, LOWEST), _with_empty(g, place, windows, sizes, -1.0)


def _onnx_average(g: OnnxBuilder, x: Value, windows: Windows) -> Value:
    """AveragePool divides by the whole kernel; where Caffe divides by less, the quotient is put right."""
    height, width = x.shape[2], x.shape[3]
    (top,) = _onnx_pool(g, "AveragePool", x, windows)
    mean = _with_empty(g, top, windows, (height, width), 0.0)
    if height is None or width is None:
        return g.op("Div", mean, _onnx_share(g, x, windows)) if _overhangs(windows) else mean
    kernel, rows, columns = windows.window.kernel, windows.divisors(height, 0), windows.divisors(width, 1)
    if set(rows) == {kernel[0]} and set(columns) == {kernel[1]}:
        return mean
    shares = [row * column / prod(kernel) for row in rows for column in columns]
    factors = [1 / share if share else inf for share in shares]
    return g.op("Mul", mean, g.floats(factors, [1, 1, len(rows), len(columns)]))


def _overhangs(windows: Windows) -> bool:
    return any(windows.end(i) > windows.window.pad[i] for i in range(2))


def _onnx_share(g: OnnxBuilder, x: Value, windows: Windows) -> Value:
    """For sizes that only a run knows: the part of each window up to the pad's end, pooled from a blob of ones."""
    _num_empty(windows, (None, None))
    w = windows.window
    plane = g.op("Slice", g.op("Shape", x), g.ints([2]), g.ints([4]))
    ones = g.op("Expand", g.floats([1.0], [1, 1, 1, 1]), g.op("Concat", g.ints([1, 1]), plane, axis=0))
    ones = g.op("Pad", ones, g.ints([0, 0, *w.pad, 0, 0, *w.pad]), g.scalar(1.0))
    kernel, strides = list(w.kernel), list(w.stride)
    pads = [0, 0, *(windows.end(i) - w.pad[i] for i in range(2))]
    return g.op("AveragePool", ones, kernel_shape=kernel, strides=strides, pads=pads, count_include_pad=1)


def _onnx_stochastic(g: OnnxBuilder, x: Value, windows: Windows) -> Value:
    """What it does in TEST: the sum of squares over the sum, the latter kept from 0 by FLT_MIN as in Caffe."""
    if g.phase == "TRAIN":
        raise Unsupported("STOCHASTIC pooling draws at random in TRAIN", help="export the net with phase TEST")
    square = Value(g.op("Mul", x, x).name, x.shape)
    (squares,) = _onnx_pool(g, "AveragePool", square, windows)
    (sums,) = _onnx_pool(g, "AveragePool", x, windows)
    top = g.op("Div", squares, g.op("Add", sums, g.scalar(1.1754943508222875e-38)))
    return _with_empty(g, top, windows, (x.shape[2], x.shape[3]), 0.0)
